"""What the service answers, typed. Fields that this version does not know are left out, so that a newer service may add some."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Where a verification stands."""

    PENDING = "pending"
    VERIFIED = "verified"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    LAPSED = "lapsed"
    CANCELED = "canceled"
    FAILED = "failed"
    CONTESTED = "contested"


class Channel(StrEnum):
    """How the person proves the number."""

    CALL = "call"
    TEXT_IN = "text_in"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Call:
    """The number to dial: E.164, for people, and as a ``tel:`` URI."""

    number: str = field(repr=False)
    display: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TextIn:
    """The text to send, to which number, and both as an ``sms:`` URI."""

    number: str = field(repr=False)
    display: str = field(repr=False)
    text: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Code:
    """The code that was sent; ``resend_in`` in seconds, ``delivery`` as the provider tells it."""

    digits: int
    attempts_left: int
    sends_left: int
    resend_in: int
    delivery: str
    sent_at: datetime
    delivery_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification, as it stood when it was answered. Times are UTC.

    Attributes:
        id: keep it in the server-side session, never in the browser.
        status: a :class:`Status`, or the word of a newer service.
        channel: a :class:`Channel`, or the word of a newer service.
        expires_in: seconds until a call no longer counts, counted from the answer.
        assurance: ``asserted``, ``network`` or ``roundtrip``: what it proves in the end. It can be lower once verified: the provider's
            inbox, read after a lost callback, proves ``asserted`` at most.
        hosted_url: where to send the browser, where a hosted page was asked for.
        created: whether this create made it; False for the same requester's live one. Only of a create.
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
    verified_at: datetime | None = None
    consumed_at: datetime | None = None
    hosted_url: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    created: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether the person can still prove the number."""
        return self.status == Status.PENDING

    @property
    def is_verified(self) -> bool:
        """Whether it is proven and waits for consume."""
        return self.status == Status.VERIFIED

    @classmethod
    def read(cls, answer: Mapping[str, Any], *, created: bool = False) -> "Verification":
        """From the JSON object of an answer. KeyError, TypeError or ValueError where it is none."""
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
            verified_at=_time(answer["verified_at"]),
            consumed_at=_time(answer["consumed_at"]),
            hosted_url=answer.get("hosted_url"),
            metadata=dict(answer.get("metadata") or {}),
            created=created,
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
