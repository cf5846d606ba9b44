"""Types of the service's answers. Unknown fields are ignored, so that a newer service may add some."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Status of a verification."""

    PENDING = "pending"
    VERIFIED = "verified"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    LAPSED = "lapsed"
    CANCELED = "canceled"
    FAILED = "failed"
    CONTESTED = "contested"


class Channel(StrEnum):
    """Way in which the person proves the number."""

    CALL = "call"
    TEXT_IN = "text_in"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Call:
    """Number to dial: in E.164, formatted for people, and as a ``tel:`` URI."""

    number: str = field(repr=False)
    display: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TextIn:
    """Text to send, the number to send it to, and both as an ``sms:`` URI."""

    number: str = field(repr=False)
    display: str = field(repr=False)
    text: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Code:
    """State of the code that was sent. ``resend_in`` is in seconds, ``delivery`` is the status that the provider reports."""

    digits: int
    attempts_left: int
    sends_left: int
    resend_in: int
    delivery: str
    sent_at: datetime
    delivery_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Verification at the time of the answer. Times are UTC.

    Attributes:
        id: keep it in the server-side session, never in the browser.
        status: a :class:`Status`, or another word from a newer service.
        channel: a :class:`Channel`, or another word from a newer service.
        expires_in: seconds from the answer until a call no longer counts.
        next_channel: the channel that a fallback leads to, if there is one.
        weak_call_at: when a call came from the number that proved less than the purpose requires, if one did. The verification
            stays pending: offer ``next_channel``, or ask for a call without forwarding.
        assurance: what the verification proves in the end: ``asserted``, ``network`` or ``roundtrip``. It can become lower when it is
            verified, because a call that is found only in the provider's inbox may prove less than one with a callback.
        test: True for a test number of the service's policy. Nobody has proven anything: refuse it where that matters.
        hosted_url: URL of the hosted page, if one was requested. Redirect the browser to it.
        created: True in the answer to the create that started it. False if the create returned an earlier one, and in other answers.
    """

    id: str = field(repr=False)
    status: str
    reason: str | None
    purpose: str
    reference: str | None = field(repr=False)
    phone_number: str = field(repr=False)
    channel: str
    assurance: str
    created_at: datetime
    expires_at: datetime
    expires_in: int
    call: Call | None = None
    text_in: TextIn | None = field(default=None, repr=False)
    code: Code | None = None
    next_channel: str | None = None
    called_at: datetime | None = None
    weak_call_at: datetime | None = None
    verified_at: datetime | None = None
    consumed_at: datetime | None = None
    hosted_url: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    created: bool = False
    test: bool = False

    @property
    def is_pending(self) -> bool:
        """True while the person can still prove the number."""
        return self.status == Status.PENDING

    @property
    def is_verified(self) -> bool:
        """True once the number is proven, until consume."""
        return self.status == Status.VERIFIED

    @classmethod
    def read(cls, answer: Mapping[str, Any], *, created: bool = False) -> "Verification":
        """Create a verification from the JSON object of an answer.

        Raises:
            KeyError, TypeError, ValueError: if the object is no verification.
        """
        call, text_in, code = answer["call"], answer.get("text_in"), answer.get("code")
        return cls(
            id=answer["id"],
            status=_known(Status, answer["status"]),
            reason=answer["reason"],
            purpose=answer["purpose"],
            reference=answer["reference"],
            phone_number=answer["phone_number"],
            channel=_known(Channel, answer.get("channel", "call")),
            assurance=answer["assurance"],
            created_at=_required(answer["created_at"]),
            expires_at=_required(answer["expires_at"]),
            expires_in=answer["expires_in"],
            call=Call(call["number"], call["display"], call["uri"]) if call else None,
            text_in=_text_in(text_in) if text_in else None,
            code=_code(code) if code else None,
            next_channel=answer.get("next_channel"),
            called_at=_time(answer.get("called_at")),
            weak_call_at=_time(answer.get("weak_call_at")),
            verified_at=_time(answer["verified_at"]),
            consumed_at=_time(answer["consumed_at"]),
            hosted_url=answer.get("hosted_url"),
            metadata=dict(answer.get("metadata") or {}),
            created=created,
            test=answer.get("test", False),
        )


def _known(kind: type[StrEnum], word: str) -> str:
    return kind(word) if word in set(kind) else word


def _text_in(given: Mapping[str, Any]) -> TextIn:
    return TextIn(given["number"], given["display"], given["text"], given["uri"])


def _code(given: Mapping[str, Any]) -> Code:
    return Code(
        digits=given["digits"],
        attempts_left=given["attempts_left"],
        sends_left=given["sends_left"],
        resend_in=given["resend_in"],
        delivery=given["delivery"],
        sent_at=_required(given["sent_at"]),
        delivery_reason=given.get("delivery_reason"),
    )


def _required(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
