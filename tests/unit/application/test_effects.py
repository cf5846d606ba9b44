"""Effects of a transition: audit entries, counters, limits that are given back, the time of the next sweep, and events."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from tests.fakes.memory import MemoryOutbox
from tests.making import NOW, POLICY, call_at, opened, pending, seconds
from waitcall.application.deliver_webhooks import remind
from waitcall.application.effects import (
    NO_EFFECTS,
    REMEMBERED_SECONDS,
    Effects,
    TransitionEffects,
    announcement_of,
    body_of,
)
from waitcall.application.request_context import request_id
from waitcall.domain.channel import Channel
from waitcall.domain.code import Code
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.event import Event, EventType, events_of
from waitcall.domain.limits import Limit, Mode, Scope
from waitcall.domain.matching import judge_call
from waitcall.domain.policy import Endpoint, OnConcurrent, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

BUDGET = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0.1)
TOTALS = (Limit(50, 3600), Limit(100, 86400))
EFFECTS = TransitionEffects(replace(POLICY, conversion=(BUDGET,), limits={Scope.NUMBER_TOTAL: TOTALS}))
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


BOTH = frozenset({"verification.verified", "verification.expired"})
ENDPOINTS = (
    Endpoint("web/main", "https://login.example.org/hook", BOTH),
    Endpoint("web/stats", "https://stats.example.org/", frozenset({"verification.expired"})),
)
LISTENING = replace(
    POLICY, clients={**POLICY.clients, "web": replace(POLICY.clients["web"], webhooks=ENDPOINTS)}
)
EXPIRED = pending().at(NOW + seconds(900))


def only(record: Verification, now: datetime = NOW) -> Event:
    (event,) = events_of(record, now)
    return event


def test_an_event_goes_to_the_endpoints_that_asked_for_its_type() -> None:
    announcement = announcement_of(only(EXPIRED), LISTENING, NOW)
    assert announcement is not None
    assert [each.endpoint for each in announcement.deliveries] == ["web/main", "web/stats"]
    assert (
        {each.event_id for each in announcement.deliveries} == {announcement.event_id} == {only(EXPIRED).id}
    )
    assert {each.attempt for each in announcement.deliveries} == {0}
    announcement = announcement_of(only(verified()), LISTENING, NOW)
    assert announcement is not None
    assert [each.endpoint for each in announcement.deliveries] == ["web/main"]


@pytest.mark.parametrize("client", ["app", "left the policy"])
def test_an_event_that_no_endpoint_asked_for_is_not_announced(client: str) -> None:
    event = replace(only(EXPIRED), verification=opened("ver_1", client=client))
    assert announcement_of(event, LISTENING, NOW) is None
    assert announcement_of(replace(only(EXPIRED), type=EventType.CANCELED), LISTENING, NOW) is None


@pytest.mark.parametrize(
    ("record", "now", "seconds_left"),
    [
        (EXPIRED, 0, 900),
        (EXPIRED, 900, 0),
        (EXPIRED, 5000, 0),
        # The last sweep is at the end of the window (900 s) or 300 s after the proof, whichever is later.
        (verified(), 0, 900),
        (judge_call(pending(), call_at(NOW + seconds(800)), NOW + seconds(800), seconds(5))[1], 800, 300),
    ],
)
def test_an_event_is_remembered_until_an_hour_after_the_records_last_sweep(
    record: Verification, now: int, seconds_left: int
) -> None:
    announcement = announcement_of(only(record), LISTENING, NOW + seconds(now))
    assert announcement is not None
    assert announcement.keep_seconds == REMEMBERED_SECONDS + seconds_left


def test_times_are_told_in_utc_and_a_missing_reason_as_null() -> None:
    event = only(EXPIRED)
    elsewhere = event.at.astimezone(timezone(timedelta(hours=3))) + timedelta(milliseconds=400)
    told = json.loads(body_of(replace(event, at=elsewhere, verification=opened("ver_1"))))
    assert told["timestamp"] == "2026-01-01T12:15:00Z"
    assert told["data"]["reason"] is None


def test_a_reminder_announces_only_events_that_an_endpoint_asked_for() -> None:
    record = verified().consume("login", "flow", NOW)
    outbox = MemoryOutbox()
    remind(outbox, LISTENING, record, NOW)
    # No endpoint asked for the event of the consume.
    assert [each.delivery.endpoint for each in outbox.take("one", 9)] == ["web/main"]
    remind(outbox, LISTENING, record, NOW)
    assert outbox.take("one", 9) == []
