"""A code that travels to the phone and is typed by the person: sent, delivered, checked."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

CODE_DIGITS = 6
_DIGEST_CHARACTERS = 32


class CodeDelivery(StrEnum):
    """Where the latest message stands, as the provider tells it."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What the provider says of one message.

    Attributes:
        message_id: ours, given at sending.
        cli: the recipient as ``+`` and digits.
        reason: the provider's, as a word; only of a failure.
    """

    message_id: int
    cli: str
    delivery: CodeDelivery
    reason: str | None = None

    def __repr__(self) -> str:
        return f"DeliveryReport({self.delivery})"


@dataclass(frozen=True, slots=True)
class Code:
    """The codes of one verification. Any of them counts while the window is open: an earlier message may be the late one.

    Attributes:
        digests: one keyed hash for each message, in the order of sending.
        attempts: wrong answers so far, over all codes.
        sent_at: when the latest was sent, UTC.
        message_id: the latest's at the provider, 1 to 2147483647.
        refused: the provider did not take the latest, so another may be sent at once.
    """

    digests: tuple[str, ...] = field(repr=False)
    sent_at: datetime
    message_id: int
    attempts: int = 0
    delivery: CodeDelivery = CodeDelivery.QUEUED
    delivery_reason: str | None = None
    refused: bool = False

    def again(self, digest: str, message_id: int, now: datetime) -> "Code":
        """Another message."""
        return Code((*self.digests, digest), now, message_id, attempts=self.attempts)

    def tried(self) -> "Code":
        """Somebody typed a wrong one."""
        return replace(self, attempts=self.attempts + 1)

    def resend_at(self, resend_seconds: int) -> datetime:
        """When the next may be sent: the delay doubles with each."""
        if self.refused:
            return self.sent_at
        return self.sent_at + timedelta(seconds=resend_seconds * 2 ** (len(self.digests) - 1))

    def resend_in(self, resend_seconds: int, now: datetime) -> int:
        """Whole seconds until then, 0 where it has come."""
        return max(ceil((self.resend_at(resend_seconds) - now).total_seconds()), 0)

    def matches(self, digests: Sequence[str]) -> bool:
        """Whether one of ``digests`` is one that was sent; in constant time."""
        found = False
        for known in self.digests:
            for given in digests:
                found |= hmac.compare_digest(known, given)
        return found

    def reported(self, report: DeliveryReport) -> "Code":
        """With what the provider says of the latest message; of an earlier one nothing changes. Delivered is final."""
        if report.message_id != self.message_id or self.delivery is CodeDelivery.DELIVERED:
            return self
        return replace(self, delivery=report.delivery, delivery_reason=report.reason)

    def turned_down(self, reason: str) -> "Code":
        """The provider did not take the latest message."""
        return replace(self, delivery=CodeDelivery.FAILED, delivery_reason=reason, refused=True)


class CodeSeals:
    """Keyed hashes of codes; bound to one verification, so that none serves for another."""

    def __init__(self, *peppers: str) -> None:
        """``peppers``: the current first, then another while it rotates."""
        self._keys = [hmac.digest(pepper.encode(), b"waitcall code", "sha256") for pepper in peppers]

    def seal(self, verification_id: str, code: str) -> str:
        """The hash to keep."""
        return self.seals(verification_id, code)[0]

    def seals(self, verification_id: str, code: str) -> list[str]:
        """The hash under each pepper."""
        message = f"{verification_id} {code}".encode()
        return [hmac.digest(key, message, "sha256").hex()[:_DIGEST_CHARACTERS] for key in self._keys]
