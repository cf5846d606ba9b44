"""Queries to SMSC that no end user waits for: try each base URL, and turn failures into errors."""

import json
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, TypeVar

import urllib3

from waitcall.adapters.providers.request_outcome import RequestOutcome
from waitcall.adapters.providers.smsc.wire import ERROR_CODES
from waitcall.adapters.providers.transport import Account, ProviderMetrics, Transport, transport_outcome
from waitcall.domain.errors import ProviderError, ProviderFailure, ProviderUnavailable

MAX_ANSWER_BYTES = 4 * 1024 * 1024
SECONDS_A_REQUEST = 10.0

_NOTHING_LEFT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Unreadable(Exception):
    """The body is neither an error nor the expected answer."""


class ProviderQuery:
    """Queries that try one base URL after the other."""

    def __init__(self, account: Account, metrics: ProviderMetrics) -> None:
        self._account = account
        self._metrics = metrics
        self._http = Transport(account)

    def ask(
        self,
        operation: str,
        script: str,
        fields: Mapping[str, str],
        read: Callable[[bytes], T | int],
        *,
        once: bool = False,
    ) -> T:
        """Send a query, and return the provider's answer.

        Args:
            operation: value of the metric's label.
            script: for instance ``get.php``.
            fields: form fields without credentials, format and charset.
            read: turns a body into the answer or an error code; raises Unreadable.
            once: True if the request costs money. Another base URL is then tried only if nothing was sent.

        Raises:
            ProviderError: the provider answered with an error code, or unreadably.
            ProviderUnavailable: no base URL answered. A request with ``once`` may have been carried out.
        """
        failure: ProviderFailure = ProviderUnavailable()
        for base_url in self._account.base_urls:
            outcome, answer, code, left = self._asked(operation, f"{base_url}/{script}", fields, read)
            if answer is not None:
                return answer
            _log.warning("provider request failed", extra={"operation": operation, "outcome": outcome.value})
            if code is not None:
                raise ProviderError(f"The provider answered with error code {code}.")
            if once and left:
                raise ProviderUnavailable(
                    "The answer was lost, so the request may have been carried out. Check before you repeat it."
                )
            failure = ProviderError() if outcome is RequestOutcome.UNREADABLE else ProviderUnavailable()
        raise failure

    def open(self, operation: str, script: str, fields: Mapping[str, str], offset: int) -> Any:
        """Open a file as a stream: an urllib3 response, which the caller must close.

        The stream begins at byte ``offset`` if the server supports ranges (status 206), else at the first byte.

        Raises:
            ProviderFailure
        """
        for base_url in self._account.base_urls:
            began, outcome = monotonic(), RequestOutcome.UNREACHABLE
            try:
                response = self._http.open(f"{base_url}/{script}", fields, SECONDS_A_REQUEST, offset)
                outcome = RequestOutcome.SERVER_ERROR if response.status >= 500 else RequestOutcome.OK  # noqa: PLR2004  as below
                if outcome is RequestOutcome.OK:
                    return response
                response.close()
            except urllib3.exceptions.HTTPError as error:
                outcome = transport_outcome(error)
            finally:
                self._metrics.provider_request(operation, outcome, monotonic() - began)
        raise ProviderUnavailable

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _asked(
        self, operation: str, url: str, fields: Mapping[str, str], read: Callable[[bytes], T | int]
    ) -> tuple[RequestOutcome, T | None, int | None, bool]:
        """Ask one base URL. Return the outcome, the answer, the error code, and whether anything was sent."""
        began, outcome = monotonic(), RequestOutcome.UNREACHABLE
        try:
            spoken = dict(fields) | {"fmt": "3", "charset": "utf-8"}
            status, body = self._http.post(url, spoken, SECONDS_A_REQUEST, MAX_ANSWER_BYTES)
            outcome, answer, code = _judged(status, body, read)
        except urllib3.exceptions.HTTPError as error:
            outcome = transport_outcome(error)
            return outcome, None, None, not isinstance(error, _NOTHING_LEFT)
        finally:
            self._metrics.provider_request(operation, outcome, monotonic() - began)
        return outcome, answer, code, True


def _judged(
    status: int, body: bytes, read: Callable[[bytes], T | int]
) -> tuple[RequestOutcome, T | None, int | None]:
    if status >= 500:  # noqa: PLR2004  the class of HTTP server errors
        return RequestOutcome.SERVER_ERROR, None, None
    try:
        answer = read(body)
    except Unreadable:
        return RequestOutcome.UNREADABLE, None, None
    if isinstance(answer, int):
        return ERROR_CODES.get(answer, RequestOutcome.REJECTED), None, answer
    return RequestOutcome.OK, answer, None


def document(body: bytes) -> Any:
    """Parse an answer's JSON. Raises Unreadable."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unreadable from error


def error_code(answer: dict[str, Any]) -> int:
    """Return the error code of an answer; -1 if the code is unreadable. Raises Unreadable if there is no error."""
    if "error_code" not in answer and "error" not in answer:
        raise Unreadable
    try:
        return int(answer.get("error_code", -1))
    except (TypeError, ValueError):
        return -1
