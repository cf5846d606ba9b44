"""An event goes to the endpoints that asked for its type, and is remembered while a sweep may announce it again."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from tests.fakes.memory import MemoryOutbox
from tests.making import NOW, POLICY, call_at, opened, pending, seconds
from waitcall.application.announcement import REMEMBERED_SECONDS, Announcer, body_of
from waitcall.application.deliver_webhooks import Reminder
from waitcall.domain.event import Event, EventType, events_of
from waitcall.domain.matching import judge_call
from waitcall.domain.policy import Endpoint
from waitcall.domain.verification import Verification

BOTH = frozenset({"verification.verified", "verification.expired"})
ENDPOINTS = (
    Endpoint("web/main", "https://login.example.org/hook", BOTH),
    Endpoint("web/stats", "https://stats.example.org/", frozenset({"verification.expired"})),
)
LISTENING = replace(
    POLICY, clients={**POLICY.clients, "web": replace(POLICY.clients["web"], webhooks=ENDPOINTS)}
)
ANNOUNCER = Announcer(LISTENING)
EXPIRED = pending().at(NOW + seconds(900))


def verified() -> Verification:
    return judge_call(pending(), call_at(NOW), NOW, seconds(5))[1]


def only(record: Verification, now: datetime = NOW) -> Event:
    (event,) = events_of(record, now)
    return event


def test_an_event_goes_to_the_endpoints_that_asked_for_its_type() -> None:
    announcement = ANNOUNCER.of(only(EXPIRED), NOW)
    assert announcement is not None
    assert [each.endpoint for each in announcement.deliveries] == ["web/main", "web/stats"]
    assert (
        {each.event_id for each in announcement.deliveries} == {announcement.event_id} == {only(EXPIRED).id}
    )
    assert {each.attempt for each in announcement.deliveries} == {0}
    announcement = ANNOUNCER.of(only(verified()), NOW)
    assert announcement is not None
    assert [each.endpoint for each in announcement.deliveries] == ["web/main"]


@pytest.mark.parametrize("client", ["app", "left the policy"])
def test_an_event_that_no_endpoint_asked_for_is_not_announced(client: str) -> None:
    event = replace(only(EXPIRED), verification=opened("ver_1", client=client))
    assert ANNOUNCER.of(event, NOW) is None
    assert not ANNOUNCER.listens(client)
    assert ANNOUNCER.listens("web")
    assert ANNOUNCER.of(replace(only(EXPIRED), type=EventType.CANCELED), NOW) is None


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
    announcement = ANNOUNCER.of(only(record), NOW + seconds(now))
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
    Reminder(outbox, ANNOUNCER).remind(record, NOW)
    # No endpoint asked for the event of the consume.
    assert [each.delivery.endpoint for each in outbox.take("one", 9)] == ["web/main"]
    Reminder(outbox, ANNOUNCER).remind(record, NOW)
    assert outbox.take("one", 9) == []
