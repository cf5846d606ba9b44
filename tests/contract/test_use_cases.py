"""Use cases over every store: everything that a client is promised, with a clock that the tests move."""

import threading
from collections import Counter

import pytest
from waitcall.application.create import CreateCommand, Created
from waitcall.application.expire import Sweep
from waitcall.domain.call import Outcome
from waitcall.domain.errors import (
    AlreadyConsumed,
    InvalidPhoneNumber,
    NotFound,
    NotVerified,
    NumberRefused,
    PhoneNumberNotAllowed,
    ProviderError,
    ProviderUnavailable,
    PurposeNotAllowed,
    RateLimited,
    ValidationFailed,
    VerificationInProgress,
)
from waitcall.domain.numbers import E164
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

from tests.fakes.clock import FakeClock
from tests.fakes.outside import SHOWN, FakeProvider, RecordingObserver
from tests.making import (
    NUMBER,
    call_at,
    effects_of,
    opened,
    plan,
    reserve,
    seconds,
    together,
    use_cases,
    with_limits,
)
from tests.worlds import World

ASK = CreateCommand(NUMBER.value, "login", "flow")


@pytest.fixture(autouse=True)
def _stage(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> None:
    """Run every test of this module over every store."""


@pytest.fixture
def service(world, provider, observer, clock):
    return use_cases(world, provider, observer, clock)


def test_the_main_job(service, clock, observer) -> None:
    verifications, calls = service
    started = verifications.start("web", ASK)
    assert started.created
    assert (started.verification.status, started.verification.call_number) == (Status.PENDING, SHOWN)
    clock.advance(30)

    assert calls.record(call_at(clock())) is Outcome.CONFIRMED
    read = verifications.get("web", started.verification.id)
    assert (read.status, read.reason) == (Status.VERIFIED, Reason.CALL_MATCHED)
    consumed = verifications.consume("web", read.id, "login", "flow")
    assert consumed.status is Status.CONSUMED

    with pytest.raises(AlreadyConsumed):
        verifications.consume("web", read.id, "login", "flow")
    assert (
        Counter(
            {
                ("started",): 1,
                ("verified",): 1,
                ("callback", "call", "confirmed"): 1,
                ("finished", "consumed", "call_matched"): 1,
                ("limited", "provider", "allow"): 1,
            },
        )
        == observer.counts
    )


def test_fifty_simultaneous_creates_place_one_order(service, provider) -> None:
    verifications, _ = service
    release = threading.Event()
    provider.during = lambda: release.wait(1) and None

    results = together(50, lambda _: verifications.start("web", CreateCommand(NUMBER.value, "login")))
    release.set()

    assert len(provider.orders) == 1
    assert len([result for result in results if isinstance(result, Created)]) == 1
    assert len([result for result in results if isinstance(result, VerificationInProgress)]) == 49


def test_a_hundred_simultaneous_consumes_succeed_once(service, clock, observer) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    calls.record(call_at(clock()))

    results = together(100, lambda _: verifications.consume("web", record.id, "login", "flow"))

    assert len([result for result in results if isinstance(result, Verification)]) == 1
    assert len([result for result in results if isinstance(result, AlreadyConsumed)]) == 99
    assert observer.counts["finished", "consumed", "call_matched"] == 1


def test_a_hundred_duplicates_of_one_call_confirm_once(service, clock, observer) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    call = call_at(clock())

    results = together(100, lambda _: calls.record(call))

    assert Counter({Outcome.CONFIRMED: 1, Outcome.REPEATED: 99}) == Counter(results)
    assert observer.counts["verified",] == 1


def test_a_hundred_different_calls_confirm_once(service, clock, observer) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    clock.advance(200)

    results = together(100, lambda index: calls.record(call_at(clock() - seconds(index))))

    assert Counter({Outcome.CONFIRMED: 1, Outcome.REPEATED: 99}) == Counter(results)
    assert observer.counts["verified",] == 1


def test_a_hundred_readers_of_an_expiry_count_it_once(service, clock, observer) -> None:
    verifications, _ = service
    record = verifications.start("web", ASK).verification
    clock.advance(900)

    results = together(100, lambda _: verifications.get("web", record.id).status)

    assert Counter({Status.EXPIRED: 100}) == Counter(results)
    assert observer.counts["finished", "expired", "no_call"] == 1


def test_the_same_requester_gets_the_live_verification_again(service, provider) -> None:
    verifications, _ = service
    first = verifications.start("web", ASK)
    again = verifications.start("web", ASK)

    assert not again.created
    assert again.verification.id == first.verification.id
    assert len(provider.orders) == 1


@pytest.mark.parametrize(
    ("client", "other"),
    [
        ("web", CreateCommand(NUMBER.value, "login", "another flow")),
        ("web", CreateCommand(NUMBER.value, "login")),
        ("web", CreateCommand(NUMBER.value, "reset", "flow")),
        ("app", ASK),
    ],
)
def test_another_requester_is_refused_and_told_when_to_return(service, provider, client, other) -> None:
    verifications, _ = service
    verifications.start("web", ASK)

    with pytest.raises(VerificationInProgress) as refused:
        verifications.start(client, other)

    assert refused.value.retry_after == 900
    assert len(provider.orders) == 1


def test_a_contest_takes_the_proof_from_the_call(service, clock) -> None:
    verifications, calls = service
    record = verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "mine")).verification
    with pytest.raises(VerificationInProgress):
        verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "theirs"))

    assert calls.record(call_at(clock())) is Outcome.CONTESTED
    assert verifications.get("web", record.id).reason is Reason.CONCURRENT_REQUEST
    clock.advance(900)
    assert verifications.get("web", record.id).status is Status.EXPIRED


