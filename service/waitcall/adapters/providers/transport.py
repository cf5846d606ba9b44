"""POST requests to a provider: secrets are sent in the body only, and answers are bounded in time and size."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

import urllib3

MAX_ANSWER_BYTES = 65536
_DONE = 200
_SERVER_ERRORS = 500
_NOTHING_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
T = TypeVar("T")


class RequestOutcome(StrEnum):
    """Outcome of one request to a provider; the closed set of a metric's label."""

    OK = "ok"
    BAD_NUMBER = "bad_number"
    NUMBER_REFUSED = "number_refused"
    REJECTED = "rejected"
    CREDENTIALS = "credentials"
    THROTTLED = "throttled"
    UNREADABLE = "unreadable"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    NOT_SENT = "not_sent"


class ProviderMetrics(Protocol):
    """Metrics that a provider's adapter reports to."""

    def provider_request(self, operation: str, outcome: str, seconds: float) -> None:
        """Record the outcome and duration of one request."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """Account at a provider: its URLs, credentials and bounds.

    Attributes:
        base_urls: tried in order, for instance ``https://smsc.ru/sys``.
        credentials: form fields such as ``login`` and ``psw``, or ``apikey``; sent in the body only.
        headers: headers of every request, for a provider that takes its key there.
        budget_seconds: time for one operation, over all tries.
        max_in_flight: maximum number of requests at a time, and of connections that are kept.
    """

    base_urls: Sequence[str]
    credentials: Mapping[str, str] = field(repr=False)
    budget_seconds: float
    max_in_flight: int = 1
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class UnreadableAnswer(Exception):
    """The answer is empty, cut off, HTML, or of an unknown shape."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with which the provider does not do what was asked.

    Attributes:
        outcome: outcome of the request.
        code: the provider's error code, -1 if it is unreadable; None if the answer has none.
    """

    outcome: RequestOutcome
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """Result of one request.

    Attributes:
        outcome: outcome of the request.
        value: what was read from the answer, if ``outcome`` is OK; else None.
        code: the error code of a refusal.
        sent: False if there was no connection, so the provider cannot have got the request.
    """

    outcome: RequestOutcome
    value: T | None = field(default=None, repr=False)
    code: int | None = None
    sent: bool = True


class Transport:
    """Pool of connections to a provider. It counts every request."""

    def __init__(self, account: Account, metrics: ProviderMetrics) -> None:
        self._metrics = metrics
        self._credentials = dict(account.credentials)
        self._headers = dict(account.headers)
        self._http = urllib3.PoolManager(
            num_pools=len(account.base_urls),
            maxsize=account.max_in_flight,
            retries=False,
            cert_reqs="CERT_REQUIRED",
        )

    def ask(  # noqa: PLR0913  bounds of the request
        self,
        operation: str,
        url: str,
        fields: Mapping[str, str] | bytes,
        read: Callable[[bytes], T | Refusal],
        timeout_seconds: float,
        *,
        max_bytes: int = MAX_ANSWER_BYTES,
        unconnected: RequestOutcome = RequestOutcome.TIMEOUT,
    ) -> Answer[T]:
        """Send a form or a JSON document, and read the answer.

        Args:
            operation: value of the metric's label.
            url: where to send it.
            fields: the form, without credentials; or the bytes of a JSON document.
            read: turns a body into a value or a refusal; raises UnreadableAnswer.
            timeout_seconds: time for the whole request.
            max_bytes: a longer body is unreadable.
            unconnected: outcome if no connection was made in time.
        """
        # A request that is interrupted has exceeded its time limit.
        answer: Answer[T] = Answer(RequestOutcome.TIMEOUT)
        began = monotonic()
        try:
            with self._request(url, fields, urllib3.Timeout(total=timeout_seconds)) as response:
                body = response.read(max_bytes + 1)
                if complete := len(body) <= max_bytes:
                    response.release_conn()
            answer = _answer(response.status, body if complete else None, read)
        except urllib3.exceptions.HTTPError as error:
            outcome, sent = _outcome(error), not isinstance(error, _NOTHING_SENT)
            answer = Answer(
                unconnected if outcome is RequestOutcome.TIMEOUT and not sent else outcome, sent=sent
            )
        finally:
            self._metrics.provider_request(operation, answer.outcome, monotonic() - began)
        return answer

    def open(
        self, operation: str, url: str, fields: Mapping[str, str], timeout_seconds: float, offset: int
    ) -> urllib3.BaseHTTPResponse | None:
        """Send a form and return the answer as a stream, which the caller must close; None if the request failed.

        The stream begins at byte ``offset`` if the server supports ranges (status 206), else at the first byte.
        """
        timeout = urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        began, outcome = monotonic(), RequestOutcome.UNREACHABLE
        try:
            response = self._request(url, fields, timeout, headers)
            if response.status < _SERVER_ERRORS:
                outcome = RequestOutcome.OK
                return response
            outcome = RequestOutcome.SERVER_ERROR
            response.close()
        except urllib3.exceptions.HTTPError as error:
            outcome = _outcome(error)
        finally:
            self._metrics.provider_request(operation, outcome, monotonic() - began)
        return None

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def _request(
        self,
        url: str,
        fields: Mapping[str, str] | bytes,
        timeout: urllib3.Timeout,
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        sent: dict[str, Any] = {"headers": self._headers | dict(headers or {})}
        if isinstance(fields, bytes):
            sent["body"] = fields
            sent["headers"]["Content-Type"] = "application/json"
        else:
            sent |= {"fields": dict(fields) | self._credentials, "encode_multipart": False}
        # No redirects, because a redirect would pass the credentials on.
        return self._http.request(
            "POST",
            url,
            **sent,
            timeout=timeout,
            redirect=False,
            preload_content=False,
        )


def document(body: bytes) -> Any:
    """Parse an answer's JSON. Raises UnreadableAnswer."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer from error


def whole_number(value: Any) -> int:
    """Return a code, which providers write as a number or as a text; -1 if it is unreadable."""
    try:
        return -1 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        return -1


def _answer(status: int, body: bytes | None, read: Callable[[bytes], T | Refusal]) -> Answer[T]:
    if status >= _SERVER_ERRORS:
        return Answer(RequestOutcome.SERVER_ERROR)
    # An empty body confirms some requests. The page of another server does not, even if it is empty.
    if body is None or (not body and status != _DONE):
        return Answer(RequestOutcome.UNREADABLE)
    try:
        found = read(body)
    except UnreadableAnswer:
        return Answer(RequestOutcome.UNREADABLE)
    if isinstance(found, Refusal):
        return Answer(found.outcome, code=found.code)
    return Answer(RequestOutcome.OK, found)


def _outcome(error: urllib3.exceptions.HTTPError) -> RequestOutcome:
    # NewConnectionError (connection refused) inherits from ConnectTimeoutError, but is no timeout.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    timeout = isinstance(error, urllib3.exceptions.TimeoutError) and not refused
    return RequestOutcome.TIMEOUT if timeout else RequestOutcome.UNREACHABLE
