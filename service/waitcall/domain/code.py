"""Codes that are sent to the phone and typed by the person: sending, delivery and checking."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

CODE_DIGITS = 6
_DIGEST_CHARACTERS = 32


class CodeDelivery(StrEnum):
    """Delivery status of the latest message, as the provider reports it."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """The provider's report on one message.

    Attributes:
        message_id: our id of the message, which we gave when sending it.
        cli: the recipient's number as ``+`` and digits.
        reason: one word for the provider's reason; None unless delivery failed.
    """

    message_id: int
    cli: str
    delivery: CodeDelivery
    reason: str | None = None

    def __repr__(self) -> str:
        return f"DeliveryReport({self.delivery})"


@dataclass(frozen=True, slots=True)
class Code:
    """The codes of one verification. All of them are valid while the window is open, because messages may arrive late.

    Attributes:
        digests: one keyed hash for each message, in the order of sending.
        attempts: wrong codes that were typed so far.
        sent_at: when the latest message was sent, UTC.
        message_id: id of the latest message at the provider, 1 to 2147483647.
        refused: True if the provider refused the latest message, so that another may be sent at once.
    """

    digests: tuple[str, ...] = field(repr=False)
    sent_at: datetime
    message_id: int
    attempts: int = 0
    delivery: CodeDelivery = CodeDelivery.QUEUED
    delivery_reason: str | None = None
    refused: bool = False

    def again(self, digest: str, message_id: int, now: datetime) -> "Code":
        """Return the codes with another message."""
        return Code((*self.digests, digest), now, message_id, attempts=self.attempts)

    def tried(self) -> "Code":
        """Return the codes with one more wrong attempt."""
        return replace(self, attempts=self.attempts + 1)

    def resend_at(self, resend_seconds: int) -> datetime:
        """Return when the next message may be sent. The delay doubles with each message."""
        if self.refused:
            return self.sent_at
        return self.sent_at + timedelta(seconds=resend_seconds * 2 ** (len(self.digests) - 1))

    def resend_in(self, resend_seconds: int, now: datetime) -> int:
        """Return the whole seconds until the next message may be sent; 0 if it may be sent now."""
        return max(ceil((self.resend_at(resend_seconds) - now).total_seconds()), 0)

    def matches(self, digests: Sequence[str]) -> bool:
        """Tell, in constant time, whether one of ``digests`` is the hash of a code that was sent."""
        found = False
        for known in self.digests:
            for given in digests:
                found |= hmac.compare_digest(known, given)
        return found

    def reported(self, report: DeliveryReport) -> "Code":
        """Return the codes with the delivery status of the latest message.

        A report on an earlier message changes nothing, and ``delivered`` is final.
        """
        if report.message_id != self.message_id or self.delivery is CodeDelivery.DELIVERED:
            return self
        return replace(self, delivery=report.delivery, delivery_reason=report.reason)

    def turned_down(self, reason: str) -> "Code":
        """Return the codes after the provider refused the latest message."""
        return replace(self, delivery=CodeDelivery.FAILED, delivery_reason=reason, refused=True)


class CodeSeals:
    """Keyed hashes of codes. Each is bound to one verification, so that it is useless for another."""

    def __init__(self, *peppers: str) -> None:
        """``peppers``: the current one first, then the other one while the pepper rotates."""
        self._keys = [hmac.digest(pepper.encode(), b"waitcall code", "sha256") for pepper in peppers]

    def seal(self, verification_id: str, code: str) -> str:
        """Return the hash to store."""
        return self.seals(verification_id, code)[0]

    def seals(self, verification_id: str, code: str) -> list[str]:
        """Return the hash under each pepper."""
        message = f"{verification_id} {code}".encode()
        return [hmac.digest(key, message, "sha256").hex()[:_DIGEST_CHARACTERS] for key in self._keys]
