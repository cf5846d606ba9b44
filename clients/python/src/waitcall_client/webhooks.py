"""Reader of webhook events, signed as Standard Webhooks. An event is only a hint: consume gives the proof."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from standardwebhooks import Webhook, WebhookVerificationError

from waitcall_client.errors import WebhookRejected


@dataclass(frozen=True, slots=True)
class Event:
    """Event of a verification.

    Attributes:
        id: id of the event. Repeated deliveries have the same id; ignore an event that you have seen.
        type: for instance ``verification.verified``.
        at: time of the event, UTC.
        verification_id: id to read or consume the verification.
    """

    id: str
    type: str
    at: datetime
    verification_id: str = field(repr=False)
    status: str
    reason: str | None
    purpose: str
    reference: str | None = field(repr=False)


class Webhooks:
    """Verifies the signature of webhook requests and reads their events."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Take the signing secrets (``whsec_…``): the current one, and during a rotation the other one too."""
        if not secrets:
            raise ValueError("A secret is required.")
        self._webhooks = [Webhook(secret) for secret in secrets]

    def read(self, body: bytes, headers: Mapping[str, str]) -> Event:
        """Return the event of a request.

        Args:
            body: raw body of the request.
            headers: headers of the request; names in any case.

        Raises:
            WebhookRejected: if no secret fits, the request is too old, or it has no event.
        """
        lower = {name.lower(): value for name, value in headers.items()}
        for webhook in self._webhooks:
            try:
                webhook.verify(body, lower)
            except WebhookVerificationError:
                continue
            except ValueError as error:
                raise WebhookRejected("The request is signed, but has no event.") from error
            return _event(body, lower)
        raise WebhookRejected("The request is not signed with a known secret, or is too old.")


def _event(body: bytes, headers: Mapping[str, str]) -> Event:
    try:
        document = json.loads(body)
        data = document["data"]
        return Event(
            id=headers["webhook-id"],
            type=document["type"],
            at=datetime.fromisoformat(document["timestamp"]),
            verification_id=data["id"],
            status=data["status"],
            reason=data["reason"],
            purpose=data["purpose"],
            reference=data["reference"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WebhookRejected("The request is signed, but has no event.") from error
