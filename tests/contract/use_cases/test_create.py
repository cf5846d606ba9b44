"""Create: one order for a number, the requester's rights, the cooldown, failed orders and limits."""

import threading

import pytest

from tests.contract.use_cases.conftest import ASK
from tests.making import NUMBER, call_at, together, use_cases, with_limits
from waitcall.application.create import CreateCommand, Created
from waitcall.domain.errors import (
    InvalidPhoneNumber,
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
from waitcall.domain.status import Reason, Status


def test_fifty_simultaneous_creates_place_one_order(service, provider) -> None:
    verifications, _ = service
    release = threading.Event()
    provider.during = lambda: release.wait(1) and None

    results = together(50, lambda _: verifications.start("web", CreateCommand(NUMBER.value, "login")))
    release.set()

    assert len(provider.orders) == 1
    assert len([result for result in results if isinstance(result, Created)]) == 1
    assert len([result for result in results if isinstance(result, VerificationInProgress)]) == 49


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
