"""POSTs to the provider: secrets in the body only, every answer bounded in time and size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import urllib3

from service.adapters.outgoing.outcome import Outcome


class ProviderMetrics(Protocol):
    """Where the adapter reports each request."""

    def provider_request(self, operation: str, outcome: str, seconds: float) -> None:
        """One request ended."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """Where to ask, and as whom.

    Attributes:
        base_urls: tried in order, for instance ``https://smsc.ru/sys``.
        credentials: ``login`` and ``psw``, or ``apikey``; sent in the body only.
        budget_seconds: for one operation, over all tries.
        max_in_flight: requests at once, and connections that are kept.
    """

    base_urls: Sequence[str]
    credentials: Mapping[str, str] = field(repr=False)
    budget_seconds: float
    max_in_flight: int = 1


class Transport:
    """One pool of connections to the provider."""

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
        """Status and body; an answer longer than ``max_bytes`` is as good as empty.

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
        """An answer as a stream, which the caller closes; from ``offset`` where the server can.

        Raises:
            urllib3.exceptions.HTTPError
        """
        timeout = urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)
        return self._request(url, fields, timeout, {"Range": f"bytes={offset}-"} if offset else {})

    def close(self) -> None:
        """Give the sockets back."""
        self._http.clear()

    def _request(
        self,
        url: str,
        fields: Mapping[str, str],
        timeout: urllib3.Timeout,
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        # A redirect would take the credentials along.
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


def transport_outcome(error: urllib3.exceptions.HTTPError) -> Outcome:
    """What a failed exchange counts as."""
    # A refused connection is a ConnectTimeoutError too, by inheritance.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    return (
        Outcome.TIMEOUT
        if isinstance(error, urllib3.exceptions.TimeoutError) and not refused
        else (Outcome.UNREACHABLE)
    )
