"""Effect of a call, a text or a report on a verification, and how much each witness proves (docs/adr/0032)."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import NOW, NUMBER, OTHER_NUMBER, call_at, opened, pending, seconds
from waitcall.domain.channel import Assurance, Channel, PlacedOrder, ProviderOrder, TextIn
from waitcall.domain.matching import (
    InboundCall,
    InboundText,
    InboxTrust,
    OrderReport,
    OrderStatus,
    Outcome,
    Witness,
    judge_call,
    judge_order,
    judge_text,
    skeleton,
)
from waitcall.domain.numbers import E164
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


SHOWN, OTHER, DEDICATED = E164("+79585551234"), E164("+79585555678"), OURS
ASSERTED, NETWORK, ROUNDTRIP = Assurance
CALLBACK, INBOX = Witness
CONFIRMED, UNPROVEN, WEAK = Outcome.CONFIRMED, Outcome.OTHER, Outcome.WEAK
STRICT = InboxTrust(frozenset({DEDICATED}))
CHECKED = InboxTrust(frozenset({DEDICATED}), NETWORK)
SHOWN_IS_DEDICATED = InboxTrust(frozenset({SHOWN}))


def showing(minimum: Assurance = ASSERTED, best: Assurance = NETWORK, **rules: object) -> Verification:
    """Make a pending verification that shows ``SHOWN``. ``best`` is the assurance of the caller's region."""
    record = opened("ver_1", rules=Purpose("login", min_assurance=minimum, **rules))
    return replace(record.open_window(NOW).show(PlacedOrder(SHOWN)), assurance=best)


def told(witness: Witness, dialled: E164 | None, *, texted: bool = False) -> InboundCall:
    caller = showing().phone_number.value
    return InboundCall(caller, NOW, dialled.value if dialled else None, witness, texted)


@pytest.mark.parametrize(
    ("call", "trust", "minimum", "outcome", "proven"),
    [
        # A signed callback proves what the caller's region gives, whatever the inbox or a text says.
        (told(CALLBACK, None), STRICT, ASSERTED, CONFIRMED, NETWORK),
        (told(CALLBACK, None), STRICT, NETWORK, CONFIRMED, NETWORK),
        (told(CALLBACK, None, texted=True), STRICT, NETWORK, CONFIRMED, NETWORK),
        (told(CALLBACK, None), SHOWN_IS_DEDICATED, NETWORK, CONFIRMED, NETWORK),
        # A record that names the number shown proves `asserted`, which may not be enough.
        (told(INBOX, SHOWN), STRICT, ASSERTED, CONFIRMED, ASSERTED),
        (told(INBOX, SHOWN), STRICT, NETWORK, WEAK, None),
        # The operator has checked the records of the account and lets them prove more.
        (told(INBOX, SHOWN), CHECKED, ASSERTED, CONFIRMED, NETWORK),
        (told(INBOX, SHOWN), CHECKED, NETWORK, CONFIRMED, NETWORK),
        # A record that names no number, or another, proves nothing.
        (told(INBOX, None), STRICT, ASSERTED, UNPROVEN, None),
        (told(INBOX, None), CHECKED, ASSERTED, UNPROVEN, None),
        (told(INBOX, OTHER), STRICT, ASSERTED, UNPROVEN, None),
        (told(INBOX, OTHER), CHECKED, ASSERTED, UNPROVEN, None),
        # A number of ours that receives texts proves no call, even if it was shown.
        (told(INBOX, DEDICATED), STRICT, ASSERTED, UNPROVEN, None),
        (told(INBOX, SHOWN), SHOWN_IS_DEDICATED, ASSERTED, UNPROVEN, None),
        # The handler got a text of this sender, so the record may be that text.
        (told(INBOX, SHOWN, texted=True), STRICT, ASSERTED, UNPROVEN, None),
        (told(INBOX, SHOWN, texted=True), CHECKED, ASSERTED, UNPROVEN, None),
        (told(INBOX, SHOWN, texted=True), CHECKED, NETWORK, UNPROVEN, None),
    ],
)
@pytest.mark.parametrize("match_dialled", [False, True])
def test_each_witness_proves_what_the_table_says(
    call: InboundCall,
    trust: InboxTrust,
    minimum: Assurance,
    outcome: Outcome,
    proven: Assurance | None,
    match_dialled: bool,
) -> None:
    record = showing(minimum, match_dialled=match_dialled)
    judged, after = judge_call(record, call, NOW, SKEW, trust)
    assert judged is outcome
    if proven is None:
        assert after == record
    else:
        assert (after.status, after.assurance) == (Status.VERIFIED, proven)
        assert after.dialled == (SHOWN if call.dialled else None)


