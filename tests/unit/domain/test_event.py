"""Events of a record: each outcome once, with its own time and reason."""

from dataclasses import replace

import pytest

from tests.making import NOW, call_at, opened, pending, seconds
from waitcall.domain.channel import Channel
from waitcall.domain.event import EventType, events_of
from waitcall.domain.matching import judge_call
from waitcall.domain.policy import OnConcurrent, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

LATER = NOW + seconds(20)
CONTESTING = Purpose("login", on_concurrent=OnConcurrent.CONTEST)


def verified() -> Verification:
    return judge_call(pending(), call_at(NOW + seconds(5)), NOW + seconds(5), seconds(5))[1]


def told(record: Verification, now: object = LATER) -> list[tuple[str, str | None, float]]:
    return [
        (each.type.status, each.reason, (each.at - NOW).total_seconds()) for each in events_of(record, now)
    ]


def test_a_live_record_has_no_events() -> None:
    assert told(opened("ver_1")) == told(pending()) == []


def test_a_consumed_record_has_the_event_verified_too() -> None:
    assert told(verified()) == [("verified", "call_matched", 5)]
    assert told(verified().consume("login", "flow", NOW + seconds(9))) == [
        ("verified", "call_matched", 5),
        ("consumed", "call_matched", 9),
    ]


def test_an_expired_or_lapsed_event_has_the_time_of_the_deadline() -> None:
    assert told(pending().at(NOW + seconds(5000))) == [("expired", "no_call", 900)]
    assert told(verified().at(NOW + seconds(5000))) == [
        ("verified", "call_matched", 5),
        ("lapsed", "not_consumed", 305),
    ]


@pytest.mark.parametrize(
    ("record", "status", "reason"),
    [
        (pending().cancel(NOW), "canceled", "by_client"),
        (opened("ver_1").fail(Reason.NUMBER_REFUSED, NOW), "failed", "number_refused"),
    ],
)
def test_canceled_and_failed_events_have_the_time_of_their_announcement(
    record: Verification, status: str, reason: str
) -> None:
    assert told(record) == [(status, reason, 20)]


def test_a_contest_is_an_event_beside_the_end() -> None:
    contested = pending(rules=CONTESTING).contest(NOW + seconds(3))
    assert told(contested) == [("contested", "concurrent_request", 3)]
    ended = [("contested", "concurrent_request", 3), ("expired", "no_call", 900)]
    assert told(contested.at(NOW + seconds(900))) == ended


@pytest.mark.parametrize(
    ("channel", "reason"),
    [(Channel.CALL, "call_matched"), (Channel.TEXT_IN, "text_matched"), (Channel.CODE, "code_matched")],
)
def test_the_reason_of_a_proof_is_what_was_matched(channel: Channel, reason: str) -> None:
    (event,) = events_of(replace(verified(), channel=channel, reason=None), LATER)
    assert (event.type, event.reason) == (EventType.VERIFIED, reason)


def test_each_type_names_the_status_that_was_reached() -> None:
    assert {each.status for each in EventType} == set(Status) - {Status.ORDERING, Status.PENDING}
