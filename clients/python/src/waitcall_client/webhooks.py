"""Events: believed only if signed (Standard Webhooks), and then still only a hint: redeem by consume."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from standardwebhooks import Webhook, WebhookVerificationError

from waitcall_client.errors import WebhookRejected


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to which verification.

    Attributes:
        id: the same for every attempt: do nothing for one that you have seen.
        type: for instance ``verification.verified``.
        at: UTC.
        verification_id: read or consume it by this.
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
    """Verifies and reads."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """``secrets``: ``whsec_…``, the current and, while rotating, the other."""
        if not secrets:
            raise ValueError("A secret is required.")
        self._webhooks = [Webhook(secret) for secret in secrets]

    def read(self, body: bytes, headers: Mapping[str, str]) -> Event:
        """The event of a request.

        Args:
            body: raw, as it came.
            headers: of the request; names in any case.

        Raises:
            WebhookRejected
        """
        lower = {name.lower(): value for name, value in headers.items()}
        for webhook in self._webhooks:
            try:
                webhook.verify(body, lower)
            except WebhookVerificationError:
                continue
            except ValueError as error:
                raise WebhookRejected("Signed, but no event.") from error
            return _event(body, lower)
        raise WebhookRejected("Not signed with a secret of ours, or too old.")


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
        raise WebhookRejected("Signed, but no event.") from error
