"""The conversion guard, seals and blocks over the store in memory, and the limits that each act counts for."""

from dataclasses import replace

import pytest

from tests.fakes.outside import RecordingObserver
from tests.making import NOW, NUMBER, POLICY, admission, pending, seconds, with_limits
from tests.unit.application.conftest import ADDRESS, entry
from tests.worlds import World
from waitcall.application.admission import (
    OF_THE_ADDRESS,
    OF_THE_NUMBER,
    ApplicableLimits,
    Screening,
)
from waitcall.domain.channel import Channel
from waitcall.domain.conversion import Bucket, ConversionBudget, Group
from waitcall.domain.errors import RateLimited
from waitcall.domain.limits import Limit, LimitCheck, Mode, Scope, network_of
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.policy import CaptchaRule, Policy

BUDGET = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0.1)
GUARDED = replace(POLICY, conversion=(BUDGET,))
ALLOWED_NUMBER = entry(ListAction.ALLOW, ListKind.NUMBER, NUMBER.value)
ALLOWED_ADDRESS = entry(ListAction.ALLOW, ListKind.NETWORK, ADDRESS)


def test_the_conversion_guard_lets_only_an_allowed_number_pass(
    world: World, observer: RecordingObserver
) -> None:
    guarding = admission(world, observer, GUARDED)
    uncalled = [[Bucket(BUDGET.bucket_of(NOW - seconds(60)), 9, 0)]]
    guarding.guard(NUMBER, Screening.of([ALLOWED_NUMBER]), uncalled, NOW)
    assert observer.counts == {}
    with pytest.raises(RateLimited):
        guarding.guard(NUMBER, Screening.of([ALLOWED_ADDRESS]), uncalled, NOW)
    with pytest.raises(ValueError, match="zip"):
        guarding.guard(NUMBER, Screening.of([]), [], NOW)


def test_a_record_keeps_no_seal_of_an_address_that_is_not_counted(
    world: World, observer: RecordingObserver
) -> None:
    admitting = admission(world, observer)
    counted = admitting.seals(NUMBER, ADDRESS, Screening.of([]))
    network = network_of(ADDRESS)
    assert counted == {
        "number": world.limits.seal(Scope.NUMBER, f"{NUMBER.value} {ADDRESS}"),
        "ip": world.limits.seal(Scope.IP, ADDRESS),
        "network": world.limits.seal(Scope.NETWORK, network),
    }
    vouched = admitting.seals(NUMBER, ADDRESS, Screening.of([ALLOWED_ADDRESS, ALLOWED_NUMBER]))
    assert set(vouched or {}) == {Scope.NUMBER.value}


@pytest.mark.parametrize(("left", "told"), [(60, 60), (0.4, 1), (1.2, 2)])
def test_a_block_says_in_whole_seconds_when_it_ends(
    world: World, observer: RecordingObserver, left: float, told: int
) -> None:
    ends = replace(entry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value), expires_at=NOW + seconds(left))
    world.lists.put(ends, NOW)
    blocked = admission(world, observer).blocking(NUMBER, NOW)
    assert blocked is not None
    assert blocked.retry_after == told


CEILING = Limit(2, 60)
ABOVE = Limit(9, 600, Mode.RECORD_ONLY)
LIMITED: Policy = replace(
    with_limits(
        number=["1/10m"],
        number_total=["5/d"],
        code_number=["3/d"],
        code_global=["900/d"],
        failed_checks=["10/d"],
        client=["100/m"],
        ip=["4/h"],
        network=["40/h"],
        country=["200/h"],
        read=["60/m"],
        consume=["30/m"],
    ),
    captcha=CaptchaRule((ABOVE,), "https://captcha.example.org/"),
)
APPLICABLE = ApplicableLimits(LIMITED, CEILING)
IP, NETWORK = "192.0.2.7", "192.0.2.0/24"


def told(limit_checks: list[LimitCheck]) -> list[tuple[str, str | None]]:
    """Return the scope and subject of each limit_check; for a sealed subject, the seal."""
    return [(each.scope.value, each.seal or each.subject) for each in limit_checks]


CALL_FROM_AN_ADDRESS = [
    ("number", f"{NUMBER.value} {IP}"),
    ("number_total", NUMBER.value),
    ("ip", IP),
    ("network", NETWORK),
    ("client", "web"),
    ("country", "RU"),
]
CODES = [("code_number", NUMBER.value), ("code_global", "")]


def test_a_create_counts_for_everything_it_names_and_a_call_for_the_providers_ceiling() -> None:
    limit_checks = APPLICABLE.of_create(NUMBER, IP, "web", Channel.CALL, ())
    assert told(limit_checks) == [*CALL_FROM_AN_ADDRESS, ("provider", NUMBER.value)]
    assert (
        limit_checks[-1]
        == APPLICABLE.of_provider(NUMBER)
        == LimitCheck(Scope.PROVIDER, NUMBER.value, CEILING)
    )


def test_a_create_with_a_code_counts_for_codes_and_the_captcha() -> None:
    limit_checks = APPLICABLE.of_create(NUMBER, IP, "web", Channel.CODE, ())
    assert told(limit_checks) == [*CALL_FROM_AN_ADDRESS, *CODES, ("captcha", "")]
    assert limit_checks[-1].limit == ABOVE
    without = ApplicableLimits(replace(LIMITED, captcha=None), CEILING)
    assert told(without.of_create(NUMBER, IP, "web", Channel.CODE, ())) == [*CALL_FROM_AN_ADDRESS, *CODES]
    text_in = APPLICABLE.of_create(NUMBER, IP, "web", Channel.TEXT_IN, ())
    assert told(text_in) == CALL_FROM_AN_ADDRESS


