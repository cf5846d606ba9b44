"""Each event of a verification is logged once: in the line of its request, or in a line of its own."""

import logging
from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from tests.making import pending
from waitcall.adapters.telemetry.metrics import TEST_EVENTS, Metrics
from waitcall.adapters.telemetry.observer import LoggingObserver
from waitcall.application.request_context import events
from waitcall.domain.policy import FixedOutcome
from waitcall.domain.status import Status


@pytest.fixture
def logging_observer() -> LoggingObserver:
    return LoggingObserver(Metrics("1.2.3", ["web"], ["login"]))


def test_outside_a_request_an_event_has_a_line_of_its_own(
    logging_observer: LoggingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "waitcall.events"):
        logging_observer.started(pending())

    (line,) = [record.__dict__ for record in caplog.records]
    assert (line["message"], line["status"], line["phone_number"]) == ("started", "pending", "+79*******67")


def test_within_a_request_an_event_waits_for_the_line_of_the_request(
    logging_observer: LoggingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    token = events.set([])
    with caplog.at_level(logging.INFO, "waitcall.events"):
        logging_observer.started(pending())
        logging_observer.contested(pending())
    happened = events.get()
    events.reset(token)

    assert caplog.records == []
    assert happened is not None
    assert [each["event"] for each in happened] == ["started", "contested"]
    assert {each["phone_number"] for each in happened} == {"+79*******67"}


TEST = replace(pending(), test=FixedOutcome(Status.VERIFIED))


def test_a_test_number_is_a_warning_of_its_own_within_a_request_too(
    logging_observer: LoggingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    token = events.set([])
    with caplog.at_level(logging.WARNING, "waitcall.events"):
        logging_observer.verified(TEST, None)
    happened = events.get()
    events.reset(token)

    (line,) = [record.__dict__ for record in caplog.records]
    assert (line["message"], line["event"], line["client"]) == ("test number", "verified", "web")
    assert happened is not None
    assert [each["test"] for each in happened] == [True]


def test_a_test_number_counts_in_its_own_counter_only() -> None:
    metrics = Metrics("1.2.3", ["web"], ["login"])
    observer = LoggingObserver(metrics)
    before = generate_latest(metrics.registry).decode().splitlines()
    observer.started(TEST)
    observer.contested(TEST)
    observer.verified(TEST, None)
    observer.finished(replace(TEST, status=Status.CONSUMED))
    observer.fell_back(TEST)
    observer.code_sent(TEST)
    observer.code_checked(TEST, correct=True)
    after = generate_latest(metrics.registry).decode().splitlines()

    new = {line for line in set(after) - set(before) if not line.startswith("#") and "_created" not in line}
    told = ("started", "contested", "verified", "consumed", "fell back", "code sent", "code checked")
    expected = 'waitcall_test_verifications_total{{client="web",event="{}",purpose="login"}} 1.0'
    assert new == {expected.format(event) for event in told}
    assert set(told) <= set(TEST_EVENTS)
