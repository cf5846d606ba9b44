"""Each event of a verification is logged once: in the line of its request, or in a line of its own."""

import logging

import pytest

from tests.making import pending
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.adapters.telemetry.observer import LoggingObserver
from waitcall.application.request_context import events


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
