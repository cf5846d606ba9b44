"""One attempt at one endpoint: signed by Standard Webhooks, bounded, without redirects, never inward by accident."""

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import urllib3
from standardwebhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from service.application.announcement import Delivery
from service.application.push import SLOTS, DeliveryOutcome
from service.domain.policy import Endpoint

TIMEOUT_SECONDS = 10.0
"""Of connecting, and between two bytes of an answer of which only the status is read."""
_GONE = 410


class AddressForbidden(urllib3.exceptions.HTTPError):
    """The endpoint's name leads to an address inside; nothing was sent."""


class _Outward:
    """Looks at the address that was connected to, so that no second resolution can lead elsewhere."""

    def _new_conn(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]  # of the class beside it
        address = ipaddress.ip_address(str(connected.getpeername()[0]).partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if not (mapped or address).is_global or address.is_multicast:
            connected.close()
            raise AddressForbidden
        return connected


class _HTTPConnection(_Outward, HTTPConnection):
    pass


class _HTTPSConnection(_Outward, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class WebhookSender:
    """Sender over HTTP."""

    def __init__(self, secrets: Mapping[str, Sequence[str]]) -> None:
        """
        Args:
            secrets: of each endpoint, the current one first; while rotating each signs.
        """
        self._signers = {name: [Webhook(secret) for secret in each] for name, each in secrets.items()}
        self._inward = self._pool()
        self._outward = self._pool()
        self._outward.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

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
        pool = self._inward if endpoint.allow_private else self._outward
        try:
            return self._post(pool, endpoint.url, delivery.body.encode(), headers)
        except AddressForbidden:
            return DeliveryOutcome.FORBIDDEN
        except urllib3.exceptions.NewConnectionError:
            return DeliveryOutcome.UNREACHABLE
        except urllib3.exceptions.TimeoutError:
            return DeliveryOutcome.TIMEOUT
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            return DeliveryOutcome.UNREACHABLE

    def close(self) -> None:
        """Give the sockets back."""
        self._inward.clear()
        self._outward.clear()

    def _post(
        self, pool: urllib3.PoolManager, url: str, body: bytes, headers: Mapping[str, str]
    ) -> DeliveryOutcome:
        response = pool.request(
            "POST", url, body=body, headers=headers, redirect=False, preload_content=False
        )
        # The body is nobody's; a connection with something left to read is not used again.
        response.close()
        if response.status == _GONE:
            return DeliveryOutcome.GONE
        accepted = 200 <= response.status < 300  # noqa: PLR2004  the class of success
        return DeliveryOutcome.ACCEPTED if accepted else DeliveryOutcome.REFUSED

    @staticmethod
    def _pool() -> Any:
        return urllib3.PoolManager(
            num_pools=64,
            maxsize=SLOTS,
            retries=False,
            timeout=urllib3.Timeout(total=TIMEOUT_SECONDS),
            cert_reqs="CERT_REQUIRED",
        )
