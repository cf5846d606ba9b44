"""Answers of the API: verifications as JSON, rate-limit headers, and the schemas that describe answers in the OpenAPI document."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields, validate

from waitcall.domain.channel import Assurance, Channel, TextIn
from waitcall.domain.code import CODE_DIGITS, Code, CodeDelivery
from waitcall.domain.limits import LimitState, Mode
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

PUBLIC_STATUSES = [status.value for status in Status if status is not Status.ORDERING]


class ResponseSchema(Schema):
    """Schema of a JSON object in an answer. All fields are always present, except those in ``sometimes``."""

    sometimes: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Mark the fields that are always present as required in the OpenAPI document."""
        field_obj.required = field_name not in self.sometimes


class CallResponse(ResponseSchema):
    number = fields.String(metadata={"description": "Number to dial, E.164."})
    display = fields.String(metadata={"description": "The number in a form for people."})
    uri = fields.String(metadata={"description": "The number as a tel: link (RFC 3966)."})


class TextInResponse(ResponseSchema):
    number = fields.String(metadata={"description": "Number to send the text to, E.164."})
    display = fields.String(metadata={"description": "The number in a form for people."})
    text = fields.String(
        metadata={"description": "Text to send. It is a secret: show it to this person only."}
    )
    uri = fields.String(metadata={"description": "The message as an sms: link (RFC 5724)."})


class CodeResponse(ResponseSchema):
    digits = fields.Integer()
    attempts_left = fields.Integer(metadata={"description": "Number of wrong codes that are still accepted."})
    sends_left = fields.Integer(metadata={"description": "Number of messages that may still be sent."})
    sent_at = fields.String(metadata={"format": "date-time"})
    resend_in = fields.Integer(metadata={"description": "Seconds until another message may be sent."})
    delivery = fields.String(
        validate=validate.OneOf([each.value for each in CodeDelivery]),
        metadata={"description": "Delivery status of the latest message."},
    )
    delivery_reason = fields.String(allow_none=True, metadata={"description": "Reason of a failed delivery."})


class VerificationResponse(ResponseSchema):
    id = fields.String(metadata={"description": "Secret id of the verification: keep it on your server."})
    status = fields.String(validate=validate.OneOf(PUBLIC_STATUSES))
    reason = fields.String(allow_none=True, validate=validate.OneOf([*[r.value for r in Reason], None]))
    purpose = fields.String()
    reference = fields.String(allow_none=True)
    phone_number = fields.String(metadata={"description": "E.164."})
    call = fields.Nested(
        CallResponse,
        allow_none=True,
        metadata={"description": "Number to dial; null if the order failed, and on other channels."},
    )
    channel = fields.String(validate=validate.OneOf([each.value for each in Channel]))
    text_in = fields.Nested(
        TextInResponse, allow_none=True, metadata={"description": "Text to send; null on other channels."}
    )
    code = fields.Nested(
        CodeResponse,
        allow_none=True,
        metadata={"description": "State of the codes; null until one was sent."},
    )
    next_channel = fields.String(
        allow_none=True, metadata={"description": "Channel that a fallback leads to; null if there is none."}
    )
    called_at = fields.String(
        allow_none=True,
        metadata={"format": "date-time", "description": "Time when the first of two steps was done."},
    )
    weak_call_at = fields.String(
        allow_none=True,
        metadata={
            "format": "date-time",
            "description": "Time of the first call on this channel that came from the number but proved less than the purpose's "
            "min_assurance; null if none did. While the verification is pending, offer next_channel.",
        },
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
            "description": "Assurance of the proof, or while pending the assurance to expect: docs/what-a-call-proves.md. It may be lower "
            "once verified, if only the provider's inbox shows the call."
        },
    )
    test = fields.Boolean(
        metadata={
            "description": "True for a test number of the policy: nothing was ordered or sent, and nothing is proven."
        }
    )
    hosted_url = fields.String(
        allow_none=True,
        metadata={
            "format": "uri",
            "description": "URL of the hosted page to send the person to; null without a hosted page.",
        },
    )


