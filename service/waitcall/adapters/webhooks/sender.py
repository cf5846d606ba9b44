"""Delivery of an event to an endpoint: signed by Standard Webhooks, bounded in time, without redirects.

The endpoint's name is resolved first and its addresses are checked, so that an event does not reach an internal host by
accident. The connection is made to a checked address, so a DNS answer that changes afterwards has no effect.
"""

import ipaddress
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

from waitcall.application.deliver_webhooks import SLOTS, DeliveryOutcome
from waitcall.application.effects import Delivery
from waitcall.domain.policy import Endpoint

TIMEOUT_SECONDS = 10.0
"""Seconds for the lookup, the connection and the answer together. Only the status of an answer is read."""
_GONE = 410
_DEFAULT_PORTS = {"http": 80, "https": 443}
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Range that IANA has opened for hosts. Loopback, link-local, site-local, unique local, multicast, v4-compatible and
translated addresses and the local NAT64 prefix are outside of it."""
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Parts of the global range that do not belong to hosts of the internet. ``is_global`` excludes most of them, but not in
# every version of Python.
_NOT_HOSTS_V6 = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
_NOT_HOSTS_V4 = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "168.63.129.16/32",  # Azure's platform server, reachable from each of its machines
        "192.0.0.0/24",  # protocol assignments; metadata service of Oracle's cloud
        "192.88.99.0/24",  # relays of 6to4
    )
)
_ISATAP = 0x00005EFE
_ISATAP_MASK = 0xFDFFFFFF


def look_up(host: str, port: int) -> list[str]:
    """Return all addresses of a name by the system's resolver. Raises OSError if there is none."""
    return [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Tell whether an address belongs to a host of the public internet. Endpoints need one unless the policy allows others.

    IPv6 addresses that embed an IPv4 address as kernels and DNS64 resolvers do (``::ffff:0:0/96``, ``64:ff9b::/96``) are
    judged by that IPv4 address. Other embeddings are refused, and so is a text that is not an address.
    """
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(read, ipaddress.IPv4Address):
        return _is_public_v4(read)
    if read.scope_id is not None:
        return False
    if read in _MAPPED or read in _NAT64:
        return _is_public_v4(ipaddress.IPv4Address(int(read) & 0xFFFFFFFF))
    is_isatap = int(read) >> 32 & _ISATAP_MASK == _ISATAP
    return (
        read in _GLOBAL_UNICAST
        and read.is_global
        and not is_isatap
        and not any(read in network for network in _NOT_HOSTS_V6)
    )


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


def _is_public_v4(address: ipaddress.IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _NOT_HOSTS_V4)
    )
