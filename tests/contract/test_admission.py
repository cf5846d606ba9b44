"""Checks that come before an order, over every store: limits, lists, conversion guard and assurance."""

from dataclasses import replace

import pytest

from tests.making import NUMBER, POLICY, call_at, seconds, together, use_cases, with_limits
from waitcall.application.create import CreateCommand
from waitcall.domain.channel import Assurance, Attested
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import (
    AlreadyConsumed,
    Blocked,
    PhoneNumberNotAllowed,
    ProviderError,
    RateLimited,
    StoreUnavailable,
    VerificationInProgress,
)
from waitcall.domain.limits import Limit, Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.matching import Outcome
from waitcall.domain.policy import Client, Purpose

ASK = CreateCommand(NUMBER.value, "login", "flow")


def number(index: int) -> str:
    return f"+7999{1000000 + index}"


def entry(world, clock, kind: ListKind, subject: str, action=ListAction.BLOCK, lasting: float = 3600) -> None:
    now = clock()
    world.lists.put(ListEntry(action, kind, subject, "x", "ops", now, now + seconds(lasting)), now)


@pytest.mark.parametrize(
    "limits",
    [{"client": ["5/10m"]}, {"global": ["5/10m"]}, {"ip": ["5/10m"], "client": ["9/10m"]}],
    ids=["client", "global", "ip inside client"],
)
def test_sixty_simultaneous_creates_place_exactly_as_many_orders_as_the_limit(
    world, provider, observer, clock, limits
) -> None:
    verifications, _ = use_cases(world, provider, observer, clock, with_limits(**limits))

    results = together(
        60,
        lambda index: verifications.start(
            "web", CreateCommand(number(index), "login", client_ip="192.0.2.1")
        ),
    )

    assert len(provider.orders) == 5
    assert len([each for each in results if isinstance(each, RateLimited)]) == 55
    assert observer.counts["started",] == 5


def test_a_refusal_says_when_to_come_back_and_how_the_limits_stand(world, provider, observer, clock) -> None:
    policy = with_limits(number=["3/10m"], client=["2/h", "9/d"], ip=["1/h record_only"])
    verifications, _ = use_cases(world, provider, observer, clock, policy)
    told = [
        verifications.start("web", CreateCommand(number(index), "login", client_ip="192.0.2.1"))
        for index in range(2)
    ]
    clock.advance(600)

    with pytest.raises(RateLimited) as refused:
        verifications.start("web", CreateCommand(number(3), "login", client_ip="192.0.2.1"))

    assert [(state.scope, state.remaining) for state in told[0].limits] == [
        (Scope.NUMBER, 2), (Scope.IP, 0), (Scope.CLIENT, 1), (Scope.CLIENT, 8),
    ]  # fmt: skip
    assert refused.value.retry_after == 3000
    assert [(state.scope, state.remaining, state.reset_seconds) for state in refused.value.limits] == [
        (Scope.NUMBER, 3, 0),
        (Scope.CLIENT, 0, 3000),
    ]
    assert observer.counts["limited", "ip", "would_deny"] == 2
    assert observer.counts["limited", "client", "deny"] == 1
    clock.advance(3000)
    assert verifications.start("web", CreateCommand(number(3), "login")).created


def test_addresses_of_one_network_share_its_limit(world, provider, observer, clock) -> None:
    verifications, _ = use_cases(world, provider, observer, clock, with_limits(network=["2/h"]))

    def start(index: int, address: str) -> bool:
        return verifications.start("web", CreateCommand(number(index), "login", client_ip=address)).created

    assert start(1, "192.0.2.1")
    assert start(2, "192.0.2.200")
    with pytest.raises(RateLimited):
        start(3, "192.0.2.3")
    assert start(4, "192.0.3.1")
    assert start(5, "2001:db8:1:1::1")
    assert start(6, "2001:db8:1:ffff::1")
    with pytest.raises(RateLimited):
        start(7, "2001:db8:1:2::1")


def test_a_clients_own_limit_replaces_the_policys(world, provider, observer, clock) -> None:
    policy = with_limits(client=["1/h"], read=["1/h"])
    own = Client("web", POLICY.clients["web"].purposes, limits={Scope.CLIENT: (Limit(2, 3600),)})
    verifications, _ = use_cases(
        world, provider, observer, clock, replace(policy, clients=policy.clients | {"web": own})
    )

    first = verifications.start("web", CreateCommand(number(1), "login"))
    verifications.start("web", CreateCommand(number(2), "login"))
    verifications.start("app", CreateCommand(number(3), "login"))
    for client in ("web", "app"):
        with pytest.raises(RateLimited):
            verifications.start(client, CreateCommand(number(9), "login"))
    verifications.get("web", first.verification.id)
    with pytest.raises(RateLimited):
        verifications.get("web", first.verification.id)