class ProblemResponse(ResponseSchema):
    sometimes = frozenset({"retry_after", "errors", "image_url"})

    type = fields.String(metadata={"format": "uri"})
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    instance = fields.String(
        metadata={"description": "Path of the record that a failed create left; else a URN of the request."}
    )
    code = fields.String(metadata={"description": "Stable identifier of the problem, for programs."})
    request_id = fields.String()
    retry_after = fields.Integer(
        metadata={"description": "Seconds to wait before a retry; only present if waiting helps."}
    )
    image_url = fields.String(
        metadata={
            "format": "uri",
            "description": "Picture to show the visitor; only present for captcha_required.",
        }
    )
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


EXAMPLE = {
    "id": "ver_9b1d0c5ae3f24a7db6f0e81c7a52d3e49b1d0c5ae3f24a7db6f0e81c7a52d3e4",
    "status": "pending",
    "reason": None,
    "purpose": "login",
    "reference": "pX3cZ0yqT4m8u1VgKf2bQA",
    "phone_number": "+79990123456",
    "call": {"number": "+79585551234", "display": "+7 958 555-12-34", "uri": "tel:+79585551234"},
    "channel": "call",
    "text_in": None,
    "code": None,
    "next_channel": None,
    "called_at": None,
    "weak_call_at": None,
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-01T00:15:00Z",
    "expires_in": 900,
    "verified_at": None,
    "consumed_at": None,
    "metadata": {},
    "assurance": "asserted",
    "test": False,
    "hosted_url": None,
}
"""Example of a pending verification for the OpenAPI document."""

CODE_EXAMPLE = EXAMPLE | {
    "call": None,
    "channel": "code",
    "code": {
        "digits": CODE_DIGITS,
        "attempts_left": 5,
        "sends_left": 3,
        "sent_at": "2026-01-01T00:00:00Z",
        "resend_in": 30,
        "delivery": "queued",
        "delivery_reason": None,
    },
    "assurance": "roundtrip",
}
"""Example of a pending verification whose code was sent."""


LIMIT_HEADERS = {
    "RateLimit-Policy": {
        "description": "Limits that were checked, each with its quota `q` and window `w` in seconds.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "State of each limit: `r` uses remain, and the oldest use expires in `t` seconds.",
        "schema": {"type": "string"},
    },
}
"""OpenAPI descriptions of the rate-limit headers."""


def limit_headers(states: Sequence[LimitState]) -> dict[str, str]:
    """Return the rate-limit headers for all enforced limits: quota and window; remaining uses and seconds until the reset.

    They are structured fields (RFC 9651) of draft-ietf-httpapi-ratelimit-headers-10.
    """
    policies, lefts = [], []
    for state in states:
        if state.limit.mode is Mode.ENFORCE:
            period = state.limit.period_seconds
            # A scope may have several limits, so the period is part of the name.
            name = f'"{state.scope}-{period}"'
            policies.append(f"{name};q={state.limit.count};w={period}")
            lefts.append(f"{name};r={state.remaining};t={state.reset_seconds}")
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(lefts)} if policies else {}


def dump_verification(record: Verification, now: datetime, hosted_url: str | None = None) -> dict[str, Any]:
    """Return a verification as the JSON object of the contract's section 3, with the fields of VerificationResponse.

    The fields are written out here because nearly every answer needs them, and marshmallow is slower and would only copy
    each value. A test checks that the two agree.
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
        "weak_call_at": rfc3339(record.weak_call_at),
        "created_at": rfc3339(record.created_at),
        "expires_at": rfc3339(record.expires_at),
        "expires_in": max(ceil(left), 0),
        "verified_at": rfc3339(record.verified_at),
        "consumed_at": rfc3339(record.consumed_at),
        "metadata": dict(record.metadata or {}),
        "assurance": record.assurance.value,
        "test": record.test is not None,
        "hosted_url": hosted_url,
    }


def _text_in(text_in: TextIn) -> dict[str, Any]:
    number = text_in.number
    return {"number": number.value, "display": number.display, "text": text_in.text, "uri": text_in.uri}


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


# Many records share the same times, because times are whole seconds.
@lru_cache(maxsize=4096)
def rfc3339(time: datetime | None) -> str | None:
    """Return a time as the API writes it: UTC in whole seconds, with ``Z``."""
    if time is None:
        return None
    return f"{(time if time.tzinfo is UTC else time.astimezone(UTC)).isoformat(timespec='seconds')[:19]}Z"
