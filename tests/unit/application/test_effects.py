"""Effects of a transition: audit entries, counters, limits that are given back, and the time of the next sweep."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.making import NOW, POLICY, call_at, opened, pending, seconds
from waitcall.application.announcement import Announcer
from waitcall.application.effects import NO_EFFECTS, Effects, TransitionEffects
from waitcall.application.request_context import request_id
from waitcall.domain.channel import Channel
from waitcall.domain.code import Code
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.limits import Limit, Mode, Scope
from waitcall.domain.matching import judge_call
from waitcall.domain.policy import OnConcurrent, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

BUDGET = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0.1)
TOTALS = (Limit(50, 3600), Limit(100, 86400))
EFFECTS = TransitionEffects(Announcer(POLICY), (BUDGET,), TOTALS)
CONTESTING = Purpose("login", on_concurrent=OnConcurrent.CONTEST)
TWO_STEPS = Purpose("login", second_step=Channel.CODE)
CODE = Code(message_id=7, digests=("one",), sent_at=NOW)


def verified(rules: Purpose = Purpose("login"), at: datetime = NOW) -> Verification:  # noqa: B008  Purpose is frozen
    return judge_call(pending(rules=rules), call_at(at), at, seconds(5))[1]


def acts(effects: Effects) -> list[tuple[str, str]]:
    return [(entry.event, entry.actor) for entry, _ in effects.entries]


def details(effects: Effects) -> dict[str, str]:
    return effects.entries[0][0].details or {}


def test_a_start_is_written_and_counted_as_not_called_yet() -> None:
    written = EFFECTS.started(pending(), NOW)
    assert acts(written) == [("started", "client:web")]
    assert details(written) == {"client": "web", "purpose": "login", "region": "RU", "assurance": "asserted"}
    (tally,) = written.conversions
    assert (tally.budget, tally.called, tally.shown_at) == (BUDGET, False, NOW)
    (entry, told) = written.entries[0]
    assert (entry.at, entry.verification_id, told) == (NOW, "ver_1", None)


def test_a_start_with_a_code_or_a_contest_says_so() -> None:
    with_code = replace(pending(), channel=Channel.CODE, code=CODE)
    assert acts(EFFECTS.started(with_code, NOW)) == [("started", "client:web"), ("code_sent", "client:web")]
    assert EFFECTS.started(with_code, NOW).entries[1][0].details["message_id"] == "7"
    assert details(EFFECTS.started(with_code, NOW))["channel"] == "code"
    contested = pending(rules=CONTESTING).contest(NOW)
    assert acts(EFFECTS.started(contested, NOW))[1:] == [("contested", "another requester")]


@pytest.mark.parametrize(("result_seconds", "due"), [(300, 5), (5, 5), (4, 4)])
def test_a_verified_record_is_swept_soon_and_never_after_its_result_ends(
    result_seconds: int, due: int
) -> None:
    rules = Purpose("login", result_seconds=result_seconds)
    written = EFFECTS.changed(pending(rules=rules), verified(rules), NOW)
    assert acts(written) == [("verified", "provider")]
    assert written.due == NOW + timedelta(seconds=due)
    assert [each.called for each in written.conversions] == [True]
    assert written.freed == ()
    assert details(written)["reason"] == "call_matched"


def test_a_right_code_is_audited_as_the_clients_act_and_counts_no_second_call() -> None:
    before = replace(pending(), channel=Channel.CODE, code=CODE, called_at=NOW)
    after = before.prove(Reason.CODE_MATCHED, NOW)
    written = EFFECTS.changed(before, after, NOW)
    assert acts(written) == [("verified", "client:web")]
    assert written.conversions == ()


def test_a_contest_is_written_once() -> None:
    before = pending(rules=CONTESTING)
    after = before.contest(NOW)
    assert acts(EFFECTS.changed(before, after, NOW)) == [("contested", "another requester")]
    assert EFFECTS.changed(after, after, NOW) == NO_EFFECTS


def test_the_first_of_two_steps_counts_as_called() -> None:
    before = pending(rules=TWO_STEPS)
    after = before.prove(Reason.CALL_MATCHED, NOW)
    written = EFFECTS.changed(before, after, NOW)
    assert acts(written) == [("first_step", "provider")]
    assert [each.called for each in written.conversions] == [True]
    # A later change of the record does not count the call again.
    assert EFFECTS.changed(after, replace(after, code=CODE), NOW).conversions == ()


def test_a_fallback_and_each_message_are_written() -> None:
    before = pending()
    moved = before.move(Channel.CODE, NOW)
    assert acts(EFFECTS.changed(before, moved, NOW)) == [("fallback", "client:web")]
    sent = replace(moved, code=CODE)
    assert acts(EFFECTS.changed(moved, sent, NOW)) == [("code_sent", "client:web")]
    assert EFFECTS.changed(sent, sent, NOW) == NO_EFFECTS
    again = replace(sent, code=replace(CODE, digests=("one", "two"), message_id=8))
    written = EFFECTS.changed(sent, again, NOW)
    assert acts(written) == [("code_sent", "client:web")]
    assert details(written)["message_id"] == "8"
    refused = replace(again, code=replace(again.code, refused=True))
    assert acts(EFFECTS.changed(again, refused, NOW)) == [("code_refused", "client:web")]
    assert EFFECTS.changed(refused, refused, NOW) == NO_EFFECTS


@pytest.mark.parametrize(
    ("before", "after", "actor"),
    [
        (verified(), verified().consume("login", "flow", NOW), "client:web"),
        (verified(), verified().at(NOW + seconds(300)), "time"),
        (pending(), pending().cancel(NOW), "client:web"),
        (pending(), pending().block(NOW), "operator"),
        (pending(), pending().at(NOW + seconds(900)), "time"),
        (pending(), replace(pending(), status=Status.EXPIRED, reason=Reason.LATE_CALL), "provider"),
        (pending(), replace(pending(), status=Status.EXPIRED, reason=Reason.LATE_TEXT), "provider"),
        (pending(), replace(pending(), status=Status.FAILED, reason=Reason.ATTEMPTS_SPENT), "client:web"),
        (opened("ver_1"), opened("ver_1").fail(Reason.PROVIDER_ERROR, NOW), "provider"),
    ],
)
def test_an_end_is_audited_once_with_its_actor(before: Verification, after: Verification, actor: str) -> None:
    written = EFFECTS.changed(before, after, NOW)
    assert acts(written) == [(after.status.value, actor)]
    assert (written.conversions, written.due) == ((), None)
    assert EFFECTS.changed(after, after, NOW) == NO_EFFECTS


@pytest.mark.parametrize(
    ("before", "after", "is_freed"),
    [
        (pending(), pending().cancel(NOW), True),
        (pending(), pending().at(NOW + seconds(900)), True),
        (pending(), replace(pending(), status=Status.EXPIRED, reason=Reason.LATE_CALL), False),
        (verified(), verified().consume("login", "flow", NOW), False),
        (replace(pending(), called_at=NOW), replace(pending(), called_at=NOW).cancel(NOW), False),
    ],
)
def test_the_number_gets_its_limits_back_unless_its_holder_called(
    before: Verification, after: Verification, is_freed: bool
) -> None:
    freed = EFFECTS.changed(before, after, NOW).freed
    assert [(each.scope, each.subject, each.limit) for each in freed] == (
        [(Scope.NUMBER_TOTAL, after.phone_number.value, limit) for limit in TOTALS] if is_freed else []
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [("req-1", True), ("123456-123456", True), ("1234567", False), ("+79991234567", False), ("", False)],
)
def test_the_request_id_is_kept_unless_it_could_be_a_phone_number(given: str, kept: bool) -> None:
    token = request_id.set(given)
    try:
        found = details(EFFECTS.started(pending(), NOW)).get("request_id")
    finally:
        request_id.reset(token)
    assert found == (given if kept else None)