def test_a_contest_during_the_order_counts_too(service, provider) -> None:
    verifications, _ = service

    def rival() -> None:
        provider.during = lambda: None
        with pytest.raises(VerificationInProgress):
            verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "theirs"))

    provider.during = rival
    record = verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "mine")).verification

    assert record.status is Status.CONTESTED


def test_while_ordering_even_the_same_requester_is_refused(service, provider) -> None:
    verifications, _ = service

    def again() -> None:
        provider.during = lambda: None
        with pytest.raises(VerificationInProgress) as refused:
            verifications.start("web", ASK)
        assert refused.value.retry_after == 28

    provider.during = again
    assert verifications.start("web", ASK).created


def test_an_order_that_died_with_its_worker_frees_the_number(service, provider, clock) -> None:
    verifications, _ = service

    def die() -> None:
        provider.during = lambda: None
        raise SystemExit

    provider.during = die
    with pytest.raises(SystemExit):
        verifications.start("web", ASK)

    clock.advance(27)
    with pytest.raises(VerificationInProgress):
        verifications.start("web", ASK)
    clock.advance(1)
    assert verifications.start("web", ASK).created


def test_an_order_that_comes_after_its_lease_is_not_shown(service, provider, clock, observer) -> None:
    """Another requester may hold the number by then."""
    verifications, _ = service

    def stall() -> None:
        provider.during = lambda: None
        clock.advance(29)
        assert verifications.start("app", ASK).created

    provider.during = stall
    with pytest.raises(ProviderUnavailable):
        verifications.start("web", ASK)
    assert observer.counts["started",] == 1
    assert observer.counts["finished", "failed", "provider_unavailable"] == 1


def test_the_cooldown_refuses_others_but_not_the_same_requester(service, clock) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    clock.advance(29)
    with pytest.raises(VerificationInProgress) as refused:
        verifications.start("app", ASK)
    assert refused.value.retry_after == 1
    assert verifications.start("web", ASK).created


def test_a_failed_or_canceled_successor_does_not_end_the_cooldown(service, provider, clock) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    provider.failures = [ProviderError()]
    with pytest.raises(ProviderError):
        verifications.start("web", ASK)
    verifications.cancel("web", verifications.start("web", ASK).verification.id)
    clock.advance(29)
    with pytest.raises(VerificationInProgress):
        verifications.start("app", ASK)
    clock.advance(1)
    assert verifications.start("app", ASK).created


def test_the_cooldown_ends(service, clock) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    clock.advance(30)

    assert verifications.start("app", ASK).created


def test_a_captured_call_never_verifies_a_later_verification(service, clock) -> None:
    verifications, calls = service
    first = verifications.start("web", ASK).verification
    captured = call_at(clock() + seconds(1))
    clock.advance(1)
    assert calls.record(captured) is Outcome.CONFIRMED
    verifications.consume("web", first.id, "login", "flow")
    second = verifications.start("web", ASK).verification

    assert second.created_at - seconds(5) <= captured.at
    assert calls.record(captured) is Outcome.REPEATED
    assert verifications.get("web", second.id).status is Status.PENDING


def test_a_call_that_matches_nothing_is_used_up_too(service, clock) -> None:
    verifications, calls = service
    call = call_at(clock())
    assert calls.record(call) is Outcome.UNMATCHED
    record = verifications.start("web", ASK).verification

    assert calls.record(call) is Outcome.REPEATED
    assert verifications.get("web", record.id).status is Status.PENDING


def test_a_call_ahead_of_the_clock_is_early_and_used_up(service, clock) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    ahead = call_at(clock() + seconds(60))

    assert calls.record(ahead) is Outcome.EARLY
    clock.advance(60)
    assert calls.record(ahead) is Outcome.REPEATED


