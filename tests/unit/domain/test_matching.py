"""Effect of a call, a text or a report on a verification."""

from dataclasses import replace

import pytest

from tests.making import NOW, NUMBER, OTHER_NUMBER, call_at, opened, pending, seconds
from waitcall.domain.call import InboundCall, Outcome
from waitcall.domain.channel import Channel, InboundText, TextIn
from waitcall.domain.matching import judge_call, judge_order, judge_text
from waitcall.domain.numbers import E164
from waitcall.domain.order import OrderReport, OrderStatus, ProviderOrder
from waitcall.domain.policy import OnConcurrent, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

ORDER = ProviderOrder("smsru", "1")
OURS = E164("+79585550000")

SKEW = seconds(5)
CONTESTING = Purpose("login", on_concurrent=OnConcurrent.CONTEST)


def verified() -> Verification:
    outcome, record = judge_call(pending(), call_at(NOW), NOW, SKEW)
    assert outcome is Outcome.CONFIRMED
    return record


@pytest.mark.parametrize(
    ("call", "now", "outcome"),
    [
        (-5, 0, Outcome.CONFIRMED),
        (-6, 0, Outcome.EARLY),
        (0, 899, Outcome.CONFIRMED),
        (0, 900, Outcome.LATE),
        (899, 899, Outcome.CONFIRMED),
        (900, 899, Outcome.CONFIRMED),
        (901, 899, Outcome.LATE),
        (905, 900, Outcome.LATE),
        (15, 10, Outcome.CONFIRMED),
        (16, 10, Outcome.EARLY),
        (901, 5000, Outcome.LATE),
    ],
)
def test_a_call_counts_only_inside_its_window(call: int, now: int, outcome: Outcome) -> None:
    """``call`` and ``now`` are seconds after the creation. The window is 900 s, the skew 5 s."""
    judged, after = judge_call(pending(), call_at(NOW + seconds(call)), NOW + seconds(now), SKEW)

    assert judged is outcome
    assert (after.status is Status.VERIFIED) == (outcome is Outcome.CONFIRMED)


def test_a_late_call_says_so_on_the_record() -> None:
    _, after = judge_call(pending(), call_at(NOW + seconds(905)), NOW + seconds(905), SKEW)

    assert (after.status, after.reason) == (Status.EXPIRED, Reason.LATE_CALL)


def test_a_call_of_another_number_matches_nothing() -> None:
    assert judge_call(pending(), call_at(NOW, OTHER_NUMBER), NOW, SKEW) == (Outcome.UNMATCHED, pending())


def test_a_call_while_the_order_is_under_way_matches_nothing() -> None:
    """The number to call has not been shown yet."""
    assert judge_call(opened("ver_1"), call_at(NOW), NOW, SKEW)[0] is Outcome.UNMATCHED


@pytest.mark.parametrize("ended", [Status.CANCELED, Status.FAILED])
def test_a_call_to_an_ended_record_matches_nothing(ended: Status) -> None:
    assert judge_call(replace(pending(), status=ended), call_at(NOW), NOW, SKEW)[0] is Outcome.UNMATCHED


def test_second_call_in_window_is_repeated_not_confirmed() -> None:
    later = InboundCall(verified().phone_number.value, NOW + seconds(7))

    assert judge_call(verified(), later, NOW + seconds(7), SKEW) == (Outcome.REPEATED, verified())


def test_a_contested_record_is_not_verified_by_a_call() -> None:
    contested = pending(rules=CONTESTING).contest(NOW)

    assert contested.status is Status.CONTESTED
    assert judge_call(contested, call_at(NOW), NOW, SKEW) == (Outcome.CONTESTED, contested)


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
