"""Verifications as JSON, and the marshmallow schemas that describe answers for the OpenAPI document."""

from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields, validate

from service.domain.assurance import Assurance
from service.domain.channel import Channel, TextIn
from service.domain.code import CODE_DIGITS, Code, CodeDelivery
from service.domain.status import Reason, Status
from service.domain.verification import Verification

PUBLIC_STATUSES = [status.value for status in Status if status is not Status.ORDERING]


class ResponseSchema(Schema):
    """An object of an answer. It always has all of its fields but those of ``sometimes``, and may grow further ones."""

    sometimes: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Let the document say which fields are always there."""
        field_obj.required = field_name not in self.sometimes


class CallResponse(ResponseSchema):
    number = fields.String(metadata={"description": "The number to dial, E.164."})
    display = fields.String(metadata={"description": "The same for people."})
    uri = fields.String(metadata={"description": "The same as a tel: link (RFC 3966)."})


class TextInResponse(ResponseSchema):
    number = fields.String(metadata={"description": "The number to send the text to, E.164."})
    display = fields.String(metadata={"description": "The same for people."})
    text = fields.String(metadata={"description": "What to send: secret, shown once, to this person alone."})
    uri = fields.String(metadata={"description": "The message ready to be sent, as an sms: link (RFC 5724)."})


class CodeResponse(ResponseSchema):
    digits = fields.Integer()
    attempts_left = fields.Integer(metadata={"description": "Wrong codes that may still be checked."})
    sends_left = fields.Integer(metadata={"description": "Messages that may still be sent."})
    sent_at = fields.String(metadata={"format": "date-time"})
    resend_in = fields.Integer(metadata={"description": "Seconds until another may be sent."})
    delivery = fields.String(
        validate=validate.OneOf([each.value for each in CodeDelivery]),
        metadata={"description": "Of the latest message."},
    )
    delivery_reason = fields.String(allow_none=True, metadata={"description": "Why it failed."})


class VerificationResponse(ResponseSchema):
    id = fields.String(metadata={"description": "A secret of your server side."})
    status = fields.String(validate=validate.OneOf(PUBLIC_STATUSES))
    reason = fields.String(allow_none=True, validate=validate.OneOf([*[r.value for r in Reason], None]))
    purpose = fields.String()
    reference = fields.String(allow_none=True)
    phone_number = fields.String(metadata={"description": "E.164."})
    call = fields.Nested(
        CallResponse,
        allow_none=True,
        metadata={"description": "What to dial; null where the order failed, and on other channels."},
    )
    channel = fields.String(validate=validate.OneOf([each.value for each in Channel]))
    text_in = fields.Nested(
        TextInResponse, allow_none=True, metadata={"description": "What to send; null on other channels."}
    )
    code = fields.Nested(CodeResponse, allow_none=True, metadata={"description": "Null until one was sent."})
    next_channel = fields.String(
        allow_none=True, metadata={"description": "Where a fallback leads; null where there is none."}
    )
    called_at = fields.String(
        allow_none=True,
        metadata={"format": "date-time", "description": "When the first of two steps was done."},
    )
    created_at = fields.String(metadata={"format": "date-time", "description": "RFC 3339, UTC."})
    expires_at = fields.String(metadata={"format": "date-time"})
    expires_in = fields.Integer(metadata={"description": "Seconds until a call no longer counts."})
    verified_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    consumed_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    metadata = fields.Dict(keys=fields.String(), values=fields.String())
    assurance = fields.String(
        validate=validate.OneOf([each.value for each in Assurance]),
        metadata={
            "description": "What it proves, or would: docs/what-a-call-proves.md. It may be lower once verified, "
            "where only the provider's inbox shows the call."
        },
    )
    hosted_url = fields.String(
        allow_none=True,
        metadata={"format": "uri", "description": "Where to send the person; null without a hosted page."},
    )


class ProblemResponse(ResponseSchema):
    sometimes = frozenset({"retry_after", "errors", "image_url"})

    type = fields.String(metadata={"format": "uri"})
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    instance = fields.String(metadata={"description": "A failed create names its record here."})
    code = fields.String(metadata={"description": "Stable; meant for programs."})
    request_id = fields.String()
    retry_after = fields.Integer(metadata={"description": "Seconds; only where waiting helps."})
    image_url = fields.String(
        metadata={"format": "uri", "description": "Of captcha_required: what to show the visitor."}
    )
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


EXAMPLE = {
    "id": "ver_9b1d0c5ae3f24a7db6f0e81c7a52d3e49b1d0c5ae3f24a7db6f0e81c7a52d3e4",
    "status": "pending",
    "reason": None,
    "purpose": "login",
    "reference": "pX3cZ0yqT4m8u1VgKf2bQA",
    "phone_number": "+79991234567",
    "call": {"number": "+79585551234", "display": "+7 958 555-12-34", "uri": "tel:+79585551234"},
    "channel": "call",
    "text_in": None,
    "code": None,
    "next_channel": None,
    "called_at": None,
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-01T00:15:00Z",
    "expires_in": 900,
    "verified_at": None,
    "consumed_at": None,
    "metadata": {},
    "assurance": "asserted",
    "hosted_url": None,
}
"""A verification that waits for its call, for the document."""


def dump_verification(record: Verification, now: datetime, hosted_url: str | None = None) -> dict[str, Any]:
    """The object of the contract's section 3, in its order: what VerificationResponse says, field by field.

    Written out, because it is made for every answer and marshmallow would copy each value as it is; a test holds the
    two together.
    """
    number = record.call_number
    shown = number or record.channel is not Channel.CALL or record.since
    left = (record.expires_at - now).total_seconds() if shown else 0.0
    return {
        "id": record.id,
        "status": record.status.value,
        "reason": record.reason.value if record.reason else None,
        "purpose": record.requester.purpose,
        "reference": record.requester.reference,
        "phone_number": record.phone_number.value,
        "call": {"number": number.value, "display": number.display, "uri": number.uri} if number else None,
        "channel": record.channel.value,
        "text_in": _text_in(record.text_in) if record.text_in else None,
        "code": _code(record, record.code, now) if record.code else None,
        "next_channel": record.next_channel.value if record.next_channel else None,
        "called_at": rfc3339(record.called_at),
        "created_at": rfc3339(record.created_at),
        "expires_at": rfc3339(record.expires_at),
        "expires_in": max(ceil(left), 0),
        "verified_at": rfc3339(record.verified_at),
        "consumed_at": rfc3339(record.consumed_at),
        "metadata": dict(record.metadata or {}),
        "assurance": record.assurance.value,
        "hosted_url": hosted_url,
    }


def _text_in(text_in: TextIn) -> dict[str, Any]:
    number = text_in.number
    return {
        "number": number.value,
        "display": number.display,
        "text": text_in.text,
        "uri": text_in.uri,
    }


def _code(record: Verification, code: Code, now: datetime) -> dict[str, Any]:
    rules = record.rules
    return {
        "digits": CODE_DIGITS,
        "attempts_left": max(rules.max_attempts - code.attempts, 0),
        "sends_left": max(rules.max_sends - len(code.digests), 0),
        "sent_at": rfc3339(code.sent_at),
        "resend_in": code.resend_in(rules.resend_seconds, now),
        "delivery": code.delivery.value,
        "delivery_reason": code.delivery_reason,
    }


def rfc3339(time: datetime | None) -> str | None:
    """A time as the API writes it: UTC, whole seconds, ``Z``."""
    if time is None:
        return None
    return _written(time)


# Whole seconds, which thousands of records share.
@lru_cache(maxsize=4096)
def _written(time: datetime) -> str:
    return f"{(time if time.tzinfo is UTC else time.astimezone(UTC)).isoformat(timespec='seconds')[:19]}Z"
