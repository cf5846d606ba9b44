"""A bad entry in Redis is skipped, counted and logged without its content, and everything else works."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contract import test_orders
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import (
    NUMBER,
    OTHER_NUMBER,
    POLICY,
    call_at,
    operating,
    pending,
    records_of,
    use_cases,
    with_limits,
)
from tests.worlds import PEPPER, World
from waitcall.adapters.redis.codec import encode
from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import (
    AUDIT,
    DEAD,
    DELIVERIES,
    DUE,
    FENCE,
    INBOX,
    LEASE,
    LISTS,
    RETRIES,
    Keys,
    due_key,
    order_key,
    orders_to_ask,
)
from waitcall.adapters.redis.leadership import RedisLeadership, RedisProgress
from waitcall.adapters.redis.outbox import GROUP, RedisOutbox
from waitcall.adapters.redis.topology import topology_of
from waitcall.adapters.telemetry.metrics import UNREADABLE_ENTRIES
from waitcall.application.create import CreateCommand
from waitcall.application.effects import Announcement, AuditEntry, Delivery
from waitcall.application.expire import ExpireVerifications
from waitcall.application.ports import Answer, Begun
from waitcall.application.reconcile_inbox import Progress
from waitcall.configuration.redis_url import Address
from waitcall.domain.channel import ProviderOrder
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import Blocked, RecordUnreadable, StoreUnavailable, VerificationInProgress
from waitcall.domain.limits import Limit, LimitCheck, Mode, Scope
from waitcall.domain.lists import ListAction, ListKind
from waitcall.domain.matching import OrderReport, OrderStatus, Outcome
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS
from waitcall.domain.status import Status

KEYS = Keys(PEPPER)
SECRET = "+79990001122"
"""Number inside the garbage, which must not get into the log."""
JUNK = [
    b"\xff\xfe" + SECRET.encode(),
    SECRET.encode(),
    b"",
    b"null",
    b"[]",
    b"{}",
    b"7",
    b'"' + SECRET.encode() + b'"',
    b'{"a":' * 5000,
]
JUNK_IDS = ["not utf-8", "not json", "empty", "null", "list", "object", "number", "text", "deep"]
junk = pytest.mark.parametrize("garbage", JUNK, ids=JUNK_IDS)
EPOCH, FAR = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    for record in caplog.records:
        assert SECRET[1:] not in f"{record.getMessage()} {vars(record)}"


@pytest.fixture
def redis(real_world: World) -> Iterator[Any]:
    client = real_world.client()
    yield client
    client.close()


def journey(world: World, clock: FakeClock, number: str = OTHER_NUMBER.value, policy: Any = POLICY) -> None:
    """Create, call and consume for a number that has nothing to do with the garbage."""
    verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock, policy)
    record = verifications.start("web", CreateCommand(number, "login", "flow")).verification
    assert calls.record(call_at(clock(), record.phone_number)) is Outcome.CONFIRMED
    assert verifications.consume("web", record.id, "login", "flow").status is Status.CONSUMED


def put(world: World, clock: FakeClock, subject: str, kind: ListKind = ListKind.NUMBER) -> None:
    operating(world, RecordingObserver(), clock).put(
        "ops", action=ListAction.BLOCK, kind=kind, subject=subject, reason="why", expires_in=600
    )


def entry(**changes: object) -> bytes:
    told = {"action": "block", "kind": "number", "subject": SECRET, "reason": "w", "by": "ops"}
    return json.dumps(told | {"created_at": None, "expires_at": 4e9} | changes).encode()


@pytest.mark.parametrize(
    "garbage",
    [
        *JUNK,
        entry(action="quarantine"),
        entry(kind="carrier"),
        entry(kind="network", subject="no network"),
        entry(kind="network", subject=5),
        entry(kind="prefix", subject="7800"),
        entry(expires_at="soon"),
        entry(expires_at=1e300),
        entry(expires_at=float("nan")),
        entry(subject=None, kind="prefix"),
    ],
    ids=[
        *JUNK_IDS, "action", "kind", "network", "network of another type", "prefix", "time in words", "far time",
        "no time", "no subject",
    ],
)  # fmt: skip
def test_a_bad_entry_of_the_lists_lets_the_others_work(
    real_world: World, redis: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    put(real_world, clock, NUMBER.value)
    redis.hset(LISTS, "number:+1", garbage)
    redis.hset(LISTS, "rev", "another")

    journey(real_world, clock)
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    with pytest.raises(Blocked):
        verifications.start("web", CreateCommand(NUMBER.value, "login"))
    operator = operating(real_world, RecordingObserver(), clock)
    assert [each.subject for each in operator.lists("ops")] == [NUMBER.value]
    # It is told once for each change of the lists, not for each read. It is an error, as it may have been a block.
    assert real_world.unreadable == ["lists"]
    (line,) = [each for each in caplog.records if each.getMessage() == "unreadable entry"]
    assert (line.levelno, vars(line)["where"]) == (logging.ERROR, "lists")
    put(real_world, clock, "+7800", ListKind.PREFIX)
    assert {each.subject for each in operator.lists("ops")} == {NUMBER.value, "+7800"}


@pytest.mark.parametrize("rev", [b"\xff\xfe", b"", b"{}", None], ids=["not utf-8", "empty", "json", "none"])
def test_an_odd_rev_of_the_lists_hides_no_block(
    real_world: World, redis: Any, clock: FakeClock, rev: bytes | None
) -> None:
    redis.hset(LISTS, f"number:{NUMBER.value}", entry(subject=NUMBER.value))
    if rev is not None:
        redis.hset(LISTS, "rev", rev)

    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    with pytest.raises(Blocked):
        verifications.start("web", CreateCommand(NUMBER.value, "login"))
    journey(real_world, clock)


@pytest.mark.parametrize(
    "member",
    [b"\xff\xfe", b"garbage", b"", SECRET.encode(), b"ver_" + b"0" * 64, b"ver_" + b"g" * 64],
    ids=["not utf-8", "no id", "empty", "number", "id of another part", "nearly an id"],
)
def test_a_bad_member_of_the_deadlines_stops_no_sweep_and_is_taken_out(
    real_world: World, redis: Any, clock: FakeClock, member: bytes
) -> None:
    for key in DUE[1:]:
        redis.zadd(key, {member: 0})
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    clock.advance(900)

    sweep = ExpireVerifications(records_of(real_world, RecordingObserver()), real_world.deadlines, clock)
    assert sweep.run() == 1

    assert verifications.get("web", record.id).status is Status.EXPIRED
    assert real_world.unreadable == ["deadlines"] * 7
    assert sweep.run() == 0
    assert not real_world.deadlines.is_busy()
    assert len(real_world.unreadable) == 7


def test_many_bad_deadlines_hide_no_good_one(real_world: World, redis: Any, clock: FakeClock) -> None:
    """There are more bad members than are read at a time, and all of them are due earlier."""
    for key in DUE:
        redis.zadd(key, {f"garbage {each}": each for each in range(250)})
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    clock.advance(900)
    sweep = ExpireVerifications(records_of(real_world, RecordingObserver()), real_world.deadlines, clock)

    for _ in range(5):
        sweep.run()

    assert verifications.get("web", record.id).status is Status.EXPIRED
    assert not real_world.deadlines.is_busy()


def test_a_part_of_the_deadlines_that_is_no_set_stops_no_other(
    real_world: World, redis: Any, clock: FakeClock
) -> None:
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    other = next(key for key in DUE if key != due_key(record.id))
    redis.set(other, SECRET, px=60_000)
    clock.advance(900)

    assert (
        ExpireVerifications(records_of(real_world, RecordingObserver()), real_world.deadlines, clock).run()
        == 1
    )

    assert real_world.deadlines.is_busy() is False
    assert set(real_world.unreadable) == {"deadlines"}
    journey(real_world, clock)


def newer(record: bytes) -> bytes:
    return json.dumps(json.loads(record) | {"schema": 99}).encode()


@pytest.mark.parametrize(
    "make", [*(lambda _, each=each: each for each in JUNK[:1] + JUNK[1:]), newer], ids=[*JUNK_IDS, "newer"]
)
def test_a_record_that_cannot_be_read_is_due_again_later_and_stops_no_sweep(
    real_world: World, redis: Any, clock: FakeClock, make: Callable[[bytes], bytes]
) -> None:
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    bad = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    good = verifications.start("web", CreateCommand(OTHER_NUMBER.value, "login", "flow")).verification
    spoil(redis, bad.id, make)
    clock.advance(900)

    sweep = ExpireVerifications(records_of(real_world, RecordingObserver()), real_world.deadlines, clock)
    assert sweep.run() == 2

    assert verifications.get("web", good.id).status is Status.EXPIRED
    assert real_world.unreadable == ["record"]
    assert sweep.run() == 0
    clock.advance(60)
    assert sweep.run() == 1


def spoil(redis: Any, verification_id: str, make: Callable[[bytes], bytes]) -> None:
    key = KEYS.record(verification_id)
    assert key is not None
    redis.set(key, make(redis.get(key)), px=86_400_000)


@pytest.mark.parametrize(
    "make",
    [*(lambda _, each=each: each for each in JUNK if each), newer],
    ids=[*(each for each in JUNK_IDS if each != "empty"), "newer"],
)
def test_a_live_record_that_cannot_be_read_holds_its_number_but_not_for_ever(
    real_world: World, redis: Any, clock: FakeClock, make: Callable[[bytes], bytes]
) -> None:
    """The record may be pending for another requester, so the number is taken until the longest window is over."""
    verifications, calls = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    spoil(redis, record.id, make)
    pointer = KEYS.latest(KEYS.tag(NUMBER.value))
    redis.pexpire(pointer, 86_400_000)

    for _ in range(3):
        with pytest.raises(VerificationInProgress) as refused:
            verifications.start("web", CreateCommand(NUMBER.value, "login", "other"))
        assert 0 < (refused.value.retry_after or 0) <= LONGEST_WINDOW_SECONDS
    # The provider must send the callback again, because another version of the service may read the record.
    with pytest.raises(StoreUnavailable):
        calls.record(call_at(clock()))
    with pytest.raises(RecordUnreadable):
        verifications.get("web", record.id)
    with pytest.raises(RecordUnreadable):
        verifications.consume("web", record.id, "login", "flow")
    assert 0 < redis.pttl(pointer) <= LONGEST_WINDOW_SECONDS * 1000
    assert set(real_world.unreadable) == {"record"}
    journey(real_world, clock)
    # The number can be blocked even so.
    put(real_world, clock, NUMBER.value)
    operating(real_world, RecordingObserver(), clock).remove("ops", ListKind.NUMBER, NUMBER.value, "why")

    redis.delete(pointer)
    assert verifications.start("web", CreateCommand(NUMBER.value, "login", "other")).created


def test_a_hold_that_ends_sooner_is_not_made_longer(real_world: World, redis: Any, clock: FakeClock) -> None:
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    spoil(redis, record.id, newer)
    pointer = KEYS.latest(KEYS.tag(NUMBER.value))
    redis.pexpire(pointer, 30_000)

    with pytest.raises(VerificationInProgress) as refused:
        verifications.start("web", CreateCommand(NUMBER.value, "login", "other"))

    assert refused.value.retry_after in range(1, 31)
    assert redis.pttl(pointer) <= 30_000


def test_the_record_of_another_id_is_unreadable(real_world: World, redis: Any, clock: FakeClock) -> None:
    """Otherwise the requester could consume the proof of another number."""
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    other = encode(pending(real_world.store.new_id(OTHER_NUMBER), number=OTHER_NUMBER))
    spoil(redis, record.id, lambda _: other)

    with pytest.raises(RecordUnreadable):
        verifications.consume("web", record.id, "login", "flow")


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"garbage", b"", b"ver_" + b"0" * 64, b"\xff" * 68])
def test_a_pointer_to_nothing_is_healed_by_the_next_create(
    real_world: World, redis: Any, clock: FakeClock, garbage: bytes
) -> None:
    redis.set(KEYS.latest(KEYS.tag(NUMBER.value)), garbage, px=60_000)
    _, calls = use_cases(real_world, FakeProvider(), RecordingObserver(), clock)
    assert real_world.store.latest_at(KEYS.tag(NUMBER.value)) is None

    assert calls.record(call_at(clock())) is Outcome.UNMATCHED
    clock.advance(60)

    journey(real_world, clock, NUMBER.value)


@pytest.fixture
def stage(real_world: World, observer: RecordingObserver, clock: FakeClock) -> test_orders.Stage:
    return test_orders.Stage(real_world, observer, clock)


def test_a_bad_order_to_ask_about_stops_no_other_and_is_taken_out(
    stage: test_orders.Stage, redis: Any
) -> None:
    record = stage.start()
    redis.zadd(orders_to_ask("smsru"), {b"\xff\xfe" + SECRET.encode(): 0})
    stage.clock.advance(20)

    assert stage.world.orders.to_ask("smsru", stage.clock()) == [test_orders.ORDER]

    assert stage.world.unreadable == ["orders"]
    assert stage.world.orders.to_ask("smsru", stage.clock()) == [test_orders.ORDER]
    assert stage.world.unreadable == ["orders"]
    assert stage.get(record).status is Status.PENDING


def test_an_order_whose_record_cannot_be_read_stops_no_other(stage: test_orders.Stage, redis: Any) -> None:
    bad = stage.start()
    other = ProviderOrder("smsru", "201737-543")
    stage.world.orders.remember(other, "no id of ours", stage.clock(), stage.clock())
    spoil(redis, bad.id, newer)
    stage.clock.advance(30)

    assert stage.poll.run(test_orders.TERM) == 0

    # The order whose record is unreadable is asked about later, the one with an invalid id never again.
    assert stage.world.orders.to_ask("smsru", stage.clock()) == []
    stage.clock.advance(60)
    assert stage.world.orders.to_ask("smsru", stage.clock()) == [test_orders.ORDER]


def test_an_index_that_points_to_garbage_matches_nothing(stage: test_orders.Stage, redis: Any) -> None:
    stage.start()
    redis.set(order_key(test_orders.ORDER), b"\xff\xfe" + SECRET.encode(), px=60_000)

    at = stage.clock().replace(microsecond=0)
    assert stage.reports.record(OrderReport(test_orders.ORDER, OrderStatus.CALLED, at)) is Outcome.UNMATCHED
    assert stage.world.unreadable == ["orders"]


@pytest.fixture
def counted(real_world: World) -> Iterator[tuple[Connection, list[str]]]:
    told: list[str] = []
    connection = Connection(
        topology_of(Address.parse(real_world.url), 20), lambda _: None, count_unreadable=told.append
    )
    yield connection, told
    connection.close()


BAD_DELIVERIES = [*JUNK, b'["evt","web/main","no number","{}"]', b'["evt","web/main",1]']


@pytest.mark.parametrize("garbage", BAD_DELIVERIES, ids=[*JUNK_IDS, "attempt", "short"])
def test_a_bad_delivery_is_put_among_the_dead_letters_and_stops_no_other(
    redis: Any, counted: tuple[Connection, list[str]], clock: FakeClock, garbage: bytes
) -> None:
    connection, told = counted
    outbox = RedisOutbox(connection, KEYS)
    assert outbox.take("worker", 64) == []
    part = KEYS.audit_part(NUMBER.value)
    redis.xadd(DELIVERIES[part], {"d": garbage})
    redis.xadd(DELIVERIES[part], {"e": "another field"})
    redis.zadd(RETRIES[part], {b"\xff\xfe": 0})
    outbox.announce(NUMBER.value, Announcement("evt_1", (Delivery("evt_1", "web/main", "{}"),), 60))
    assert outbox.wake(clock()) == 1

    taken = outbox.take("worker", 64)

    assert [each.delivery.event_id for each in taken] == ["evt_1"]
    assert told == ["deliveries"] * 3
    outbox.bury(taken[0], taken[0].delivery)
    backlog = outbox.backlog()
    assert (backlog.waiting, backlog.retrying) == (0, 0)
    assert outbox.take("worker", 64) == []
    assert redis.xpending(DELIVERIES[part], GROUP)["pending"] == 0
    # The operator sees the dead letters that can be read, and may send them again.
    assert [each.event_id for each in outbox.dead()] == ["evt_1"]
    assert outbox.replay("evt_1", "web/main")
    assert set(told) == {"deliveries", "dead_letters"}
    (name,) = [each for each in redis.hkeys(DEAD[part]) if redis.hget(DEAD[part], each) == b"\xff\xfe"]
    event, endpoint = name.decode().split(" ")
    assert not outbox.replay(event, endpoint)


def test_a_part_of_the_deliveries_that_is_no_stream_stops_no_other(
    redis: Any, counted: tuple[Connection, list[str]]
) -> None:
    connection, told = counted
    outbox, part = RedisOutbox(connection, KEYS), KEYS.audit_part(NUMBER.value)
    redis.set(DELIVERIES[part - 1], SECRET, px=60_000)
    outbox.take("worker", 64)
    outbox.announce(NUMBER.value, Announcement("evt_1", (Delivery("evt_1", "web/main", "{}"),), 60))

    assert [each.delivery.event_id for each in outbox.take("worker", 64)] == ["evt_1"]
    assert set(told) == {"deliveries"}


@pytest.mark.parametrize(
    "fields",
    [
        {b"\xff": b"x"},
        {b"at": b"\xff", b"event": b"x", b"actor": b"y"},
        {b"event": b"no time"},
        {b"at": SECRET.encode()},
    ],
    ids=["name", "value", "no time", "no event"],
)
def test_a_bad_audit_entry_is_left_out_of_an_export(
    real_world: World, redis: Any, clock: FakeClock, fields: dict[bytes, bytes]
) -> None:
    for part in AUDIT:
        redis.xadd(part, fields)
    real_world.audit.append(AuditEntry(clock(), "started", "client:web", NUMBER.value))

    assert [each["event"] for each in real_world.audit.read(EPOCH, FAR)] == ["started"]
    assert [each["event"] for each in real_world.audit.read(EPOCH, FAR, NUMBER.value)] == ["started"]
    assert set(real_world.unreadable) == {"audit"}


@pytest.mark.parametrize("value", [b"garbage", b"\xff\xfe", b"", b":holder", SECRET.encode()])
@pytest.mark.parametrize("keep_ms", [None, 86_400_000], ids=["for ever", "for a day"])
def test_a_bad_lease_ends_as_soon_as_a_good_one(
    redis: Any, counted: tuple[Connection, list[str]], value: bytes, keep_ms: int | None
) -> None:
    connection, told = counted
    redis.set(LEASE, value, px=keep_ms)
    leadership = RedisLeadership(connection)

    assert leadership.take("worker") is None

    assert told == ["lease"]
    assert 0 < redis.pttl(LEASE) <= 10_000
    redis.delete(LEASE)
    term = leadership.take("worker")
    assert term is not None
    assert leadership.take("worker") == term


@pytest.mark.parametrize("value", [b"garbage", b"\xff\xfe", b"", b"1.5"])
def test_a_bad_fence_gives_way_to_a_higher_one(
    redis: Any, counted: tuple[Connection, list[str]], value: bytes
) -> None:
    connection, told = counted
    redis.set(FENCE, value)
    leadership = RedisLeadership(connection)

    term = leadership.take("worker")

    assert term is not None
    assert term.fence > 10**9
    assert told == ["lease"]
    assert redis.pttl(FENCE) > 0
    leadership.resign(term)
    successor = leadership.take("another")
    assert successor is not None
    assert successor.fence == term.fence + 1


@pytest.mark.parametrize(
    "garbage",
    [
        *JUNK[:2],
        *JUNK[4:5],
        *JUNK[6:],
        b'{"after_id": "x"}',
        b'{"asked_at": "x"}',
        b'{"asked_at": 1e300}',
        b'{"utc_offset": []}',
    ],
)
def test_bad_progress_of_the_inbox_is_replaced_by_fresh_progress(
    redis: Any, counted: tuple[Connection, list[str]], garbage: bytes
) -> None:
    connection, told = counted
    redis.set(INBOX, garbage, px=60_000)
    progress = RedisProgress(connection)

    assert progress.load() == Progress()

    assert told == ["inbox"]
    term = RedisLeadership(connection).take("worker")
    assert term is not None
    assert progress.save(term, Progress(after_id=7))
    assert progress.load() == Progress(after_id=7)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"s:0", b"garbage"),
        (b"s:0", b"\xff"),
        (b"\xff\xfe", b"1"),
        (b"c:" + b"9" * 5000, b"1"),
        (b"s:", b"1"),
        (b"s:0", b"-5"),
    ],
)
def test_a_bad_count_of_the_conversion_guard_is_ignored_and_removed(
    real_world: World, redis: Any, clock: FakeClock, field: bytes, value: bytes
) -> None:
    budget = ConversionBudget(Group.COUNTRY, Mode.ENFORCE)
    policy = replace(POLICY, conversion=(budget,))
    key = KEYS.conversion(budget, "RU")
    redis.hset(key, field, value)

    journey(real_world, clock, policy=policy)

    assert real_world.unreadable == ["conversions"]
    assert not redis.hexists(key, field)
    counted = real_world.conversions.buckets(budget, "RU")
    assert [(each.started, each.called) for each in counted] == [(1, 1)]


def test_bad_fields_that_pile_up_are_pruned(real_world: World, redis: Any, clock: FakeClock) -> None:
    budget = ConversionBudget(Group.COUNTRY, Mode.ENFORCE)
    policy = replace(POLICY, conversion=(budget,))
    key = KEYS.conversion(budget, "RU")
    redis.hset(key, mapping={f"x:{each}y": 1 for each in range(300)})
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), clock, policy)

    verifications.start("web", CreateCommand(NUMBER.value, "login"))

    assert redis.hlen(key) == 1


@pytest.mark.parametrize("score", ["inf", 1e15])
def test_a_use_with_an_impossible_time_counts_for_no_limit(
    real_world: World, redis: Any, clock: FakeClock, score: Any
) -> None:
    policy = with_limits(**{"global": ["2/h"]})
    key = KEYS.limit(LimitCheck(Scope.GLOBAL, "", Limit(2, 3600)))
    redis.zadd(key, {b"\xff\xfe" + SECRET.encode(): score, b"another": score})
    limit = LimitCheck(Scope.GLOBAL, "", Limit(2, 3600))
    (state,) = real_world.limits.look([limit], clock())
    assert 0 <= state.reset_seconds <= 3600

    journey(real_world, clock, policy=policy)

    assert real_world.unreadable == ["limits"] * 2
    assert redis.zcard(key) == 1


@pytest.mark.parametrize(
    "garbage",
    [*JUNK, b'{"request":"x","status":"200","body":"","location":null}', b'{"request":"x","status":200}'],
    ids=[*JUNK_IDS, "status", "no body"],
)
def test_a_bad_stored_answer_frees_its_idempotency_key(real_world: World, redis: Any, garbage: bytes) -> None:
    key = KEYS.answer("web", "route", "key")
    redis.set(key, garbage, px=3_600_000)
    store = real_world.idempotency

    begun = store.begin("web", "route", "key", b"body")

    assert isinstance(begun, Begun)
    assert real_world.unreadable == ["answers"]
    store.complete(begun, Answer(200, "{}"), 60)
    assert store.begin("web", "route", "key", b"body") == Answer(200, "{}")


def test_the_metric_has_twelve_different_places() -> None:
    assert len(set(UNREADABLE_ENTRIES)) == len(UNREADABLE_ENTRIES) == 12
