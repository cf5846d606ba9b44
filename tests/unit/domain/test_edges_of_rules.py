"""First and last instant at which each rule holds, and fields that a transition keeps."""

from dataclasses import replace
from datetime import datetime

import pytest
from waitcall.domain.call import Outcome
from waitcall.domain.channel import Channel, InboundText, TextIn
from waitcall.domain.conversion import Bucket, ConversionBudget, Group, judge
from waitcall.domain.errors import PhoneNumberNotAllowed, RateLimited
from waitcall.domain.evidence import skeleton
from waitcall.domain.limits import Mode
from waitcall.domain.matching import judge_call, judge_order, judge_text
from waitcall.domain.numbers import E164
from waitcall.domain.order import OrderReport, OrderStatus, PlacedOrder, ProviderOrder
from waitcall.domain.policy import Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.steps import send_again, shown
from waitcall.domain.verification import Verification

from tests.making import LOGIN, NOW, NUMBER, call_at, opened, pending, seconds

SKEW = seconds(5)
KEPT = seconds(LOGIN.retention_seconds)
ORDER = ProviderOrder("smsru", "1")
OURS = E164("+79585550000")


def test_a_window_is_open_for_its_seconds_and_the_record_kept_for_its_retention() -> None:
    record = opened("ver_1", now=NOW - seconds(20)).open_window(NOW)
    assert (record.created_at, record.expires_at, record.purge_at) == (
        NOW,
        NOW + seconds(900),
        NOW + seconds(900) + KEPT,
    )


def test_an_ended_record_is_kept_from_its_end() -> None:
    at = NOW + seconds(60)
    assert pending().cancel(at).purge_at == at + KEPT
    assert opened("ver_1").fail(Reason.PROVIDER_ERROR, at).purge_at == at + KEPT


def test_a_new_verification_takes_over_the_cooldown_of_the_one_before() -> None:
    proven = pending().prove(Reason.CALL_MATCHED, NOW)
    cooled = proven.cooling_until
    assert cooled is not None
    assert opened("ver_2").after(proven, NOW).cooling_until == cooled
    assert opened("ver_2").after(proven, cooled).cooling_until is None


def test_the_same_requester_gets_the_record_from_the_moment_its_order_has_ended() -> None:
    record = replace(pending(), ordering_until=NOW + seconds(26))
    assert not record.answers(record.requester, NOW + seconds(25))
    assert record.answers(record.requester, NOW + seconds(26))


@pytest.mark.parametrize(("early", "outcome"), [(5, Outcome.REPEATED), (6, Outcome.UNMATCHED)])
def test_a_second_call_after_the_first_step_is_repeated_within_the_skew(early: int, outcome: Outcome) -> None:
    two = Purpose("login", second_step=Channel.CODE)
    _, after = judge_call(pending(rules=two), call_at(NOW), NOW, SKEW)
    assert after.called_at is not None
    assert judge_call(after, call_at(NOW - seconds(early)), NOW + seconds(60), SKEW)[0] is outcome


@pytest.mark.parametrize(("ahead", "outcome"), [(5, Outcome.CONFIRMED), (6, Outcome.EARLY)])
def test_a_report_may_be_ahead_by_the_skew(ahead: int, outcome: Outcome) -> None:
    record = replace(pending(), order=ORDER)
    report = OrderReport(ORDER, OrderStatus.CALLED, NOW + seconds(ahead))
    assert judge_order(record, report, NOW, SKEW)[0] is outcome


def test_a_text_that_was_used_is_repeated_whether_or_not_it_was_the_last_step() -> None:
    asked = replace(pending(), channel=Channel.TEXT_IN, text_in=TextIn(OURS, "ABCD2345"))
    message = InboundText(NUMBER.value, OURS.value, "abcd 2345")
    outcome, proven = judge_text(asked, message, NOW)
    assert (outcome, proven.status) == (Outcome.CONFIRMED, Status.VERIFIED)
    assert judge_text(proven, message, NOW)[0] is Outcome.REPEATED
    called = replace(asked, called_at=NOW)
    assert judge_text(called, message, NOW) == (Outcome.REPEATED, called)


@pytest.mark.parametrize(("listened", "lasts"), [(None, 900), (900, 900), (300, 300), (1200, 900)])
def test_a_window_ends_with_the_providers_and_never_later(listened: int | None, lasts: int) -> None:
    record = shown(opened("ver_1").open_window(NOW), PlacedOrder(OURS, ORDER, listened))
    assert (record.expires_at, record.purge_at) == (NOW + seconds(lasts), NOW + seconds(lasts) + KEPT)


def coding(now: datetime = NOW) -> Verification:
    on_code = replace(pending(), channel=Channel.CODE, call_number=None)
    return send_again(on_code, "digest", 1, now)


def test_the_next_code_may_be_sent_from_the_second_that_the_last_one_said() -> None:
    first = coding()
    with pytest.raises(RateLimited) as early:
        send_again(first, "other", 2, NOW + seconds(LOGIN.resend_seconds - 1))
    assert early.value.retry_after == 1
    assert send_again(first, "other", 2, NOW + seconds(LOGIN.resend_seconds)).code is not None


def test_a_code_is_kept_as_sent_at_whole_seconds() -> None:
    code = coding(NOW + seconds(0.7)).code
    assert code is not None
    assert (code.sent_at, code.digests, code.message_id) == (NOW, ("digest",), 1)


def test_a_purpose_names_regions_and_types_of_numbers_or_takes_any() -> None:
    assert Purpose("login").check(NUMBER, LOGIN.min_assurance, Channel.CALL) is None
    only = Purpose("login", regions=frozenset({"KZ"}))
    with pytest.raises(PhoneNumberNotAllowed):
        only.check(NUMBER, LOGIN.min_assurance, Channel.CALL)


@pytest.mark.parametrize(("window", "bucket"), [(3600, 120), (60, 2), (31, 2), (30, 1), (1, 1)])
def test_a_bucket_is_a_thirtieth_of_the_window_and_a_second_at_least(window: int, bucket: int) -> None:
    assert ConversionBudget(Group.COUNTRY, Mode.ENFORCE, window_seconds=window).bucket_seconds == bucket


def test_the_uncalled_are_the_started_less_the_called() -> None:
    budget = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0)
    start = budget.bucket_of(NOW - seconds(600))
    assert judge(budget, [Bucket(start, 7, 3)], NOW).uncalled == 4


def test_a_text_is_compared_by_its_ascii_letters_and_digits() -> None:
    """Other characters may change on their way through charsets."""
    assert skeleton("Ab-1 2\N{CYRILLIC CAPITAL LETTER A}\N{ARABIC-INDIC DIGIT ONE}") == "ab12"
