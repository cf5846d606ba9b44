"""The JSON of the API, by marshmallow: requests in, verifications out, and the source of the OpenAPI document."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

from langcodes import tag_is_valid
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from service.application.verifications import Start
from service.domain.assurance import Assurance
from service.domain.errors import ValidationFailed
from service.domain.limits import plain_address
from service.domain.policy import LONGEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS
from service.domain.status import Reason, Status
from service.domain.verification import Verification

MAX_WAIT_SECONDS = 30
MAX_METADATA = 10
LONGEST_LOCALE = 100
PUBLIC_STATUSES = [status.value for status in Status if status is not Status.ORDERING]

_REFERENCE = validate.Length(min=1, max=128)


def _is_address(text: str) -> None:
    try:
        plain_address(text)
    except ValueError as error:
        raise ValidationError("Not an IP address.") from error


def _is_small(pairs: Mapping[str, str]) -> None:
    if len(pairs) > MAX_METADATA:
        raise ValidationError(f"At most {MAX_METADATA} pairs.")


def _is_locale(text: str) -> None:
    # langcodes also takes underscores, which BCP 47 does not.
    if not text.isascii() or "_" in text or len(text) > LONGEST_LOCALE or not tag_is_valid(text):
        raise ValidationError("Not a BCP 47 language tag.")


class Request(Schema):
    """What a caller sends: unknown fields are refused."""

    class Meta:
        unknown = RAISE


class CreateRequest(Request):
    phone_number = fields.String(
        required=True,
        metadata={
            "description": "E.164, or a national form where the client has a default region.",
            "examples": ["+79991234567"],
        },
    )
    purpose = fields.String(
        required=True,
        metadata={"description": "A configured purpose.", "examples": ["login"]},
    )
    reference = fields.String(
        allow_none=True,
        validate=_REFERENCE,
        metadata={"description": "Your session or account id; consume must repeat it."},
    )
    window_seconds = fields.Integer(
        strict=True,
        validate=validate.Range(SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS),
        metadata={"description": "How long a call may come, up to the purpose's cap."},
    )
    client_ip = fields.String(
        allow_none=True,
        validate=_is_address,
        metadata={"description": "The end user's address, for limits only; never stored raw."},
    )
    locale = fields.String(
        allow_none=True,
        validate=_is_locale,
        metadata={"description": "BCP 47, for display texts.", "examples": ["ru-RU"]},
    )
    metadata = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        validate=_is_small,
        metadata={"description": "Returned as given.", "maxProperties": MAX_METADATA},
    )


class ConsumeRequest(Request):
    purpose = fields.String(required=True, metadata={"description": "As given to create."})
    reference = fields.String(
        allow_none=True,
        validate=_REFERENCE,
        metadata={"description": "As given to create; missing equals missing."},
    )


class CallResponse(Schema):
    number = fields.String(metadata={"description": "The number to dial, E.164."})
    display = fields.String(metadata={"description": "The same for people."})
    uri = fields.String(metadata={"description": "The same as a tel: link (RFC 3966)."})


class VerificationResponse(Schema):
    id = fields.String(metadata={"description": "A secret of your server side."})
    status = fields.String(validate=validate.OneOf(PUBLIC_STATUSES))
    reason = fields.String(allow_none=True, validate=validate.OneOf([*[r.value for r in Reason], None]))
    purpose = fields.String()
    reference = fields.String(allow_none=True)
    phone_number = fields.String(metadata={"description": "E.164."})
    call = fields.Nested(
        CallResponse,
        allow_none=True,
        metadata={"description": "What to dial; null where the order failed."},
    )
    created_at = fields.String(metadata={"format": "date-time", "description": "RFC 3339, UTC."})
    expires_at = fields.String(metadata={"format": "date-time"})
    expires_in = fields.Integer(metadata={"description": "Seconds until a call no longer counts."})
    verified_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    consumed_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    metadata = fields.Dict(keys=fields.String(), values=fields.String())
    assurance = fields.String(
        validate=validate.OneOf([each.value for each in Assurance]),
        metadata={"description": "What a call from this number proves: docs/what-a-call-proves.md."},
    )


class ProblemResponse(Schema):
    type = fields.String(metadata={"format": "uri"})
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    instance = fields.String(metadata={"description": "A failed create names its record here."})
    code = fields.String(metadata={"description": "Stable; meant for programs."})
    request_id = fields.String()
    retry_after = fields.Integer(metadata={"description": "Seconds; only where waiting helps."})
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


_CREATE = CreateRequest()
_CONSUME = ConsumeRequest()


def load_start(payload: Any) -> Start:
    """What create asks for. ValidationFailed names every field at fault."""
    return Start(**load(_CREATE, payload))


def load_consume(payload: Any) -> tuple[str, str | None]:
    """Purpose and reference of a consume."""
    loaded = load(_CONSUME, payload)
    return loaded["purpose"], loaded.get("reference")


def load_wait(values: list[str]) -> int:
    """Seconds of ``?wait=``: one whole number, 0 to 30."""
    if not values:
        return 0
    text = values[0]
    whole = len(values) == 1 and text.isascii() and text.isdecimal() and len(text) <= 2  # noqa: PLR2004  digits of 30
    if not whole or int(text) > MAX_WAIT_SECONDS:
        raise ValidationFailed.of("wait", f"Must be whole seconds, 0 to {MAX_WAIT_SECONDS}.")
    return int(text)


def dump_verification(record: Verification, now: datetime) -> dict[str, Any]:
    """The object of the contract's section 3, in its order: what VerificationResponse says, field by field.

    Written out, because it is made for every answer and marshmallow would copy each value as it is; a test holds the
    two together.
    """
    number = record.call_number
    left = (record.expires_at - now).total_seconds() if number else 0.0
    return {
        "id": record.id,
        "status": record.status.value,
        "reason": record.reason.value if record.reason else None,
        "purpose": record.requester.purpose,
        "reference": record.requester.reference,
        "phone_number": record.phone_number.value,
        "call": {"number": number.value, "display": number.display, "uri": number.uri} if number else None,
        "created_at": rfc3339(record.created_at),
        "expires_at": rfc3339(record.expires_at),
        "expires_in": max(ceil(left), 0),
        "verified_at": rfc3339(record.verified_at),
        "consumed_at": rfc3339(record.consumed_at),
        "metadata": dict(record.metadata or {}),
        "assurance": record.assurance.value,
    }


def load(schema: Schema, payload: Any) -> dict[str, Any]:
    """The request that a body is. ValidationFailed names every field at fault."""
    try:
        loaded: dict[str, Any] = schema.load(payload)
    except ValidationError as error:
        found: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]  # marshmallow's
        messages = {
            "body" if name == "_schema" else str(name): list(_leaves(texts)) for name, texts in found.items()
        }
        raise ValidationFailed(errors=messages) from error
    return loaded


def _leaves(messages: Any) -> Iterator[str]:
    # marshmallow nests the messages of a dictionary's entries.
    if isinstance(messages, dict):
        for inner in messages.values():
            yield from _leaves(inner)
    else:
        yield from messages


def rfc3339(time: datetime | None) -> str | None:
    """A time as the API writes it: UTC, whole seconds, ``Z``."""
    return (
        None if time is None else f"{time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"
    )
