"""Verifications that an older version began can be finished, and a create writes what that version wrote."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, call_at, use_cases, with_limits
from tests.redis_servers import Server, all_keys
from tests.worlds import World, redis_world
from waitcall.application.create import CreateCommand
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.limits import Mode
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Status

WRITTEN = Path(__file__).parent / "older_version.json"
"""Every key after one create, as version ef53899 (2026-11-26) wrote them."""
POLICY = replace(
    with_limits(number=["5/10m", "20/d"]), conversion=(ConversionBudget(Group.COUNTRY, Mode.ENFORCE),)
)
KEPT_MS = 600_000


def create(world: World) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), FakeClock(), POLICY)
    verifications.start("web", CreateCommand(NUMBER.value, "login", "flow"))


def everything(client: Any) -> dict[str, Any]:
    """Return the type and the value of each key."""
    read = {
        "string": lambda key: client.get(key).decode(),
        "zset": lambda key: [
            [each.decode(), score] for each, score in client.zrange(key, 0, -1, withscores=True)
        ],
        "hash": lambda key: {name.decode(): value.decode() for name, value in client.hgetall(key).items()},
        "stream": lambda key: [
            {name.decode(): value.decode() for name, value in fields.items()}
            for _, fields in client.xrange(key)
        ],
    }
    return {key: [kind := client.type(key).decode(), read[kind](key)] for key in sorted(all_keys(client))}


def masked(found: dict[str, Any]) -> Any:
    """Replace with R the values that differ from write to write."""
    # The keys of limits have changed on purpose since then (docs/limits.md).
    text = json.dumps({key: each for key, each in found.items() if ":limit:" not in key}, sort_keys=True)
    (name,) = {key.rpartition(":v:")[2] for key in found if ":v:" in key}
    text = text.replace(name, "R").replace(name[-24:], "R")
    text = re.sub(r'\\"rev\\":\\"[0-9a-f]{16}\\"', "R", text)
    # The end of the id decides which of the eight parts holds the deadline.
    text = re.sub(r"\{due-[0-7]\}", "{due-N}", text)
    return json.loads(re.sub(r'"verification_hash": "[0-9a-f]{24}"', '"verification_hash": "R"', text))


def test_a_verification_that_an_older_version_began_can_be_finished(valkey: Server) -> None:
    with redis_world(valkey.url) as world, valkey.client() as client:
        for key, (kind, value) in json.loads(WRITTEN.read_text()).items():
            match kind:
                case "string":
                    client.set(key, value)
                case "zset":
                    client.zadd(key, dict(value))
                case "hash":
                    client.hset(key, mapping=value)
                case _:
                    for fields in value:
                        client.xadd(key, fields)
            client.pexpire(key, KEPT_MS)
        clock = FakeClock()
        verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock, POLICY)
        (verification_id,) = [client.get(key).decode() for key in all_keys(client) if key.endswith(":latest")]

        assert verifications.get("web", verification_id).status is Status.PENDING
        assert calls.record(call_at(clock())) is Outcome.CONFIRMED
        assert verifications.consume("web", verification_id, "login", "flow").status is Status.CONSUMED
        assert world.unreadable == []


def test_a_create_writes_what_the_older_version_wrote(valkey: Server) -> None:
    with redis_world(valkey.url) as world, valkey.client() as client:
        create(world)

        assert masked(everything(client)) == masked(json.loads(WRITTEN.read_text()))