def test_a_late_call_is_the_reason(service, clock, observer) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    clock.advance(901)

    assert calls.record(call_at(clock())) is Outcome.LATE
    assert verifications.get("web", record.id).reason is Reason.LATE_CALL
    assert observer.counts["finished", "expired", "late_call"] == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ProviderError(), Reason.PROVIDER_ERROR),
        (ProviderUnavailable(retry_after=5), Reason.PROVIDER_UNAVAILABLE),
        (NumberRefused(), Reason.NUMBER_REFUSED),
    ],
)
def test_a_failed_order_leaves_a_record_and_frees_the_number(
    service, provider, observer, failure, reason
) -> None:
    verifications, _ = service
    provider.failures = [failure]
    with pytest.raises(type(failure)) as failed:
        verifications.start("web", ASK)

    record = verifications.get("web", failed.value.verification_id)
    assert (record.status, record.reason, record.call_number) == (Status.FAILED, reason, None)
    assert observer.counts["finished", "failed", str(reason)] == 1
    with pytest.raises(NotVerified):
        verifications.consume("web", record.id, "login", "flow")
    assert verifications.start("app", ASK).created


def test_a_limit_counts_orders_and_nothing_else(world, provider, observer, clock) -> None:
    """Failed, refused, same-requester and limited creates spend nothing."""
    policy = with_limits(number=["2/10m"], client=["100/h"])
    verifications, _ = use_cases(world, provider, observer, clock, policy)
    provider.failures = [ProviderError(), ProviderError(), ProviderError()]
    for _ in range(3):
        with pytest.raises(ProviderError):
            verifications.start("web", ASK)
    record = verifications.start("web", ASK).verification
    verifications.start("web", ASK)
    for _ in range(5):
        with pytest.raises(VerificationInProgress):
            verifications.start("app", ASK)
    verifications.cancel("web", record.id)
    record = verifications.start("web", ASK).verification
    verifications.cancel("web", record.id)

    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            verifications.start("web", ASK)
        assert refused.value.retry_after == 600
    assert len(provider.orders) == 5
    clock.advance(600)
    assert verifications.start("web", ASK).created


def test_the_limit_of_an_address_counts_each_address(world, provider, observer, clock) -> None:
    policy = with_limits(ip=["1/h"])
    verifications, _ = use_cases(world, provider, observer, clock, policy)

    def ask(last: int, address: str | None) -> CreateCommand:
        return CreateCommand(f"+7999123456{last}", "login", client_ip=address)

    assert verifications.start("web", ask(1, "192.0.2.1")).created
    assert verifications.start("web", ask(2, "192.0.2.2")).created
    assert verifications.start("web", ask(3, None)).created
    with pytest.raises(RateLimited):
        verifications.start("web", ask(4, "192.0.2.1"))
    assert verifications.start("web", ask(5, "2001:db8::1")).created
    with pytest.raises(RateLimited):
        verifications.start("web", ask(6, "2001:db8::ffff"))


def test_another_clients_verification_does_not_exist(service) -> None:
    verifications, _ = service
    record = verifications.start("web", ASK).verification

    for act in (
        lambda: verifications.get("app", record.id),
        lambda: verifications.consume("app", record.id, "login", "flow"),
        lambda: verifications.cancel("app", record.id),
    ):
        with pytest.raises(NotFound):
            act()


@pytest.mark.parametrize(
    ("client", "ask", "refusal"),
    [
        ("web", CreateCommand(NUMBER.value, "unheard_of"), ValidationFailed),
        ("app", CreateCommand(NUMBER.value, "reset", "flow"), PurposeNotAllowed),
        ("web", CreateCommand(NUMBER.value, "reset"), ValidationFailed),
        ("web", CreateCommand(NUMBER.value, "reset", "flow", window_seconds=601), ValidationFailed),
        ("web", CreateCommand("nonsense", "login"), InvalidPhoneNumber),
        ("app", CreateCommand("89991234567", "login"), InvalidPhoneNumber),
        ("web", CreateCommand("+12025550123", "mobile_only"), PhoneNumberNotAllowed),
        ("web", CreateCommand("+74951234567", "mobile_only"), PhoneNumberNotAllowed),
    ],
)
def test_a_create_that_the_policy_forbids_is_refused_before_any_order(
    service, provider, client, ask, refusal
) -> None:
    verifications, _ = service
    with pytest.raises(refusal):
        verifications.start(client, ask)
    assert provider.orders == []


def test_a_national_form_is_read_by_the_clients_region(service) -> None:
    verifications, _ = service
    assert (
        verifications.start("web", CreateCommand("8 (999) 123-45-67", "login")).verification.phone_number
        == NUMBER
    )


