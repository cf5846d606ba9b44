"""Outcome of a request that failed, and whether the provider can have got it."""

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