def test_without_an_address_the_client_is_counted_in_its_place() -> None:
    limit_checks = APPLICABLE.of_create(NUMBER, None, "web", Channel.TEXT_IN, ())
    assert told(limit_checks) == [
        ("number", f"{NUMBER.value} client web"),
        ("number_total", NUMBER.value),
        ("client", "web"),
        ("country", "RU"),
    ]


def test_exempt_limits_are_left_out() -> None:
    limit_checks = APPLICABLE.of_create(NUMBER, IP, "web", Channel.CODE, {Scope.IP, Scope.CODE_NUMBER})
    kept = [each for each in CALL_FROM_AN_ADDRESS if each[0] != "ip"]
    assert told(limit_checks) == [*kept, ("code_global", ""), ("captcha", "")]


def test_a_step_counts_for_the_address_that_the_create_named_but_not_for_the_number_alone() -> None:
    record = replace(pending(), paid_by={"number": "sealed", "ip": "sealed ip", "network": "sealed net"})
    assert told(APPLICABLE.of_step(record, Channel.CODE, ())) == [
        ("number", "sealed"),
        ("ip", "sealed ip"),
        ("network", "sealed net"),
        ("client", "web"),
        ("country", "RU"),
        *CODES,
    ]
    assert {each.subject for each in APPLICABLE.of_step(record, Channel.CODE, ())[:3]} == {""}
    assert told(APPLICABLE.of_step(pending(), Channel.CALL, {Scope.COUNTRY})) == [
        ("number", f"{NUMBER.value} client web"),
        ("client", "web"),
        ("provider", NUMBER.value),
    ]


def test_a_refused_create_counts_for_its_address_and_client_and_never_for_the_number() -> None:
    assert told(APPLICABLE.of_refused_create(IP, "web", ())) == [
        ("ip", IP),
        ("network", NETWORK),
        ("client", "web"),
    ]
    assert told(APPLICABLE.of_refused_create(IP, "web", {Scope.NETWORK})) == [("ip", IP), ("client", "web")]
    assert told(APPLICABLE.of_refused_create(None, "web", ())) == [("client", "web")]


def test_wrong_codes_reads_and_consumes_have_limits_of_their_own() -> None:
    assert told(APPLICABLE.of_failed_check(NUMBER)) == [("failed_checks", NUMBER.value)]
    assert told(APPLICABLE.of_client("web", Scope.READ, Scope.CONSUME)) == [
        ("read", "web"),
        ("consume", "web"),
    ]
    assert told(APPLICABLE.of_clients(NUMBER)) == [
        ("number", f"{NUMBER.value} client web"),
        ("number", f"{NUMBER.value} client app"),
    ]


def test_an_operator_sees_what_the_subject_counts_for() -> None:
    whole = [
        *CALL_FROM_AN_ADDRESS,
        *CODES,
        ("failed_checks", NUMBER.value),
        ("read", "web"),
        ("consume", "web"),
    ]
    assert told(APPLICABLE.of_subject(NUMBER, IP, "web", None)) == whole
    assert told(APPLICABLE.of_subject(None, IP, None, None)) == [
        ("ip", IP),
        ("network", NETWORK),
        ("code_global", ""),
    ]


def test_without_an_address_from_the_operator_that_of_the_latest_verification_is_used() -> None:
    record = replace(pending(), paid_by={"number": "sealed", "ip": "sealed ip"})
    assert told(APPLICABLE.of_subject(NUMBER, None, None, record))[:3] == [
        ("number", "sealed"),
        ("number_total", NUMBER.value),
        ("country", "RU"),
    ]
    named = told(APPLICABLE.of_subject(NUMBER, None, None, pending()))
    assert named[0] == ("number", f"{NUMBER.value} client web")
    # An address that the operator gives is preferred.
    assert told(APPLICABLE.of_subject(NUMBER, IP, None, record))[0] == ("number", f"{NUMBER.value} {IP}")


@pytest.mark.parametrize(
    ("entry", "exempt"),
    [
        (ListEntry(ListAction.ALLOW, ListKind.NUMBER, NUMBER.value, reason="x"), OF_THE_NUMBER),
        (ListEntry(ListAction.ALLOW, ListKind.PREFIX, "+7999", reason="x"), OF_THE_NUMBER),
        (ListEntry(ListAction.ALLOW, ListKind.NETWORK, NETWORK, reason="x"), OF_THE_ADDRESS),
        (ListEntry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value, reason="x"), ()),
        (ListEntry(ListAction.BLOCK, ListKind.NETWORK, NETWORK, reason="x"), ()),
    ],
)
def test_an_allowed_number_or_network_is_exempt_from_its_own_limits(
    entry: ListEntry, exempt: tuple[Scope, ...]
) -> None:
    screened = Screening.of([entry])
    assert screened.exempt == exempt
    assert screened.blocking == (() if exempt else (entry,))
    assert Screening.of([]).exempt == ()


def test_an_allowed_number_and_network_are_exempt_from_the_limits_of_both() -> None:
    both = [
        ListEntry(ListAction.ALLOW, ListKind.NETWORK, NETWORK, reason="x"),
        ListEntry(ListAction.ALLOW, ListKind.NUMBER, NUMBER.value, reason="x"),
    ]
    assert Screening.of(both).exempt == OF_THE_NUMBER + OF_THE_ADDRESS