def test_reads_and_consumes_have_limits_of_their_own(world, provider, observer, clock) -> None:
    policy = with_limits(read=["3/m"], consume=["2/m"])
    verifications, calls = use_cases(world, provider, observer, clock, policy)
    record = verifications.start("web", ASK).verification

    for _ in range(3):
        verifications.get("web", record.id)
    with pytest.raises(RateLimited) as refused:
        verifications.get("web", record.id)
    assert refused.value.retry_after == 60
    calls.record(call_at(clock()))
    verifications.consume("web", record.id, "login", "flow")
    with pytest.raises(AlreadyConsumed):
        verifications.consume("web", record.id, "login", "flow")
    with pytest.raises(RateLimited):
        verifications.consume("web", record.id, "login", "flow")
    clock.advance(60)
    assert verifications.get("web", record.id)


def test_the_providers_ceiling_is_out_of_reach_whatever_the_policy_says(
    world, provider, observer, clock
) -> None:
    """Failed orders reached the provider too, so they are not given back here."""
    verifications, _ = use_cases(world, provider, observer, clock, with_limits(number=[]))
    provider.failures = [ProviderError() for _ in range(30)]
    for _ in range(30):
        with pytest.raises(ProviderError):
            verifications.start("web", ASK)
    for _ in range(19):
        record = verifications.start("web", ASK).verification
        verifications.cancel("web", record.id)

    for _ in range(10):
        with pytest.raises(RateLimited) as refused:
            verifications.start("web", ASK)

    assert refused.value.retry_after == 90
    assert len(provider.orders) == 49
    assert verifications.start("web", CreateCommand(number(1), "login")).created
    clock.advance(90)
    assert verifications.start("web", ASK).created


def test_a_create_that_the_providers_ceiling_refuses_counts_for_no_limit(
    world, provider, observer, clock
) -> None:
    policy = with_limits(number=["50/h"], client=["60/h"])
    verifications, _ = use_cases(world, provider, observer, clock, policy)
    for _ in range(49):
        verifications.cancel("web", verifications.start("web", ASK).verification.id)
    for _ in range(20):
        with pytest.raises(RateLimited) as refused:
            verifications.start("web", ASK)
        assert [state.scope for state in refused.value.limits] == [Scope.PROVIDER]
    clock.advance(90)

    started = verifications.start("web", ASK)

    assert [(state.scope, state.remaining) for state in started.limits] == [
        (Scope.NUMBER, 0),
        (Scope.CLIENT, 10),
    ]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [(ListKind.NUMBER, NUMBER.value), (ListKind.PREFIX, "+7999"), (ListKind.NETWORK, "192.0.2.0/24")],
)
def test_a_block_refuses_until_it_ends(world, provider, observer, clock, kind, subject) -> None:
    verifications, _ = use_cases(world, provider, observer, clock)
    entry(world, clock, kind, subject, lasting=600)
    ask = replace(ASK, client_ip="192.0.2.7")

    with pytest.raises(Blocked) as refused:
        verifications.start("web", ask)

    # The clock shows a fraction of a second more than the whole second at which the entry began.
    assert refused.value.retry_after == 600
    assert provider.orders == []
    clock.advance(600)
    assert verifications.start("web", ask).created


def test_a_blocked_requester_can_not_even_contest(world, provider, observer, clock) -> None:
    verifications, calls = use_cases(world, provider, observer, clock)
    live = verifications.start("web", replace(ASK, purpose="contested_login")).verification
    entry(world, clock, ListKind.NETWORK, "198.51.100.0/24")

    with pytest.raises(Blocked):
        verifications.start("app", CreateCommand(NUMBER.value, "login", "other", client_ip="198.51.100.9"))

    assert calls.record(call_at(clock())) is Outcome.CONFIRMED
    assert verifications.get("web", live.id).verified_at is not None
    assert observer.counts["contested",] == 0


def test_an_allowed_number_passes_a_wider_block_its_limits_and_the_guard(
    world, provider, observer, clock
) -> None:
    budget = ConversionBudget(
        Group.PREFIX, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0, digits=5
    )
    policy = replace(with_limits(number=["1/h"], client=["4/h"]), conversion=(budget,))
    verifications, _ = use_cases(world, provider, observer, clock, policy)
    entry(world, clock, ListKind.PREFIX, "+7999")
    entry(world, clock, ListKind.NUMBER, NUMBER.value, ListAction.ALLOW)

    for _ in range(4):
        verifications.cancel("web", verifications.start("web", ASK).verification.id)
        clock.advance(200)

    with pytest.raises(RateLimited) as refused:
        verifications.start("web", ASK)
    assert [state.scope for state in refused.value.limits] == [Scope.CLIENT]
    with pytest.raises(Blocked):
        verifications.start("app", CreateCommand(number(1), "login"))


def test_the_policy_files_entries_count_like_the_operators(world, provider, observer, clock) -> None:
    lists = (ListEntry(ListAction.BLOCK, ListKind.PREFIX, "+7999", "shipped"),)
    verifications, _ = use_cases(world, provider, observer, clock, replace(POLICY, lists=lists))
    with pytest.raises(Blocked) as refused:
        verifications.start("web", ASK)
    assert refused.value.retry_after is None
    entry(world, clock, ListKind.NUMBER, NUMBER.value, ListAction.ALLOW)

    assert verifications.start("web", ASK).created


