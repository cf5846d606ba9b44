"""One attempt at one endpoint: signed by Standard Webhooks, bounded, without redirects, never inward by accident.

The endpoint's name is looked up first, every address is checked, and the connection is made to a checked address. A
name whose answer changes between check and connection leads nowhere else.
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

from service.adapters.webhook.targets import is_public
from service.application.announcement import Delivery
from service.application.push import SLOTS, DeliveryOutcome
from service.domain.policy import Endpoint

TIMEOUT_SECONDS = 10.0
"""For looking the name up, connecting and answering together; only the status of an answer is read."""
_GONE = 410
_DEFAULT_PORTS = {"http": 80, "https": 443}


def look_up(host: str, port: int) -> list[str]:
    """Every address that the system's resolver gives for a name. OSError where there is none."""
    return [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL in the parts that a connection by address needs. ``authority`` is the Host header."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str = field(repr=False)


class WebhookSender:
    """Sender over HTTP."""

    def __init__(
        self,
        secrets: Mapping[str, Sequence[str]],
        *,
        resolve: Callable[[str, int], Sequence[str]] = look_up,
        allowed: Callable[[str], bool] = is_public,
    ) -> None:
        """
        Args:
            secrets: of each endpoint, the current one first; while rotating each signs.
            resolve: host and port to addresses; asked once for each attempt.
            allowed: whether an address may be connected to where the policy does not allow private ones.
        """
        self._signers = {name: [Webhook(secret) for secret in each] for name, each in secrets.items()}
        self._allowed = allowed
        self._resolve = resolve
        # The system's resolver takes no time limit. In a thread it can be given up, and ends by itself later.
        self._lookups = ThreadPoolExecutor(SLOTS, thread_name_prefix="lookup")
        self._pools = urllib3.PoolManager(
            num_pools=64, maxsize=SLOTS, retries=False, cert_reqs="CERT_REQUIRED"
        )

    def send(self, endpoint: Endpoint, delivery: Delivery, now: datetime) -> DeliveryOutcome:
        """POST it once."""
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
        """Give the sockets back. A lookup that hangs is left to end by itself."""
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
            # A refused connection is a ConnectTimeoutError too, by inheritance: nothing was sent.
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
        # The certificate must be the name's, whichever address it was found at.
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
        # Nobody reads the body: a connection on which one follows is not used again.
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
    """Leave each further address as much time to connect as this one."""
    seconds = _left(deadline)
    return urllib3.Timeout(total=seconds, connect=seconds / addresses)


def _read(url: str) -> _Target:
    """Take a URL of the policy apart. ValueError where it cannot be reached by any name."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        written = host
        host = host.encode("idna").decode()
        # The codec follows IDNA 2003, which takes a few letters (such as ß) for others: that is another domain.
        if host.encode().decode("idna") != written:
            raise ValueError("Not an unambiguous international name: write it as xn--….")
    default = _DEFAULT_PORTS[parts.scheme]
    port = parts.port or default
    named = f"[{host.partition('%')[0]}]" if ":" in host else host
    authority = named if port == default else f"{named}:{port}"
    # The library quotes what a path or a query may not hold.
    query = f"?{parts.query}" if parts.query else ""
    path = urllib3.util.parse_url(f"http://host{parts.path or '/'}{query}").request_uri
    return _Target(parts.scheme, host, port, authority, path)
