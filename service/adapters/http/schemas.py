"""The JSON of the API, by marshmallow: requests in, verifications out, and the source of the OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate

from service.adapters.http.languages import is_tag
from service.application.verifications import Risk, Start
from service.domain.channel import Captcha, Channel
from service.domain.code import CODE_DIGITS
from service.domain.errors import ValidationFailed
from service.domain.limits import plain_address
from service.domain.policy import LONGEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS

MAX_WAIT_SECONDS = 30
MAX_METADATA = 10

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
    if "_" in text or not is_tag(text):
        raise ValidationError("Not a BCP 47 language tag.")


class Request(Schema):
    """Body of a request: unknown fields are refused, and null is the same as absent for every optional one."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: ARG002  the library's names
        """Let the document say that null is allowed."""
        if not field_obj.required:
            field_obj.allow_none = True

    @pre_load
    def _leave_out_nulls(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict):
            return data
        optional = {name for name, each in self.fields.items() if not each.required}
        return {name: value for name, value in data.items() if value is not None or name not in optional}


class CaptchaRequest(Request):
    code = fields.String(required=True, validate=validate.Length(1, 32))
    user_ip = fields.String(
        required=True,
        validate=_is_address,
        metadata={"description": "The address that the picture was shown to; the provider gets it."},
    )


class ContextRequest(Request):
    risk = fields.String(
        validate=validate.OneOf([each.value for each in Risk]),
        metadata={
            "description": "Your own verdict, where the policy knows captchas: low spares the visitor, high demands one."
        },
    )


class HostedRequest(Request):
    return_url = fields.String(
        required=True,
        metadata={
            "description": "Where the page leads back to, with result or outcome added; of an origin that the policy allows.",
            "examples": ["https://login.example.org/phone/done"],
        },
    )


class CreateRequest(Request):
    phone_number = fields.String(
        required=True,
        metadata={
            "description": "E.164, or a national form where the client has a default region. As people write and paste it: "
            "spaces, hyphens and brackets of every kind, invisible marks and tel: are no mistake.",
            "examples": ["+79991234567"],
        },
    )
    purpose = fields.String(
        required=True,
        metadata={"description": "A configured purpose.", "examples": ["login"]},
    )
    reference = fields.String(
        validate=_REFERENCE,
        metadata={
            "description": "Fresh and unguessable for each attempt, kept in your server-side session; never the id of an "
            "account, a session or a person. Consume must repeat it.",
            "examples": ["pX3cZ0yqT4m8u1VgKf2bQA"],
        },
    )
    window_seconds = fields.Integer(
        strict=True,
        validate=validate.Range(SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS),
        metadata={"description": "How long a call may come, up to the purpose's cap."},
    )
    client_ip = fields.String(
        validate=_is_address,
        metadata={
            "description": "The end user's address, for limits only; never stored raw. Send it: without it a stranger can use up what a number may ask for through your client."
        },
    )
    locale = fields.String(
        validate=_is_locale,
        metadata={"description": "BCP 47, for display texts.", "examples": ["ru-RU"]},
    )
    metadata = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        validate=_is_small,
        metadata={"description": "Returned as given.", "maxProperties": MAX_METADATA},
    )

    channel = fields.String(
        validate=validate.OneOf([each.value for each in Channel]),
        metadata={"description": "One of the purpose's; its first by default."},
    )
    captcha = fields.Nested(
        CaptchaRequest,
        metadata={"description": "The answer to captcha_required; only for the channel code."},
    )
    context = fields.Nested(ContextRequest, allow_none=True)
    hosted = fields.Nested(
        HostedRequest,
        metadata={"description": "Also answer hosted_url, a page of ours to send the person to."},
    )


class FallbackRequest(Request):
    channel = fields.String(
        validate=validate.OneOf([each.value for each in Channel]),
        metadata={"description": "A later channel of the purpose; the next by default."},
    )


class ResendRequest(Request):
    pass


class CheckRequest(Request):
    code = fields.String(
        required=True,
        validate=validate.Regexp(
            rf"[0-9]{{{CODE_DIGITS}}}\Z", error=f"A code is {CODE_DIGITS} digits, as text."
        ),
        metadata={"description": "What the person typed.", "examples": ["012345"]},
    )


class ConsumeRequest(Request):
    purpose = fields.String(required=True, metadata={"description": "As given to create."})
    reference = fields.String(
        validate=_REFERENCE,
        metadata={"description": "As given to create; a missing one equals a missing one."},
    )
    result = fields.String(
        validate=validate.Length(min=1, max=128),
        metadata={"description": "Of a hosted verification: what the browser brought back."},
    )


_CREATE = CreateRequest()
_CONSUME = ConsumeRequest()
_FALLBACK, _RESEND, _CHECK = FallbackRequest(), ResendRequest(), CheckRequest()


def load_start(payload: Any) -> Start:
    """What create asks for. ValidationFailed names every field at fault."""
    loaded = load(_CREATE, payload)
    captcha, context = loaded.pop("captcha", None), loaded.pop("context", None) or {}
    hosted = loaded.pop("hosted", None)
    risk = context.get("risk")
    return Start(
        **loaded,
        captcha=Captcha(**captcha) if captcha else None,
        risk=Risk(risk) if risk else None,
        return_url=hosted["return_url"] if hosted else None,
    )


def load_fallback(payload: Any) -> Channel | None:
    """Where to."""
    channel = load(_FALLBACK, payload).get("channel")
    return Channel(channel) if channel else None


def load_resend(payload: Any) -> None:
    """Nothing is asked for."""
    load(_RESEND, payload)


def load_check(payload: Any) -> str:
    """What the person typed."""
    code: str = load(_CHECK, payload)["code"]
    return code


def load_consume(payload: Any) -> tuple[str, str | None, str | None]:
    """Purpose, reference and result of a consume."""
    loaded = load(_CONSUME, payload)
    return loaded["purpose"], loaded.get("reference"), loaded.get("result")


def load_wait(values: list[str]) -> int:
    """Seconds of ``?wait=``: one whole number, 0 to 30."""
    if not values:
        return 0
    text = values[0]
    whole = len(values) == 1 and text.isascii() and text.isdecimal() and len(text) <= 2  # noqa: PLR2004  digits of 30
    if not whole or int(text) > MAX_WAIT_SECONDS:
        raise ValidationFailed.of("wait", f"Must be whole seconds, 0 to {MAX_WAIT_SECONDS}.")
    return int(text)


def load_seen(values: list[str]) -> Channel | None:
    """``?channel=``: which one the caller shows."""
    if not values:
        return None
    if len(values) != 1 or values[0] not in set(Channel):
        raise ValidationFailed.of("channel", f"Must be one of {', '.join(Channel)}.")
    return Channel(values[0])


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
