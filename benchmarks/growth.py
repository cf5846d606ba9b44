"""Measure memory and throughput with more and more live verifications in one Redis."""

import statistics
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from benchmarks.endpoints import ENDPOINTS, asked
from benchmarks.load import closed_loop
from benchmarks.subject import CONNECTIONS, ONE_WORKER, Measured, Subject
from development.ports import Ports
from development.stack import development_settings
from waitcall.adapters.redis.codec import decode, encode
from waitcall.adapters.redis.keys import Keys, due_key, tag_of
from waitcall.domain.numbers import E164

LIVES = timedelta(hours=1)
BATCH = 2000
MADE = 1000


def measure(counts: list[int], rounds: int, requests: int) -> dict[str, Any]:
    """Measure the memory of one verification and the throughput of each endpoint, at each count in turn."""
    with ExitStack() as stacks:
        # All stacks run at the same time, so that other load on the machine affects each count alike.
        sides = [_side(stacks, count) for count in counts]
        rates: list[dict[str, list[float]]] = [{name: [] for name in ENDPOINTS} for _ in sides]
        for round_ in range(rounds + 1):
            for name in ENDPOINTS:
                # Alternate the order, because work that one stack leaves behind (a sweep, say) slows the next.
                turn = list(zip(sides, rates, strict=True))
                for (subject, _, _), found in turn if round_ % 2 else reversed(turn):
                    prepared = asked(name, requests, subject, subject.ports)
                    load = closed_loop(prepared, CONNECTIONS)
                    # The first round only warms up.
                    if round_:
                        found[name].append(load.per_second)
    return {
        "bytes_each_made": sides[0][2],
        "counts": [
            {
                "live": count,
                "bytes_each": planted.bytes_each,
                "per_second": {name: statistics.median(each) for name, each in found.items()},
                "per_second_of_each_round": {
                    name: [round(rate) for rate in each] for name, each in found.items()
                },
            }
            for count, (_, planted, _), found in zip(counts, sides, rates, strict=True)
        ],
    }


def _side(stacks: ExitStack, count: int) -> tuple[Subject, "_Planted", float]:
    """Start a stack with ``count`` live verifications. Return it, and the bytes of one that the service itself created."""
    stack = stacks.enter_context(Measured(Ports.free(), ONE_WORKER))
    subject = Subject(stack)
    redis = Redis(unix_socket_path=str(stack.directory / "valkey.sock"))
    before = _used(redis)
    subject.make(MADE)
    made = (_used(redis) - before) / MADE
    planted = _Planted(redis, subject)
    planted.grow_to(count)
    return subject, planted, made


class _Planted:
    """Live verifications written straight into Redis, because the service would take too long to create so many.

    They are copies of one that the service created, under the keys that the service uses.
    """

    def __init__(self, redis: Redis, subject: Subject) -> None:
        self._redis = redis
        self._keys = Keys(development_settings()["WAITCALL_KEY_PEPPER"])
        made = subject.make(1)[0]
        document: Any = redis.get(str(self._keys.record(made["id"])))
        self._record = decode(document)
        self._planted = 0
        self.bytes_each = 0.0

    def grow_to(self, count: int) -> None:
        """Write verifications until ``count`` are live, and measure the bytes of each."""
        before, planting = _used(self._redis), count - self._planted
        while self._planted < count:
            pipeline = self._redis.pipeline(transaction=False)
            for _ in range(min(BATCH, count - self._planted)):
                self._planted += 1
                self._write(pipeline, f"+7888{self._planted:07d}")
            pipeline.execute()
        self.bytes_each = (_used(self._redis) - before) / planting

    def _write(self, pipeline: Any, number: str) -> None:
        now = datetime.now(UTC)
        record = replace(
            self._record,
            id=self._keys.new_id(number),
            phone_number=E164(number),
            expires_at=now + LIVES,
            purge_at=now + 2 * LIVES,
        )
        kept = 2 * LIVES
        pipeline.set(self._keys.record(record.id), encode(record), px=kept)
        pipeline.set(self._keys.latest(tag_of(record.id)), record.id, px=kept)
        pipeline.zadd(due_key(record.id), {record.id: record.expires_at.timestamp() * 1000})


def _used(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])
