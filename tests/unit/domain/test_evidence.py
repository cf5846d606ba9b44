"""Table of docs/adr/0032, row by row: each witness of a call and how much it proves."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import NOW, opened, seconds
from waitcall.domain.assurance import Assurance
from waitcall.domain.call import InboundCall, Outcome, Witness
from waitcall.domain.channel import Channel
from waitcall.domain.evidence import InboxTrust, skeleton
from waitcall.domain.matching import judge_call
from waitcall.domain.numbers import E164
from waitcall.domain.order import PlacedOrder
from waitcall.domain.policy import Purpose
from waitcall.domain.status import Status
from waitcall.domain.steps import shown
from waitcall.domain.verification import Verification

SKEW = seconds(5)
SHOWN, OTHER, DEDICATED = E164("+79585551234"), E164("+79585555678"), E164("+79585550000")
ASSERTED, NETWORK, ROUNDTRIP = Assurance
CALLBACK, INBOX = Witness
CONFIRMED, UNPROVEN, WEAK = Outcome.CONFIRMED, Outcome.OTHER, Outcome.WEAK
STRICT = InboxTrust(frozenset({DEDICATED}))
CHECKED = InboxTrust(frozenset({DEDICATED}), NETWORK)
SHOWN_IS_DEDICATED = InboxTrust(frozenset({SHOWN}))


def pending(minimum: Assurance = ASSERTED, best: Assurance = NETWORK, **rules: object) -> Verification:
    """Make a pending verification that shows ``SHOWN``. ``best`` is the assurance of the caller's region."""
    record = opened("ver_1", rules=Purpose("login", min_assurance=minimum, **rules))
    return replace(shown(record.open_window(NOW), PlacedOrder(SHOWN)), assurance=best)


def told(witness: Witness, dialled: E164 | None, *, texted: bool = False) -> InboundCall:
    caller = pending().phone_number.value
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
    record = pending(minimum, match_dialled=match_dialled)
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
    record = replace(pending(), channel=channel, call_number=None)
    judged, after = judge_call(record, told(witness, SHOWN), NOW, SKEW, CHECKED)
    assert judged in (Outcome.UNMATCHED, Outcome.OTHER)
    assert after == record


@pytest.mark.parametrize("minimum", list(Assurance))
def test_before_a_code_a_record_of_the_inbox_is_enough_and_the_code_decides_what_is_proven(
    minimum: Assurance,
) -> None:
    record = pending(minimum, ROUNDTRIP, second_step=Channel.CODE)
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
    record, now = pending(minimum), NOW + seconds(after)
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
