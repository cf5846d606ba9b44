"""POSTs to the provider: secrets in the body only, every answer bounded in time and size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

import urllib3

from service.adapters.outgoing.connection import pools
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
    """

    base_urls: Sequence[str]
    credentials: Mapping[str, str] = field(repr=False)
    budget_seconds: float


_NO_RETRIES = urllib3.Retry.from_int(False)


def _quoted(text: Any, safe: Any, encoding: str | None = None, errors: str | None = None) -> str:
    # Most values are digits and words, which need no quoting.
    return text if text.isalnum() and text.isascii() else quote_plus(text, safe, encoding, errors)


class Transport:
    """One pool of connections to the provider."""

    def __init__(self, account: Account, max_in_flight: int) -> None:
        self._credentials = dict(account.credentials)
        self._http = pools(
            num_pools=len(account.base_urls),
            maxsize=max_in_flight,
            retries=False,
            cert_reqs="CERT_REQUIRED",
        )
        self._pools: dict[str, tuple[urllib3.HTTPConnectionPool, str]] = {}

    def post(
        self, url: str, fields: Mapping[str, str], timeout_seconds: float, max_bytes: int
    ) -> tuple[int, bytes]:
        """Status and body; an answer longer than ``max_bytes`` is as good as empty.

        Raises:
            urllib3.exceptions.HTTPError
        """
        pool, path = self._pool_of(url)
        response = pool.urlopen(
            "POST",
            path,
            body=urlencode(dict(fields) | self._credentials, quote_via=_quoted),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=urllib3.Timeout(total=timeout_seconds),
            retries=_NO_RETRIES,
            redirect=False,
            preload_content=False,
        )
        try:
            body = response.read(max_bytes + 1)
            status = response.status
        except BaseException:
            response.close()
            raise
        if len(body) > max_bytes:
            response.close()
            return status, b""
        response.release_conn()
        return status, body

    def open(
        self, url: str, fields: Mapping[str, str], timeout_seconds: float, offset: int
    ) -> urllib3.BaseHTTPResponse:
        """An answer as a stream, which the caller closes; from ``offset`` where the server can.

        Raises:
            urllib3.exceptions.HTTPError
        """
        return self._http.request(
            "POST",
            url,
            fields=dict(fields) | self._credentials,
            headers={"Range": f"bytes={offset}-"} if offset else {},
            encode_multipart=False,
            timeout=urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds),
            redirect=False,
            preload_content=False,
        )

    def close(self) -> None:
        """Give the sockets back."""
        self._http.clear()

    def _pool_of(self, url: str) -> tuple[urllib3.HTTPConnectionPool, str]:
        # A handful of addresses, each taken apart once.
        if url not in self._pools:
            self._pools[url] = self._http.connection_from_url(url), urlsplit(url).path
        return self._pools[url]


def transport_outcome(error: urllib3.exceptions.HTTPError) -> Outcome:
    """What a failed exchange counts as."""
    # A refused connection is a ConnectTimeoutError too, by inheritance.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    return (
        Outcome.TIMEOUT
        if isinstance(error, urllib3.exceptions.TimeoutError) and not refused
        else (Outcome.UNREACHABLE)
    )
