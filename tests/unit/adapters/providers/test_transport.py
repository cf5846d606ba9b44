"""Outcome of a request that failed, and whether the provider can have got it."""

from io import BytesIO
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from tests.fakes.outside import RecordingObserver
from waitcall.adapters.providers.transport import Account, Answer, RequestOutcome, Transport

URL = "http://127.0.0.1:9/sys/send.php"
POOL: Any = None


def asked(
    error: HTTPError, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Answer[bytes], list[str]]:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(urllib3.PoolManager, "request", fail)
    observer = RecordingObserver()
    transport = Transport(Account((URL,), {"apikey": "sim-apikey"}, 20), observer)
    answer = transport.ask("send", URL, {}, lambda body: body, 1.0, **options)
    transport.close()
    return answer, [outcome for _, _, outcome in observer.counts]


@pytest.mark.parametrize(
    ("error", "outcome", "sent"),
    [
        (NewConnectionError(POOL, "refused"), RequestOutcome.UNREACHABLE, False),
        (ConnectTimeoutError(POOL, "no answer"), RequestOutcome.TIMEOUT, False),
        (ReadTimeoutError(POOL, URL, "no answer"), RequestOutcome.TIMEOUT, True),
        (ProtocolError("reset"), RequestOutcome.UNREACHABLE, True),
    ],
)
def test_a_failure_says_whether_the_request_may_have_arrived(
    monkeypatch: pytest.MonkeyPatch, error: HTTPError, outcome: RequestOutcome, sent: bool
) -> None:
    answer, counted = asked(error, monkeypatch)

    assert (answer.outcome, answer.value, answer.sent) == (outcome, None, sent)
    assert counted == [outcome]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NewConnectionError(POOL, "refused"), RequestOutcome.UNREACHABLE),
        (ConnectTimeoutError(POOL, "no answer"), RequestOutcome.UNREACHABLE),
        (ReadTimeoutError(POOL, URL, "no answer"), RequestOutcome.TIMEOUT),
    ],
)
def test_a_message_that_cannot_have_been_sent_counts_as_unreachable(
    monkeypatch: pytest.MonkeyPatch, error: HTTPError, outcome: RequestOutcome
) -> None:
    answer, counted = asked(error, monkeypatch, unconnected=RequestOutcome.UNREACHABLE)

    assert answer.outcome is outcome
    assert counted == [outcome]


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"", RequestOutcome.OK),
        (200, b"four", RequestOutcome.OK),
        (400, b"four", RequestOutcome.OK),
        (200, b"five5", RequestOutcome.UNREADABLE),
        (302, b"", RequestOutcome.UNREADABLE),
        (404, b"", RequestOutcome.UNREADABLE),
        (500, b"five5", RequestOutcome.SERVER_ERROR),
    ],
)
def test_a_body_is_read_if_it_is_complete_and_an_empty_one_only_from_a_success(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, outcome: RequestOutcome
) -> None:
    """An empty body confirms some requests, so neither a long body nor an error page without text may look like one."""
    response = urllib3.HTTPResponse(BytesIO(body), status=status, preload_content=False)
    monkeypatch.setattr(urllib3.PoolManager, "request", lambda *_, **__: response)
    transport = Transport(Account((URL,), {"apikey": "sim-apikey"}, 20), RecordingObserver())
    answer = transport.ask("send", URL, {}, lambda read: read, 1.0, max_bytes=4)
    transport.close()
    assert (answer.outcome, answer.value) == (outcome, body if outcome is RequestOutcome.OK else None)
