"""The announcement of an event: its payload, and the webhook endpoints that get it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from waitcall.domain.event import Event
from waitcall.domain.policy import Policy

REMEMBERED_SECONDS = 3600
"""Time after the last sweep of a record during which its event is remembered as announced."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event to be delivered to one endpoint.

    Attributes:
        event_id: the event's id; every attempt, endpoint and duplicate carries the same one.
        endpoint: the endpoint's name, ``CLIENT/NAME``.
        body: the JSON payload, with the same bytes at each attempt. It contains no phone number.
        attempt: number of attempts made so far.
    """

    event_id: str
    endpoint: str
    body: str
    attempt: int = 0

    def __repr__(self) -> str:
        return f"Delivery({self.event_id}, {self.endpoint}, {self.attempt})"


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event for all endpoints that subscribe to it.

    Attributes:
        event_id: the event's id.
        deliveries: one delivery for each endpoint.
        keep_seconds: time for which the event is remembered as announced.
    """

    event_id: str
    deliveries: tuple[Delivery, ...]
    keep_seconds: int


def body_of(event: Event) -> str:
    """Return the JSON payload of an event. It is short: the endpoint reads the rest by the verification's id."""
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
    """Makes announcements of events for the endpoints that the policy names."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def listens(self, client: str) -> bool:
        """Tell if the policy names any webhook endpoint of a client."""
        known = self._policy.clients.get(client)
        return known is not None and bool(known.webhooks)

    def of(self, event: Event, now: datetime) -> Announcement | None:
        """Return the announcement of an event; None if no endpoint subscribes to it."""
        record = event.verification
        client = self._policy.clients.get(record.requester.client)
        names = [
            endpoint.name for endpoint in (client.webhooks if client else ()) if event.type in endpoint.events
        ]
        if not names:
            return None
        body = body_of(event)
        deliveries = tuple(Delivery(event.id, name, body) for name in names)
        # The last sweep of a record comes when its window has ended, or its result if there is one.
        last = max(record.result_until or record.expires_at, record.expires_at, event.at)
        keep_seconds = int((last - now).total_seconds()) + REMEMBERED_SECONDS
        return Announcement(event.id, deliveries, max(keep_seconds, REMEMBERED_SECONDS))
