"""Delivery of an event to an endpoint: signed by Standard Webhooks, bounded in time, without redirects.

The endpoint's name is resolved first and its addresses are checked, so that an event does not reach an internal host by
accident. The connection is made to a checked address, so a DNS answer that changes afterwards has no effect.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from urllib.parse import urlsplit

import urllib3
from standardwebhooks import Webhook

from waitcall.adapters.webhooks.targets import is_public
from waitcall.application.deliver_webhooks import SLOTS, DeliveryOutcome
from waitcall.application.effects import Delivery
from waitcall.domain.policy import Endpoint

TIMEOUT_SECONDS = 10.0
"""Seconds for the lookup, the connection and the answer together. Only the status of an answer is read."""
_GONE = 410
_DEFAULT_PORTS = {"http": 80, "https": 443}


def look_up(host: str, port: int) -> list[str]:
    """Return all addresses of a name by the system's resolver. Raises OSError if there is none."""
    return [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class _Target:
    """Parts of a URL that a connection by address needs. ``authority`` is the value of the Host header."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str = field(repr=False)


class WebhookSender:
    """Sender of webhooks over HTTP."""

    def __init__(
        self,
        secrets: Mapping[str, Sequence[str]],
        *,
        resolve: Callable[[str, int], Sequence[str]] = look_up,
        allowed: Callable[[str], bool] = is_public,
    ) -> None:
        """
        Args:
            secrets: secrets by endpoint name, the current one first; while they rotate, each secret signs.
            resolve: gives the addresses of a host and port; called once for each attempt.
            allowed: tells whether an address is allowed for an endpoint without ``allow_private``.
        """
        self._signers = {name: [Webhook(secret) for secret in each] for name, each in secrets.items()}
        self._allowed = allowed
        self._resolve = resolve
        # The system's resolver has no timeout. In a thread of its own the attempt can give up waiting for it.
        self._lookups = ThreadPoolExecutor(SLOTS, thread_name_prefix="lookup")
        self._pools = urllib3.PoolManager(
            num_pools=64, maxsize=SLOTS, retries=False, cert_reqs="CERT_REQUIRED"
        )

    def send(self, endpoint: Endpoint, delivery: Delivery, now: datetime) -> DeliveryOutcome:
        """Make one attempt to deliver, and return its outcome."""
        now = now.astimezone(UTC)
        signatures = [
            signer.sign(delivery.event_id, now, delivery.body) for signer in self._signers[endpoint.name]
        ]
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "waitcall",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            return self._attempt(endpoint, delivery.body.encode(), headers)
        except urllib3.exceptions.NewConnectionError:
            return DeliveryOutcome.UNREACHABLE
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            return DeliveryOutcome.TIMEOUT
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            return DeliveryOutcome.UNREACHABLE

    def close(self) -> None:
        """Close the connections. A lookup that hangs goes on until it ends by itself."""
        self._lookups.shutdown(wait=False, cancel_futures=True)
        self._pools.clear()

    def _attempt(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> DeliveryOutcome:
        deadline = monotonic() + TIMEOUT_SECONDS
        target = _read(endpoint.url)
        lookup = self._lookups.submit(self._resolve, target.host, target.port)
        try:
            found = list(dict.fromkeys(lookup.result(_left(deadline))))
        finally:
            lookup.cancel()
        addresses = found if endpoint.allow_private else [each for each in found if self._allowed(each)]
        if not addresses:
            return DeliveryOutcome.FORBIDDEN
        for tried, address in enumerate(addresses[:-1]):
            # If connecting fails, nothing was sent, so try the next address. Refused connections raise a subclass of this.
            with suppress(urllib3.exceptions.ConnectTimeoutError):
                return self._post(target, address, body, headers, _timeout(deadline, len(addresses) - tried))
        return self._post(target, addresses[-1], body, headers, _timeout(deadline, 1))

    def _post(
        self,
        target: _Target,
        address: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: urllib3.Timeout,
    ) -> DeliveryOutcome:
        # The connection is made to an address, but the certificate must be valid for the name.
        pool = self._pools.connection_from_host(
            address, target.port, target.scheme, pool_kwargs={"server_hostname": target.host}
        )
        response = pool.request(
            "POST",
            target.path,
            body=body,
            headers={**headers, "Host": target.authority},
            timeout=timeout,
            redirect=False,
            preload_content=False,
        )
        # The answer's body is not read, so a connection on which one follows cannot be reused.
        if response.length_remaining == 0:
            response.drain_conn()
            response.release_conn()
        else:
            response.close()
        if response.status == _GONE:
            return DeliveryOutcome.GONE
        accepted = 200 <= response.status < 300  # noqa: PLR2004  the class of success
        return DeliveryOutcome.ACCEPTED if accepted else DeliveryOutcome.REFUSED


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _timeout(deadline: float, addresses: int) -> urllib3.Timeout:
    """Return the timeout for the next of ``addresses`` addresses, which share the time to connect equally."""
    seconds = _left(deadline)
    return urllib3.Timeout(total=seconds, connect=seconds / addresses)


def _read(url: str) -> _Target:
    """Split a URL of the policy into its parts. Raises ValueError if its host is not a valid name."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        written = host
        host = host.encode("idna").decode()
        # The codec follows IDNA 2003, which replaces a few letters (such as ß) by others and so names another domain.
        if host.encode().decode("idna") != written:
            raise ValueError("This international domain name is ambiguous: write it as xn--….")
    default = _DEFAULT_PORTS[parts.scheme]
    port = parts.port or default
    named = f"[{host.partition('%')[0]}]" if ":" in host else host
    authority = named if port == default else f"{named}:{port}"
    # The library escapes characters that are not allowed in a path or a query.
    query = f"?{parts.query}" if parts.query else ""
    path = urllib3.util.parse_url(f"http://host{parts.path or '/'}{query}").request_uri
    return _Target(parts.scheme, host, port, authority, path)
