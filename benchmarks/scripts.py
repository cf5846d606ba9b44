"""Measure floor F4 with redis-benchmark: how fast Redis alone runs the commands that the service sends."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from redis import Redis

from benchmarks.subject import ONE_WORKER, Measured
from development.ports import Ports
from tests.making import NOW, NUMBER, call_at, effects_of, opened, pending
from tests.worlds import World, redis_world
from waitcall.adapters.redis.keys import tag_of
from waitcall.application.effects import TransitionEffects
from waitcall.domain.limits import Limit, LimitCheck, Scope

CLIENTS = 8
RANDOM_TAGS = 10_000_000
PRICE = [
    LimitCheck(Scope.NUMBER, NUMBER.value, Limit(5, 600)),
    LimitCheck(Scope.NUMBER, NUMBER.value, Limit(20, 86400)),
    LimitCheck(Scope.PROVIDER, NUMBER.value, Limit(49, 90)),
]
KEPT = timedelta(minutes=15)


def measure(requests: int) -> dict[str, Any]:
    """Measure commands a second, each for a new phone number. It is skipped if redis-benchmark is not installed."""
    if shutil.which("redis-benchmark") is None:
        return {"skipped": "redis-benchmark is not installed (apt install redis-tools)"}
    with Measured(Ports.free(), ONE_WORKER) as stack:
        socket = stack.directory / "valkey.sock"
        with redis_world(f"unix://{socket}") as world:
            commands = _commands(world, effects_of())
        return {name: _per_second(str(socket), requests, command) for name, command in commands.items()}


def _commands(world: World, effects: TransitionEffects) -> dict[str, Sequence[str]]:
    """Record the commands that the store sends to read a record, to reserve a number, and to claim a call."""
    record = pending(world.store.new_id(NUMBER))
    sent: list[tuple[Any, ...]] = []
    execute = Redis.execute_command

    def recorded(client: Redis, *args: Any, **options: Any) -> Any:
        sent.append(args)
        return execute(client, *args, **options)  # type: ignore[no-untyped-call]  # redis-py is only partly typed

    def last(*_: object) -> Sequence[str]:
        return [_random(each, tag_of(record.id)) for each in sent[-1]]

    with patch.object(Redis, "execute_command", recorded):
        # The first use loads a script. Later uses send its hash, which is what we measure.
        world.store.reserve(opened(world.store.new_id(NUMBER)), None, NOW, PRICE)
        world.store.claim(call_at(NOW), NOW + KEPT, None, NOW, effects.started(record, NOW))
        return {
            "read": last(world.store.get(record.id)),
            "reserve": last(world.store.reserve(opened(record.id), None, NOW, PRICE)),
            "claim": last(
                world.store.claim(
                    call_at(NOW + timedelta(seconds=1)), NOW + KEPT, None, NOW, effects.started(record, NOW)
                )
            ),
        }


def _random(word: Any, tag: str) -> str:
    text = word.decode() if isinstance(word, bytes) else str(word)
    # redis-benchmark replaces this word by twelve digits, each time others. A tag has twice as many.
    return text.replace(tag, tag[:12] + "__rand_int__")


def _per_second(socket: str, requests: int, command: Sequence[str]) -> float:
    options = ["-s", socket, "-c", str(CLIENTS), "-n", str(requests), "-r", str(RANDOM_TAGS), "--csv"]
    told = subprocess.run(
        ["redis-benchmark", *options, *command], capture_output=True, text=True, check=True, timeout=300
    )
    # The first column repeats the command with its quotes. Seven numbers follow, and the first of them is the rate.
    numbers = re.findall(r'"([0-9.]+)"', told.stdout.splitlines()[-1])
    return float(numbers[-7])
