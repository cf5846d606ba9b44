"""Test the delivery of events from gunicorn through ``waitcall worker`` to receivers that misbehave."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from redis import Redis

from simulator.server import Simulator
from tests.end_to_end.conftest import POLICY, Service, Starting, Working, launch_worker
from tests.end_to_end.receivers import SECRET, Receiver, receiving
from tests.redis_servers import Server, free_port, wait_for
from waitcall.adapters.redis.keys import AUDIT_PARTS
from waitcall.adapters.redis.outbox import GROUP, TAKEN_OVER_AFTER_MS

pytestmark = pytest.mark.slow


def listening(**urls: str) -> tuple[str, str]:
    """Return a policy with these webhooks, and the value of WAITCALL_WEBHOOK_SECRETS for it."""
    tables = "".join(
        f'[clients.web.webhooks.{name}]\nurl = "{url}"\nallow_private = true\n' for name, url in urls.items()
    )
    head, _, limits = POLICY.partition("[limits]")
    return f"{head}{tables}[limits]{limits}", ",".join(f"web/{name}={SECRET}" for name in urls)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Working]]:
    with ExitStack() as stopping:
        started: list[Working] = []
        stopping.callback(lambda: [each.stop() for each in started])
        yield started


def journey(service: Service, simulator: Simulator, number: str) -> str:
    """Create, call and consume, which makes two events. Return the id of the verification."""
    made = service.create(number).json
    digits = number.lstrip("+")
    assert service.call(digits, int(time.time())).status == 200
    assert service.consume(made["id"]).status == 200
    return str(made["id"])


def parts(name: str) -> list[str]:
    return [f"waitcall:{{audit-{part}}}:{name}" for part in range(AUDIT_PARTS)]


def retry_now(redis: Redis) -> None:
    """Make all waiting retries due now, without changing their order."""
    for key in parts("retries"):
        for delivery in redis.zrange(key, 0, -1):
            redis.zadd(key, {delivery: -3_600_000}, incr=True, xx=True)


def attempts(redis: Redis, endpoint: str) -> list[int]:
    """Return the number of attempts so far for each delivery to an endpoint that waits for a retry."""
    waiting = [json.loads(each) for key in parts("retries") for each in redis.zrange(key, 0, -1)]
    return [attempt for _, name, attempt, _ in waiting if name == endpoint]


def consumers(redis: Redis) -> set[str]:
    return {
        each["name"].decode() for key in parts("deliveries") for each in redis.xinfo_consumers(key, GROUP)
    }


def held(redis: Redis, consumer: str) -> list[tuple[str, list[bytes]]]:
    """Return the stream entries of deliveries that a worker has taken and not settled."""
    pending = [
        (key, redis.xpending_range(key, GROUP, "-", "+", 1000, consumer)) for key in parts("deliveries")
    ]
    return [(key, [each["message_id"] for each in found]) for key, found in pending if found]


def test_receivers_that_fail_hang_or_are_away_get_every_event(
    starting: Starting, workers: list[Working], tmp_path: Path, simulator: Simulator, redis_server: Server
) -> None:
    """A receiver fails its first 100 requests, a second hangs for ten, a third is away for two attempts an event."""
    away_port = free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server.client())
        redis.flushall()
        let_go = Event()
        stack.callback(let_go.set)
        sound = stack.enter_context(receiving())
        failing = stack.enter_context(receiving(lambda number: 500 if number <= 100 else 200))
        hanging = stack.enter_context(receiving(lambda number: (number <= 10 and let_go.wait(60), 200)[1]))
        policy, secrets = listening(
            sound=sound.url,
            failing=failing.url,
            hanging=hanging.url,
            away=f"http://127.0.0.1:{away_port}/hook",
        )
        service = starting(policy=policy, WAITCALL_WEBHOOK_SECRETS=secrets)
        workers.append(launch_worker(service, tmp_path))
        wait_for(lambda: len(consumers(redis)) == 1)
        (first,) = consumers(redis)
        workers.append(launch_worker(service, tmp_path))
        ids = {journey(service, simulator, f"+7999400{index:04d}") for index in range(10)}
        wait_for(lambda: len(sound.ids) == 20)
        # A worker dies while it holds deliveries. They are made to look idle for long enough to be taken over.
        wait_for(lambda: held(redis, first))
        workers[0].process.kill()
        workers[0].process.wait()
        for key, entries in held(redis, first):
            redis.xclaim(key, GROUP, first, 0, entries, idle=TAKEN_OVER_AFTER_MS + 1, justid=True)

        def tried_twice() -> bool:
            tried = attempts(redis, "web/away")
            retry_now(redis)
            return len(tried) == 20 and min(tried) >= 2

        wait_for(tried_twice)
        away = stack.enter_context(receiving(port=away_port))

        def has_everything(receiver: Receiver) -> bool:
            retry_now(redis)
            return receiver.ids == sound.ids

        for receiver in (failing, hanging, away):
            wait_for(partial(has_everything, receiver))
        for receiver in (sound, failing, hanging, away):
            told = {(event["data"]["id"], event["type"]) for _, event in receiver.accepted}
            assert told == {
                (each, kind) for each in ids for kind in ("verification.verified", "verification.consumed")
            }
            # An event that came several times had the same id each time.
            assert len(receiver.ids) == 20
        assert failing.asked >= 120
    log = workers[1].log.read_text()
    assert "not delivered" in log
    assert not any(each in log for each in ids)
    # Times and ids are cut out first, because they may contain the digits.
    assert "999400" not in re.sub(r"[0-9a-f-]{32,}|\.\d{6}", "", log)
    assert json.dumps(SECRET) not in log
