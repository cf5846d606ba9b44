"""POST requests to a provider: secrets are sent in the body only, and answers are bounded in time and size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import urllib3

from waitcall.adapters.providers.request_outcome import RequestOutcome


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
        budget_seconds: time for one operation, over all tries.
        max_in_flight: maximum number of requests at a time, and of connections that are kept.
    """

    base_urls: Sequence[str]
    credentials: Mapping[str, str] = field(repr=False)
    budget_seconds: float
    max_in_flight: int = 1


class Transport:
    """Pool of connections to a provider."""

    def __init__(self, account: Account) -> None:
        self._credentials = dict(account.credentials)
        self._http = urllib3.PoolManager(
            num_pools=len(account.base_urls),
            maxsize=account.max_in_flight,
            retries=False,
            cert_reqs="CERT_REQUIRED",
        )

    def post(
        self, url: str, fields: Mapping[str, str], timeout_seconds: float, max_bytes: int
    ) -> tuple[int, bytes]:
        """Send a form and return the answer's status and body. A body longer than ``max_bytes`` is returned as empty.

        Raises:
            urllib3.exceptions.HTTPError
        """
        timeout = urllib3.Timeout(total=timeout_seconds)
        with self._request(url, fields, timeout) as response:
            body = response.read(max_bytes + 1)
            if len(body) > max_bytes:
                return response.status, b""
            response.release_conn()
            return response.status, body

    def open(
        self, url: str, fields: Mapping[str, str], timeout_seconds: float, offset: int
    ) -> urllib3.BaseHTTPResponse:
        """Send a form and return the answer as a stream, which the caller must close.

        The stream begins at byte ``offset`` if the server supports ranges (status 206), else at the first byte.

        Raises:
            urllib3.exceptions.HTTPError
        """
        timeout = urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)
        return self._request(url, fields, timeout, {"Range": f"bytes={offset}-"} if offset else {})

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def _request(
        self,
        url: str,
        fields: Mapping[str, str],
        timeout: urllib3.Timeout,
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        # No redirects, because a redirect would pass the credentials on.
        return self._http.request(
            "POST",
            url,
            fields=dict(fields) | self._credentials,
            headers=headers,
            encode_multipart=False,
            timeout=timeout,
            redirect=False,
            preload_content=False,
        )


def transport_outcome(error: urllib3.exceptions.HTTPError) -> RequestOutcome:
    """Return the outcome that a failed request counts as."""
    # NewConnectionError (connection refused) inherits from ConnectTimeoutError, but is no timeout.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    return (
        RequestOutcome.TIMEOUT
        if isinstance(error, urllib3.exceptions.TimeoutError) and not refused
        else (RequestOutcome.UNREACHABLE)
    )