def guarded(mode: Mode) -> ConversionBudget:
    return ConversionBudget(
        Group.PREFIX, mode, window_seconds=3600, settle_seconds=120, floor=3, max_uncalled_share=0.5, digits=5
    )


def test_numbers_that_nobody_calls_close_their_prefix_and_no_other(world, provider, observer, clock) -> None:
    policy = replace(POLICY, conversion=(guarded(Mode.ENFORCE),), limits={})
    verifications, calls = use_cases(world, provider, observer, clock, policy)
    for index in range(8):
        record = verifications.start("web", CreateCommand(number(index), "login")).verification
        if index < 4:
            calls.record(call_at(clock(), record.phone_number))
    clock.advance(900)
    assert verifications.start("web", CreateCommand(number(100), "login")).created
    clock.advance(300)

    with pytest.raises(RateLimited) as refused:
        verifications.start("web", CreateCommand(number(101), "login"))

    assert 0 < (refused.value.retry_after or 0) <= 3600
    assert observer.counts["guarded", "prefix", "RU", "deny"] == 1
    assert verifications.start("web", CreateCommand("+79161234567", "login")).created
    clock.advance(refused.value.retry_after or 0)
    assert verifications.start("web", CreateCommand(number(101), "login")).created


def test_a_guard_that_only_records_refuses_nobody(world, provider, observer, clock) -> None:
    policy = replace(POLICY, conversion=(guarded(Mode.RECORD_ONLY),), limits={})
    verifications, _ = use_cases(world, provider, observer, clock, policy)
    for index in range(5):
        verifications.start("web", CreateCommand(number(index), "login"))
    clock.advance(400)

    assert verifications.start("web", CreateCommand(number(9), "login")).created
    assert observer.counts["guarded", "prefix", "RU", "would_deny"] == 1


def test_orders_that_fail_are_no_missing_calls(world, provider, observer, clock) -> None:
    policy = replace(POLICY, conversion=(guarded(Mode.ENFORCE),), limits={})
    verifications, _ = use_cases(world, provider, observer, clock, policy)
    provider.failures = [ProviderError() for _ in range(10)]
    for index in range(10):
        with pytest.raises(ProviderError):
            verifications.start("web", CreateCommand(number(index), "login"))
    clock.advance(400)

    assert verifications.start("web", ASK).created


def test_a_lost_statistic_costs_nobody_a_verification(world, provider, observer, clock) -> None:
    class Lost:
        def buckets(self, *_: object) -> list:
            return []

        def started(self, *_: object) -> None:
            raise StoreUnavailable

        called = started

    policy = replace(POLICY, conversion=(guarded(Mode.ENFORCE),))
    verifications, calls = use_cases(replace(world, conversions=Lost()), provider, observer, clock, policy)

    record = verifications.start("web", ASK).verification
    assert calls.record(call_at(clock())) is Outcome.CONFIRMED
    assert verifications.consume("web", record.id, "login", "flow").consumed_at is not None


def test_a_guard_that_cannot_be_asked_refuses(world, provider, observer, clock, monkeypatch) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable

    policy = replace(POLICY, conversion=(guarded(Mode.RECORD_ONLY),))
    verifications, _ = use_cases(world, provider, observer, clock, policy)
    monkeypatch.setattr(world.store, "creation_context", away)

    with pytest.raises(StoreUnavailable):
        verifications.start("web", ASK)
    assert provider.orders == []


def test_a_record_shows_its_assurance_and_a_purpose_may_demand_more(world, provider, observer, clock) -> None:
    table = {"RU": Attested(Assurance.NETWORK, "a source")}
    demanding = {
        name: Purpose(name, min_assurance=Assurance(level))
        for name, level in (("reset", "network"), ("dear", "roundtrip"))
    }
    client = Client("web", frozenset({"login", *demanding}))
    policy = replace(
        POLICY,
        assurance=table,
        purposes=POLICY.purposes | demanding,
        clients=POLICY.clients | {"web": client},
    )
    verifications, calls = use_cases(world, provider, observer, clock, policy)

    russian = verifications.start("web", CreateCommand(NUMBER.value, "reset", "flow")).verification
    kazakh = verifications.start("web", CreateCommand("+77011234567", "login")).verification
    calls.record(call_at(clock()))

    assert (russian.assurance, kazakh.assurance) == (Assurance.NETWORK, Assurance.ASSERTED)
    assert verifications.get("web", russian.id).assurance is Assurance.NETWORK
    assert verifications.consume("web", russian.id, "reset", "flow").assurance is Assurance.NETWORK
    for phone, purpose in (("+77017654321", "reset"), ("+79161234567", "dear")):
        with pytest.raises(PhoneNumberNotAllowed):
            verifications.start("web", CreateCommand(phone, purpose, "flow"))
    assert len(provider.orders) == 2


def test_a_contest_is_counted_once(world, provider, observer, clock) -> None:
    verifications, _ = use_cases(world, provider, observer, clock)
    verifications.start("web", replace(ASK, purpose="contested_login"))
    for _ in range(3):
        with pytest.raises(VerificationInProgress):
            verifications.start("app", ASK)

    assert observer.counts["contested",] == 1