def test_a_long_read_sees_the_call(service, clock) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    seen: list[Verification] = []
    reader = threading.Thread(target=lambda: seen.append(verifications.get("web", record.id, 30)))
    reader.start()

    calls.record(call_at(clock()))
    reader.join(10)

    assert [read.status for read in seen] == [Status.VERIFIED]


def test_many_sweepers_settle_each_record_once(world, service, clock, observer, provider) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    verifications.start("web", CreateCommand("+79991234568", "login", "flow"))
    provider.failures = [ProviderError()]
    with pytest.raises(ProviderError):
        verifications.start("web", CreateCommand("+79991234569", "login", "flow"))
    calls.record(call_at(clock()))
    sweep = Sweep(world.store, world.deadlines, observer, clock, effects_of())
    assert sweep.run() == 0
    clock.advance(900)

    together(20, lambda _: sweep.run())
    sweep.run()

    assert observer.counts["finished", "lapsed", "not_consumed"] == 1
    assert observer.counts["finished", "expired", "no_call"] == 1
    assert sweep.run() == 0


def test_a_sweep_goes_on_until_nothing_is_due(world, service, clock, observer) -> None:
    """The store returns a hundred deadlines of each part at a time, and a busy service has more."""
    for index in range(1200):
        number = E164(f"+7999123{index:04}")
        reserve(world.store, opened(world.store.new_id(number), number=number, now=clock()), None, clock())
    clock.advance(60)
    sweep = Sweep(world.store, world.deadlines, observer, clock, effects_of())
    assert [sweep.run(), sweep.run()] == [1200, 0]


def test_a_patient_sweep_leaves_records_that_are_just_due_to_others(world, service, clock, observer) -> None:
    verifications, _ = service
    verifications.start("web", ASK)
    sweep = Sweep(world.store, world.deadlines, observer, clock, effects_of())
    # The record is due at the end of the order's lease. This sweep postpones it to the end of the window.
    clock.advance(60)
    assert sweep.run() == 1
    clock.advance(844)
    assert sweep.run(seconds(5)) == 0
    clock.advance(1)
    assert [sweep.run(seconds(5)), sweep.run()] == [1, 0]
    assert observer.counts["finished", "expired", "no_call"] == 1


def test_a_sweep_comes_back_for_a_result_that_may_still_be_consumed(world, service, clock, observer) -> None:
    """A deadline is written before its record, so a sweep may come too early."""
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    calls.record(call_at(clock()))
    stored = world.store.get(record.id)
    assert stored is not None
    plan(world.store, stored, clock(), clock())
    sweep = Sweep(world.store, world.deadlines, observer, clock, effects_of())
    assert [sweep.run(), sweep.run()] == [1, 0]
    assert observer.counts["finished", "lapsed", "not_consumed"] == 0
    clock.advance(300)

    assert sweep.run() == 1
    assert observer.counts["finished", "lapsed", "not_consumed"] == 1


def test_a_lapse_is_counted_when_it_happens(world, service, clock, observer) -> None:
    """It is counted when the result ends, not when the window would have ended."""
    verifications, calls = service
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    sweep = Sweep(world.store, world.deadlines, observer, clock, effects_of())
    clock.advance(300)

    assert [sweep.run(), sweep.run()] == [1, 0]
    assert observer.counts["finished", "lapsed", "not_consumed"] == 1


def test_a_broken_record_does_not_keep_the_sweep_from_the_others(
    world, service, clock, observer, monkeypatch
) -> None:
    verifications, _ = service
    broken = verifications.start("web", ASK).verification.id
    clock.advance(1)
    verifications.start("web", CreateCommand("+79991234568", "login", "flow"))
    read = world.store.get_many

    def read_unless_broken(verification_ids):
        found = zip(verification_ids, read(verification_ids), strict=True)
        return [ValueError("cannot be read") if each == broken else stored for each, stored in found]

    monkeypatch.setattr(world.store, "get_many", read_unless_broken)
    clock.advance(900)
    sweep = Sweep(world.store, world.deadlines, observer, clock, effects_of())

    with pytest.raises(ValueError, match="cannot be read"):
        sweep.run()
    assert observer.counts["finished", "expired", "no_call"] == 1
    assert sweep.run() == 0
    clock.advance(60)
    monkeypatch.setattr(world.store, "get_many", read)
    assert sweep.run() == 1
    assert observer.counts["finished", "expired", "no_call"] == 2


def test_a_consumed_record_is_forgotten_by_the_sweep(world, service, clock, observer) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    calls.record(call_at(clock()))
    verifications.consume("web", record.id, "login", "flow")
    clock.advance(900)
    sweep = Sweep(world.store, world.deadlines, observer, clock, effects_of())

    assert [sweep.run(), sweep.run()] == [1, 0]
    assert observer.counts["finished", "consumed", "call_matched"] == 1
