"""Events are derived from records, announced once and delivered at least once, over every store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from redis import RedisCluster

from tests.fakes.clock import FakeClock
from tests.fakes.memory import MemoryAuditLog
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import (
    NOW,
    NUMBER,
    OTHER_NUMBER,
    POLICY,
    call_at,
    pending,
    records_of,
    seconds,
    together,
    use_cases,
)
from tests.redis_servers import all_keys
from tests.worlds import PEPPER, World, redis_connection
from waitcall.adapters.redis import outbox as outbox_module
from waitcall.adapters.redis.keys import AUDIT, AUDIT_PARTS, Keys
from waitcall.adapters.redis.outbox import RedisOutbox
from waitcall.application.create import CreateCommand
from waitcall.application.deliver_webhooks import (
    MOST_ATTEMPTS,
    SLOTS,
    DeadLetters,
    DeliverWebhooks,
    DeliveryBacklog,
    DeliveryOutcome,
    Outbox,
    delay,
    remind,
)
from waitcall.application.effects import Announcement, Delivery
from waitcall.application.expire import ExpireVerifications
from waitcall.application.ports import AuditLog, Term
from waitcall.domain.errors import VerificationInProgress
from waitcall.domain.event import EventType, events_of
from waitcall.domain.matching import Outcome, judge_call
from waitcall.domain.policy import Client, Endpoint, Policy

EVERY = frozenset(each.value for each in EventType)
MAIN = Endpoint("web/main", "https://login.example.org/hook", EVERY)
CONSUMED = Endpoint("web/consumed", "https://stats.example.org/", frozenset({"verification.consumed"}))
LISTENING: Policy = replace(
    POLICY,
    clients={**POLICY.clients, "web": replace(POLICY.clients["web"], webhooks=(MAIN, CONSUMED))},
)
ASK = CreateCommand(NUMBER.value, "login", "flow")


class FakeSender:
    def __init__(self) -> None:
        self.sent: list[Delivery] = []
        self.outcomes: dict[str, DeliveryOutcome] = {}

    def send(self, endpoint: Endpoint, delivery: Delivery, now: Any) -> DeliveryOutcome:
        self.sent.append(delivery)
        return self.outcomes.get(endpoint.name, DeliveryOutcome.ACCEPTED)

    def types(self, endpoint: str = "web/main") -> list[str]:
        return sorted(json.loads(each.body)["type"] for each in self.sent if each.endpoint == endpoint)


class RecordingMetrics:
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.left: DeliveryBacklog | None = None

    def delivered(self, delivery: Delivery, outcome: DeliveryOutcome, *, dead: bool) -> None:
        self.told.append((outcome.value, dead))

    def backlog(self, backlog: DeliveryBacklog, now: Any) -> None:
        self.left = backlog


class Post:
    """Store with its outbox, and workers that deliver from it."""

    def __init__(self, world: World, clock: FakeClock, observer: RecordingObserver, outbox: Outbox) -> None:
        self.world, self.clock, self.observer = world, clock, observer
        self.outbox = outbox
        self.sender, self.delivery_metrics = FakeSender(), RecordingMetrics()
        self.verifications, self.calls = use_cases(world, FakeProvider(), observer, clock, LISTENING)

    def push(self, consumer: str = "one", policy: Policy = LISTENING) -> DeliverWebhooks:
        return DeliverWebhooks(
            outbox=self.outbox,
            sender=self.sender,
            delivery_metrics=self.delivery_metrics,
            clock=self.clock,
            policy=policy,
            consumer=consumer,
        )

    def delivered(self, policy: Policy = LISTENING) -> int:
        """Deliver everything that is due now and return the number of deliveries."""
        push = self.push(policy=policy)
        count = finish(push)
        push.close()
        return count

    def sweep(self) -> int:
        return ExpireVerifications(
            records_of(self.world, self.observer, LISTENING),
            self.world.deadlines,
            self.clock,
            remind=partial(remind, self.outbox, LISTENING),
        ).run()


def finish(push: DeliverWebhooks) -> int:
    """Deliver until nothing is left to take. A push that is closed earlier leaves the rest to others."""
    total = 0
    while True:
        idle(push)
        taken = push.run()
        total += taken
        if not taken:
            return total


def idle(push: DeliverWebhooks) -> None:
    """Wait until no delivery is under way."""
    for _ in range(SLOTS):
        assert push._free.acquire(timeout=60)
    for _ in range(SLOTS):
        push._free.release()


@pytest.fixture
def post(world: World, clock: FakeClock, observer: RecordingObserver) -> Iterator[Post]:
    if isinstance(world.audit, MemoryAuditLog):
        yield Post(world, clock, observer, world.audit.outbox)
        return
    yield from over_redis(world, clock, observer)


@pytest.fixture
def real_post(real_world: World, clock: FakeClock, observer: RecordingObserver) -> Iterator[Post]:
    yield from over_redis(real_world, clock, observer)


def over_redis(world: World, clock: FakeClock, observer: RecordingObserver) -> Iterator[Post]:
    with redis_connection(world.url) as connection:
        post = Post(world, clock, observer, RedisOutbox(connection, Keys(PEPPER)))
        post.delivered()
        yield post


def test_each_outcome_is_delivered_once_to_the_endpoints_that_asked_for_it(post: Post) -> None:
    made = post.verifications.start("web", ASK).verification
    post.calls.record(call_at(post.clock()))
    post.verifications.consume("web", made.id, "login", "flow")
    post.clock.advance(10)
    post.sweep()
    post.clock.advance(900)
    post.sweep()
    assert post.delivered() == 3
    assert post.sender.types() == ["verification.consumed", "verification.verified"]
    assert post.sender.types("web/consumed") == ["verification.consumed"]
    assert len({each.event_id for each in post.sender.sent}) == 2
    post.push().measure(Term(1, "x"))
    assert post.delivery_metrics.left == DeliveryBacklog(0, 0, 0, None)


def test_an_event_from_before_the_first_worker_is_delivered(
    real_world: World, clock: FakeClock, observer: RecordingObserver
) -> None:
    with redis_connection(real_world.url) as connection:
        post = Post(real_world, clock, observer, RedisOutbox(connection, Keys(PEPPER)))
        post.verifications.start("web", ASK)
        post.calls.record(call_at(clock()))
        # The worker's first round makes the consumer groups.
        assert post.delivered() + post.delivered() == 1
    assert post.sender.types() == ["verification.verified"]


def test_the_payload_is_thin_and_without_the_number(post: Post) -> None:
    made = post.verifications.start("web", ASK).verification
    post.calls.record(call_at(post.clock()))
    post.delivered()
    (delivery,) = post.sender.sent
    assert json.loads(delivery.body) == {
        "type": "verification.verified",
        "timestamp": NOW.isoformat().replace("+00:00", "Z"),
        "data": {
            "id": made.id,
            "status": "verified",
            "reason": "call_matched",
            "purpose": "login",
            "reference": "flow",
        },
    }
    assert NUMBER.digits not in delivery.body
    assert made.id not in repr(delivery)


@contextmanager
def broken_audit(post: Post) -> Iterator[None]:
    """Replace the audit streams by strings, so that nothing can be appended to them."""
    with post.world.client() as client:
        for key in AUDIT:
            client.set(key, "no stream")
        yield
        for key in AUDIT:
            client.delete(key)


def test_an_event_that_was_not_announced_at_once_is_announced_by_the_sweep(real_post: Post) -> None:
    """A change whose audit entry cannot be written happens even so."""
    made = real_post.verifications.start("web", ASK).verification

    with broken_audit(real_post):
        assert real_post.calls.record(call_at(real_post.clock())) is Outcome.CONFIRMED
    assert real_post.delivered() == 0
    real_post.clock.advance(5)
    real_post.sweep()
    assert real_post.delivered() == 1
    with broken_audit(real_post):
        real_post.verifications.consume("web", made.id, "login", "flow")
    real_post.clock.advance(296)
    real_post.sweep()
    assert real_post.delivered() == 2
    assert real_post.sender.types() == ["verification.consumed", "verification.verified"]


def test_expiry_and_a_contest_are_delivered_without_any_read(post: Post) -> None:
    ask = replace(ASK, purpose="contested_login")
    post.verifications.start("web", ask)
    with pytest.raises(VerificationInProgress):
        post.verifications.start("web", replace(ask, reference="another"))
    post.clock.advance(29)
    post.sweep()
    post.clock.advance(900)
    post.sweep()
    post.delivered()
    assert post.sender.types() == ["verification.contested", "verification.expired"]


def test_a_failed_attempt_is_tried_again_later_with_the_same_id_and_body(post: Post) -> None:
    post.verifications.start("web", ASK)
    post.calls.record(call_at(post.clock()))
    post.sender.outcomes["web/main"] = DeliveryOutcome.REFUSED
    for attempt in range(1, 6):
        assert post.delivered() == 1
        assert post.delivered() == 0
        post.clock.advance(delay(attempt).total_seconds() * 1.3)
    del post.sender.outcomes["web/main"]
    assert post.delivered() == 1
    assert post.delivered() == 0
    assert [each.attempt for each in post.sender.sent] == [1, 2, 3, 4, 5, 6]
    assert len({(each.event_id, each.body) for each in post.sender.sent}) == 1
    assert post.delivery_metrics.told[-1] == ("accepted", False)


def test_an_event_that_never_arrives_is_a_dead_letter_that_an_operator_can_send_again(post: Post) -> None:
    post.verifications.start("web", ASK)
    post.calls.record(call_at(post.clock()))
    post.sender.outcomes["web/main"] = DeliveryOutcome.TIMEOUT
    for _ in range(MOST_ATTEMPTS):
        assert post.delivered() == 1
        post.clock.advance(5000)
    assert post.delivery_metrics.told[-2:] == [("timeout", False), ("timeout", True)]
    assert post.delivered() == 0
    audit: AuditLog = post.world.audit
    letters = DeadLetters(post.outbox, audit, post.clock)
    (letter,) = letters.list("ann")
    assert (letter.endpoint, letter.attempt) == ("web/main", MOST_ATTEMPTS)
    assert letters.replay("ann", "fixed", "evt_none") == 0
    assert letters.replay("ann", "fixed", letter.event_id) == 1
    assert letters.replay("ann", "fixed", letter.event_id) == 0
    assert letters.replay("ann", "fixed") == 0
    del post.sender.outcomes["web/main"]
    assert post.delivered() == 1
    assert (post.sender.sent[-1].event_id, post.sender.sent[-1].attempt) == (letter.event_id, 1)
    # Redis names entries by its own clock.
    kept = audit.read(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    acts = [(each["event"], each.get("event_id")) for each in kept if each["actor"] == "operator:ann"]
    one = ("replay", letter.event_id)
    assert acts == [("dead_letters", None), ("replay", "evt_none"), one, one, ("replay", None)]


@pytest.mark.parametrize("gone", ["answers 410", "left the policy"])
def test_an_event_for_an_endpoint_that_is_gone_is_a_dead_letter_at_once(post: Post, gone: str) -> None:
    post.verifications.start("web", ASK)
    post.calls.record(call_at(post.clock()))
    post.sender.outcomes["web/main"] = DeliveryOutcome.GONE
    post.delivered(policy=LISTENING if gone == "answers 410" else POLICY)
    assert post.delivery_metrics.told[0][1] is True
    assert len(list(post.outbox.dead())) == 1


def test_a_dead_letter_too_many_is_dropped_and_logged(
    real_post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox_module, "_MOST_DEAD", AUDIT_PARTS)
    for name in ("evt_1", "evt_2"):
        real_post.outbox.announce(NUMBER.value, Announcement(name, (Delivery(name, "web/gone", "{}"),), 60))

    real_post.delivered()

    # Both are delivered at the same time, so either may be the first.
    assert len(list(real_post.outbox.dead())) == 1
    assert [each.getMessage() for each in caplog.records if "dropped" in each.getMessage()] == [
        "dead letter dropped: there are too many"
    ]


def test_a_killed_workers_deliveries_are_taken_over(real_post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    real_post.verifications.start("web", ASK)
    real_post.calls.record(call_at(real_post.clock()))
    (lost,) = real_post.outbox.take("killed", SLOTS)
    assert real_post.delivered() == 0
    monkeypatch.setattr(outbox_module, "TAKEN_OVER_AFTER_MS", 0)
    assert real_post.delivered() == 1
    assert real_post.sender.sent[0].event_id == lost.delivery.event_id
    # The first worker was only thought dead and settles late. The event is not sent a second time.
    real_post.outbox.defer(lost, lost.delivery, real_post.clock())
    assert real_post.delivered() == 0


def test_an_endpoint_that_hangs_leaves_room_for_the_others(post: Post) -> None:
    for index in range(40):
        number = f"+7999200{index:04d}"
        made = post.verifications.start("web", replace(ASK, phone_number=number)).verification
        post.calls.record(call_at(post.clock(), made.phone_number))
        post.verifications.consume("web", made.id, "login", "flow")
    push = post.push()
    for free in [push._free_of["web/main"]] * 4:
        free.acquire()
    finish(push)
    push.close()
    assert len(post.sender.types("web/consumed")) == 40
    assert post.sender.types("web/main") == []
    push.measure(Term(1, "x"))
    assert post.delivery_metrics.left is not None
    assert post.delivery_metrics.left.retrying == 80


def test_a_worker_with_two_free_slots_still_takes_every_delivery(post: Post) -> None:
    numbers = [f"+7999123{index:04}" for index in range(24)]
    for index, number in enumerate(numbers):
        delivery = Delivery(f"evt_{index}", "web/main", "{}")
        post.outbox.announce(number, Announcement(f"evt_{index}", (delivery,), 60))

    rounds = [post.outbox.take("one", 2) for _ in range(24 * AUDIT_PARTS)]

    assert max(map(len, rounds)) <= 2
    taken = [each.delivery.event_id for found in rounds for each in found]
    assert sorted(taken) == sorted(f"evt_{index}" for index in range(24))


def test_many_workers_deliver_each_event_once(post: Post) -> None:
    for index in range(60):
        number = f"+7999300{index:04d}"
        made = post.verifications.start("web", replace(ASK, phone_number=number)).verification
        post.calls.record(call_at(post.clock(), made.phone_number))
    pushes = [post.push(f"worker-{index}") for index in range(4)]
    together(4, lambda index: [pushes[index].run() for _ in range(20)])
    for push in pushes:
        finish(push)
        push.close()
    assert len(post.sender.sent) == 60
    assert len({each.event_id for each in post.sender.sent}) == 60


def test_a_client_without_endpoints_leaves_no_keys(
    real_world: World, clock: FakeClock, observer: RecordingObserver
) -> None:
    verifications, calls = use_cases(real_world, FakeProvider(), observer, clock)
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    client = real_world.client()
    kinds = {key.rpartition("}:")[2].partition(":")[0] for key in all_keys(client)}
    assert not kinds & {"deliveries", "announced"}
    client.close()


def test_every_key_of_the_outbox_expires(real_post: Post) -> None:
    real_post.verifications.start("web", ASK)
    real_post.calls.record(call_at(real_post.clock()))
    real_post.sender.outcomes["web/main"] = DeliveryOutcome.REFUSED
    real_post.delivered()
    real_post.sender.outcomes["web/main"] = DeliveryOutcome.GONE
    real_post.verifications.start("web", replace(ASK, phone_number=OTHER_NUMBER.value))
    real_post.calls.record(call_at(real_post.clock(), OTHER_NUMBER))
    real_post.delivered()
    client = real_post.world.client()
    keys = all_keys(client)
    assert {"retries", "dead"} <= {key.rpartition(":")[2] for key in keys}
    assert all(ttl > 0 for ttl in keys.values())
    client.close()


def test_a_request_makes_no_more_round_trips_with_webhooks_than_without(
    real_world: World, clock: FakeClock, observer: RecordingObserver
) -> None:
    """The server itself counts the commands of a journey: create, call, read, consume."""

    def journey(policy: Policy) -> int:
        client: Any = real_world.client()
        client.flushall()
        verifications, calls = use_cases(real_world, FakeProvider(), observer, clock, policy)
        for warm in range(2):
            before = commands(client)
            number = f"+799912345{warm:02d}"
            made = verifications.start("web", replace(ASK, phone_number=number)).verification
            calls.record(call_at(clock(), made.phone_number))
            verifications.get("web", made.id)
            verifications.consume("web", made.id, "login", "flow")
        count = commands(client) - before
        client.close()
        return count

    assert journey(LISTENING) == journey(POLICY) > 0


def commands(client: Any) -> int:
    """Return how often the server ran the commands that a client sends."""
    nodes = [client]
    if isinstance(client, RedisCluster):
        nodes = [client.get_redis_connection(node) for node in client.get_primaries()]
    calls = 0
    for node in nodes:
        stats = node.info("commandstats")
        sent = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_get", "cmdstat_exists", "cmdstat_hget"}
        calls += sum(each["calls"] for name, each in stats.items() if name in sent)
    return calls


def test_the_id_of_an_event_depends_only_on_the_record_and_the_type() -> None:
    record = judge_call(pending(), call_at(NOW), NOW, seconds(5))[1]
    consumed = record.consume("login", "flow", NOW)
    (verified,), (again, last) = events_of(record, NOW), events_of(consumed, NOW)
    assert verified.id == again.id != last.id
    assert again.type.status == "verified"
    assert again.reason == "call_matched"
    # The id does not depend on the time, so an event that is announced late has the same id.
    canceled = pending().cancel(NOW)
    (now,), (later,) = events_of(canceled, NOW), events_of(canceled, NOW + seconds(900))
    assert now.id == later.id


def test_delays_double_up_to_an_hour() -> None:
    least = [1, 2, 4, 8, 16, 32]
    assert all(base <= delay(n + 1).total_seconds() <= base * 1.25 for n, base in enumerate(least))
    assert 3600 <= delay(19).total_seconds() <= 4500
    assert isinstance(Client("x", frozenset()).webhooks, tuple)
