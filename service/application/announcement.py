"""What is announced of an event, and to which endpoints."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from service.domain.event import Event
from service.domain.policy import Policy

REMEMBERED_SECONDS = 3600
"""An event stays announced so long after the last sweep of its record is due."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint.

    Attributes:
        event_id: the same for every attempt, endpoint and duplicate.
        endpoint: ``CLIENT/NAME``.
        body: JSON, the same bytes at each attempt; no phone number.
        attempt: how many were made.
    """

    event_id: str
    endpoint: str
    body: str
    attempt: int = 0

    def __repr__(self) -> str:
        return f"Delivery({self.event_id}, {self.endpoint}, {self.attempt})"


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event for all endpoints that asked for it; for ``keep_seconds`` it is remembered as announced."""

    event_id: str
    deliveries: tuple[Delivery, ...]
    keep_seconds: int


def body_of(event: Event) -> str:
    """The thin payload: what happened to which verification; the rest is read by its id."""
    record = event.verification
    document = {
        "type": event.type.value,
        "timestamp": event.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "data": {
            "id": record.id,
            "status": event.type.status.value,
            "reason": event.reason.value if event.reason else None,
            "purpose": record.requester.purpose,
            "reference": record.requester.reference,
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


class Announcer:
    """Event → announcement, for the endpoints that the policy names."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def listens(self, client: str) -> bool:
        """Whether anybody wants to know of anything that happens to a client's verifications."""
        known = self._policy.clients.get(client)
        return known is not None and bool(known.webhooks)

    def of(self, event: Event, now: datetime) -> Announcement | None:
        """What is to be delivered; None where nobody wants to know."""
        record = event.verification
        client = self._policy.clients.get(record.requester.client)
        names = [
            endpoint.name for endpoint in (client.webhooks if client else ()) if event.type in endpoint.events
        ]
        if not names:
            return None
        body = body_of(event)
        deliveries = tuple(Delivery(event.id, name, body) for name in names)
        # The last sweep of a record comes when its window, and then its result, is over.
        last = max(record.result_until or record.expires_at, record.expires_at, event.at)
        keep_seconds = int((last - now).total_seconds()) + REMEMBERED_SECONDS
        return Announcement(event.id, deliveries, max(keep_seconds, REMEMBERED_SECONDS))
