"""The pepper rotates while replicas with the old and the new order of peppers run side by side."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, Verifications, call_at, operating, together, use_cases, with_limits
from tests.worlds import OTHER_PEPPER, PEPPER, World, redis_world
from waitcall.application.create import CreateCommand
from waitcall.application.operate import Subject
from waitcall.application.ports import Answer, Begun
from waitcall.application.record_call import RecordInboundCall
from waitcall.domain.errors import (
    IdempotencyInFlight,
    IdempotencyKeyReused,
    RateLimited,
    StoreUnavailable,
    VerificationInProgress,
)
from waitcall.domain.limits import Limit, LimitCheck, Scope
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

ASK = CreateCommand(NUMBER.value, "login", "flow")
STEPS = {
    "old": (PEPPER,),
    "old, knows new": (PEPPER, OTHER_PEPPER),
    "new, knows old": (OTHER_PEPPER, PEPPER),
    "new": (OTHER_PEPPER,),
}


@dataclass
class Replica:
    world: World
    verifications: Verifications
    calls: RecordInboundCall


@pytest.fixture
def replicas(
    real_world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock
) -> Iterator[dict[str, Replica]]:
    policy = with_limits(number=["5/10m"], client=["100/h"])
    with ExitStack() as stack:
        running = {}
        for name, peppers in STEPS.items():
            world = stack.enter_context(
                redis_world(real_world.url, server=real_world.server, peppers=peppers)
            )
            running[name] = Replica(world, *use_cases(world, provider, observer, clock, policy))
        yield running


NEIGHBOURS = [
    ("old", "old, knows new"),
    ("old, knows new", "new, knows old"),
    ("new, knows old", "old, knows new"),
]


@pytest.mark.parametrize(("first", "second"), NEIGHBOURS)
def test_one_replica_finishes_what_the_other_started(replicas, clock, first, second) -> None:
    one, other = replicas[first], replicas[second]
    record = one.verifications.start("web", ASK).verification

    assert not other.verifications.start("web", ASK).created
    with pytest.raises(VerificationInProgress):
        other.verifications.start("app", ASK)
    assert other.calls.record(call_at(clock())) is Outcome.CONFIRMED
    assert one.calls.record(call_at(clock())) is Outcome.REPEATED
    assert one.verifications.consume("web", record.id, "login", "flow").status is Status.CONSUMED
    with pytest.raises(VerificationInProgress):
        other.verifications.start("app", ASK)
    clock.advance(30)
    assert other.verifications.start("app", ASK).created
    with pytest.raises(VerificationInProgress):
        one.verifications.start("web", ASK)


def test_a_record_is_read_and_consumed_by_its_id_under_any_pepper(replicas, clock) -> None:
    record = replicas["old"].verifications.start("web", ASK).verification
    replicas["old"].calls.record(call_at(clock()))

    assert replicas["new"].verifications.get("web", record.id).status is Status.VERIFIED
    assert replicas["new"].verifications.consume("web", record.id, "login", "flow").id == record.id


@pytest.mark.parametrize(("first", "second"), NEIGHBOURS)
@pytest.mark.parametrize("call_id", [None, "CA0123"])
def test_a_call_used_under_one_pepper_is_used_under_the_other(
    replicas, clock, first, second, call_id: str | None
) -> None:
    """The call matched nothing, but it must not verify a verification that is created a moment later."""
    call = replace(call_at(clock()), id=call_id)
    assert replicas[first].calls.record(call) is Outcome.UNMATCHED

    replicas[second].verifications.start("web", ASK)

    assert replicas[second].calls.record(call) is Outcome.REPEATED
    assert replicas[first].calls.record(call) is Outcome.REPEATED


@pytest.mark.parametrize("rounds", range(3))
def test_at_most_one_of_simultaneous_creates_on_both_sides_succeeds(replicas, provider, rounds) -> None:
    sides = [replicas["old, knows new"], replicas["new, knows old"]]

    results = together(
        30,
        lambda index: sides[index % 2].verifications.start(
            "web", CreateCommand(NUMBER.value, "login", f"r{index}")
        ),
    )

    # Each side may give way to the other. Then none of the creates succeeds, and that is right too.
    won = [each for each in results if not isinstance(each, Exception)]
    assert len(won) <= 1
    assert {type(each) for each in results if isinstance(each, Exception)} <= {
        VerificationInProgress,
        StoreUnavailable,
    }
    assert len(provider.orders) == len(won)
    live = [side.world.store.latest_of(NUMBER.value) for side in sides]
    assert len({stored.verification.id for stored in live if stored}) <= 1


def test_creates_one_after_another_alternate_between_the_sides(replicas, clock) -> None:
    sides = [replicas["old, knows new"], replicas["new, knows old"]]
    seen: list[Verification] = []
    for index in range(5):
        record = sides[index % 2].verifications.start("web", ASK).verification
        seen.append(record)
        assert sides[(index + 1) % 2].verifications.cancel("web", record.id).status is Status.CANCELED

    assert len({record.id for record in seen}) == 5
    with pytest.raises(RateLimited):
        sides[1].verifications.start("web", ASK)
    clock.advance(600)
    assert sides[1].verifications.start("web", ASK).created


def test_a_rotation_resets_no_limit_and_an_operator_sees_both_sides(replicas, observer, clock) -> None:
    old, new = replicas["old, knows new"], replicas["new, knows old"]
    for index in range(5):
        side = (old, new)[index % 2]
        side.verifications.cancel("web", side.verifications.start("web", ASK).verification.id)
    for side in (old, new):
        with pytest.raises(RateLimited) as refused:
            side.verifications.start("web", ASK)
        assert refused.value.retry_after == 600

    operator = operating(new.world, observer, clock, with_limits(number=["5/10m"]))
    (number, total, _) = operator.explain("ops", Subject(NUMBER.value)).limits
    assert (number.used, number.remaining, total.used) == (5, 0, 0)
    operator.unblock("ops", Subject(NUMBER.value), "why")
    (number, *_) = operator.explain("ops", Subject(NUMBER.value)).limits
    assert number.used == 0
    assert old.verifications.start("web", ASK).created


def test_an_uncalled_verification_is_given_back_if_either_side_ends_it(replicas, observer, clock) -> None:
    old, new = replicas["old, knows new"], replicas["new, knows old"]
    operator = operating(new.world, observer, clock, with_limits(number=["5/10m"]))
    for began, ended in ((old, new), (new, old)):
        record = began.verifications.start("web", ASK).verification
        assert operator.explain("ops", Subject(NUMBER.value)).limits[1].used == 1
        ended.verifications.cancel("web", record.id)
        assert operator.explain("ops", Subject(NUMBER.value)).limits[1].used == 0


def test_a_records_seal_of_an_address_counts_for_the_address_after_a_rotation_too(replicas, clock) -> None:
    old, new = (replicas[name].world.limits for name in ("old, knows new", "new, knows old"))
    limit = Limit(2, 600)
    raw = LimitCheck(Scope.IP, "192.0.2.1", limit)
    sealed = LimitCheck(Scope.IP, "", limit, old.seal(Scope.IP, "192.0.2.1"))

    assert new.take([sealed], "a fallback", clock()).refusal is None

    assert [side.look([raw], clock())[0].used for side in (old, new)] == [1, 1]
    assert new.take([raw], "a create", clock()).refusal is None
    assert new.take([raw], "another", clock()).refusal is not None


def test_an_idempotency_key_is_the_same_under_both_peppers(replicas) -> None:
    old, new = (replicas[name].world.idempotency for name in ("old, knows new", "new, knows old"))
    begun = old.begin("web", "POST /", "key", b"body")
    assert isinstance(begun, Begun)
    with pytest.raises(IdempotencyInFlight):
        new.begin("web", "POST /", "key", b"body")
    old.complete(begun, Answer(201, "{}", "/v1/x"), 60)

    assert new.begin("web", "POST /", "key", b"body") == Answer(201, "{}", "/v1/x")
    with pytest.raises(IdempotencyKeyReused):
        new.begin("web", "POST /", "key", b"other")


def test_the_audit_stream_of_a_number_spans_the_rotation(replicas, clock) -> None:

    old, new = replicas["old, knows new"], replicas["new, knows old"]
    record = old.verifications.start("web", ASK).verification
    clock.advance(1)
    new.verifications.cancel("web", record.id)

    ages = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assert [e["event"] for e in new.world.audit.read(*ages, NUMBER.value)] == ["started", "canceled"]


def test_a_repeated_call_is_recognized_after_the_last_step_of_a_rotation(replicas, clock) -> None:
    """Replicas that know only the new pepper may start once nothing under the old one is live, used calls included."""
    new = replicas["new, knows old"]
    record = new.verifications.start("web", ASK).verification
    call = call_at(clock())
    assert new.calls.record(call) is Outcome.CONFIRMED

    assert replicas["new"].calls.record(call) is Outcome.REPEATED
    assert replicas["new"].verifications.consume("web", record.id, "login", "flow").status is Status.CONSUMED