@pytest.mark.parametrize("channel", [Channel.TEXT_IN, Channel.CODE])
@pytest.mark.parametrize("witness", list(Witness))
def test_on_another_channel_no_witness_of_a_call_proves_anything(channel: Channel, witness: Witness) -> None:
    record = replace(showing(), channel=channel, call_number=None)
    judged, after = judge_call(record, told(witness, SHOWN), NOW, SKEW, CHECKED)
    assert judged in (Outcome.UNMATCHED, Outcome.OTHER)
    assert after == record


@pytest.mark.parametrize("minimum", list(Assurance))
def test_before_a_code_a_record_of_the_inbox_is_enough_and_the_code_decides_what_is_proven(
    minimum: Assurance,
) -> None:
    record = showing(minimum, ROUNDTRIP, second_step=Channel.CODE)
    judged, after = judge_call(record, told(INBOX, SHOWN), NOW, SKEW, STRICT)
    assert judged is Outcome.CONFIRMED
    assert (after.status, after.channel, after.assurance) == (Status.PENDING, Channel.CODE, ROUNDTRIP)
    unproven, unchanged = judge_call(record, told(INBOX, SHOWN, texted=True), NOW, SKEW, STRICT)
    assert (unproven, unchanged) == (Outcome.OTHER, record)


@given(
    dialled=st.sampled_from([SHOWN, OTHER, DEDICATED, None]),
    texted=st.booleans(),
    trust=st.sampled_from([STRICT, CHECKED, SHOWN_IS_DEDICATED, InboxTrust()]),
    minimum=st.sampled_from([ASSERTED, NETWORK]),
    after=st.integers(-10, 1000),
)
def test_the_inbox_never_proves_more_than_a_callback_would_and_never_where_a_text_may_have_been(
    dialled: E164 | None, texted: bool, trust: InboxTrust, minimum: Assurance, after: int
) -> None:
    record, now = showing(minimum), NOW + seconds(after)
    call = replace(told(INBOX, dialled, texted=texted), at=now)
    outcome, judged = judge_call(record, call, now, SKEW, trust)
    by_callback, _ = judge_call(record, replace(call, witness=CALLBACK), now, SKEW, trust)
    if outcome is Outcome.CONFIRMED:
        assert by_callback is Outcome.CONFIRMED
        assert dialled == SHOWN
        assert not texted
        assert minimum is ASSERTED or trust.at_most is NETWORK
        assert trust.at_most.reaches(judged.assurance)
    elif outcome in (Outcome.OTHER, Outcome.WEAK):
        assert judged == record
    else:
        assert outcome is by_callback


@pytest.mark.parametrize(("level", "limit"), list(product(Assurance, Assurance)))
def test_a_limit_never_raises_an_assurance(level: Assurance, limit: Assurance) -> None:
    assert level.reaches(level.at_most(limit))
    assert limit.reaches(level.at_most(limit))
    assert level.at_most(limit) in (level, limit)


@pytest.mark.parametrize(
    "text",
    ["[waitcall] 7", " [WaitCall]\t7 \u2603", "\u200b[WAITCALL]-7", "waitcall\ufffd7", "[ wait call ] 7"],
)
def test_texts_that_differ_only_by_what_a_charset_may_change_are_equal(text: str) -> None:
    assert skeleton(text) == "waitcall7"


def test_a_text_is_compared_by_its_ascii_letters_and_digits() -> None:
    """Other characters may change on their way through charsets."""
    assert skeleton("Ab-1 2\N{CYRILLIC CAPITAL LETTER A}\N{ARABIC-INDIC DIGIT ONE}") == "ab12"
