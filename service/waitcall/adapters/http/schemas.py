"""Marshmallow schemas of the API's requests. The OpenAPI document is made from them, too."""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, pre_load, validate

from waitcall.adapters.http.languages import is_tag
from waitcall.application.create import CreateCommand, Risk
from waitcall.domain.channel import Captcha, Channel
from waitcall.domain.code import CODE_DIGITS
from waitcall.domain.limits import plain_address
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS

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
        raise ValidationError(f"At most {MAX_METADATA} pairs are allowed.")


def _is_locale(text: str) -> None:
    # langcodes also accepts underscores, which BCP 47 does not allow.
    if "_" in text or not is_tag(text):
        raise ValidationError("Not a BCP 47 language tag.")


def _whole(text: Any) -> Any:
    # int() also accepts signs, spaces, underscores and digits of other alphabets.
    if not (isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= 2):  # noqa: PLR2004  30 has two digits
        raise ValidationError(f"Must be whole seconds from 0 to {MAX_WAIT_SECONDS}.")
    return text


class Request(Schema):
    """Base schema of request bodies. Unknown fields are refused; null in an optional field counts as absent."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: ARG002  the library's names
        """Mark optional fields as nullable in the OpenAPI document."""
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
        metadata={"description": "IP address that the picture was shown to. It is sent to the provider."},
    )

    @post_load
    def _captcha(self, data: dict[str, Any], **_: Any) -> Captcha:
        return Captcha(**data)


class ContextRequest(Request):
    risk = fields.Enum(
        Risk,
        by_value=fields.String,
        metadata={
            "description": "Your own risk score, if the policy has captchas: low skips the captcha, high requires it."
        },
    )


class HostedRequest(Request):
    return_url = fields.String(
        required=True,
        metadata={
            "description": "URL that the page leads back to, with result or outcome added. The policy must allow its origin.",
            "examples": ["https://login.example.org/phone/done"],
        },
    )


class CreateRequest(Request):
    phone_number = fields.String(
        required=True,
        metadata={
            "description": "E.164, or a national form if the client has a default region. Spaces, hyphens, brackets, invisible "
            "characters and tel: with its parameters are accepted. Extensions, letters and several numbers are refused.",
            "examples": ["+79990123456"],
        },
    )
    purpose = fields.String(
        required=True,
        metadata={"description": "Name of a configured purpose.", "examples": ["login"]},
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
        metadata={"description": "Seconds in which the call must come, up to the purpose's maximum."},
    )
    client_ip = fields.String(
        validate=_is_address,
        metadata={
            "description": "IP address of the end user. It is used for limits only and never stored in the clear. Send it: "
            "without it, a stranger can use up the limits of a number through your client."
        },
    )
    locale = fields.String(
        validate=_is_locale,
        metadata={
            "description": "BCP 47 language tag for texts that the person sees.",
            "examples": ["ru-RU"],
        },
    )
    metadata = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        validate=_is_small,
        metadata={"description": "Returned as given.", "maxProperties": MAX_METADATA},
    )

    channel = fields.Enum(
        Channel,
        by_value=fields.String,
        metadata={"description": "One of the purpose's channels; its first by default."},
    )
    captcha = fields.Nested(
        CaptchaRequest,
        metadata={"description": "Answer to captcha_required; only for the channel code."},
    )
    context = fields.Nested(ContextRequest, allow_none=True)
    hosted = fields.Nested(
        HostedRequest,
        metadata={"description": "Ask for a hosted page: the answer has its hosted_url."},
    )

    @post_load
    def _start(self, data: dict[str, Any], **_: Any) -> CreateCommand:
        context, hosted = data.pop("context", None) or {}, data.pop("hosted", None) or {}
        return CreateCommand(**data, risk=context.get("risk"), return_url=hosted.get("return_url"))


class FallbackRequest(Request):
    channel = fields.Enum(
        Channel,
        by_value=fields.String,
        metadata={"description": "A later channel of the purpose; the next by default."},
    )


class ResendRequest(Request):
    pass


class CheckRequest(Request):
    code = fields.String(
        required=True,
        validate=validate.Regexp(
            rf"[0-9]{{{CODE_DIGITS}}}\Z", error=f"A code is a string of {CODE_DIGITS} digits."
        ),
        # A pattern of its own for the document, because JavaScript's regular expressions have no \\Z.
        metadata={
            "description": "Code that the person typed.",
            "examples": ["012345"],
            "pattern": f"^[0-9]{{{CODE_DIGITS}}}$",
        },
    )


class ConsumeRequest(Request):
    purpose = fields.String(required=True, metadata={"description": "The purpose that was given to create."})
    reference = fields.String(
        validate=_REFERENCE,
        metadata={"description": "The reference that was given to create; absent if create had none."},
    )
    result = fields.String(
        validate=validate.Length(min=1, max=128),
        metadata={"description": "For a hosted verification: the result that the browser brought back."},
    )


class PollQuery(Schema):
    """Query of a read: time to wait for a change, and the channel that the client shows."""

    wait = fields.Integer(
        load_default=0,
        pre_load=_whole,
        validate=validate.Range(0, MAX_WAIT_SECONDS),
        metadata={"description": "Seconds to hold the answer while the status is pending."},
    )
    channel = fields.Enum(
        Channel,
        by_value=fields.String,
        metadata={
            "description": "Channel that you show. If the verification is on another one, the answer comes at once."
        },
    )


class PagePollQuery(PollQuery):
    """Query of the hosted page's poll: also whether the page says that a weak call came."""

    weak_call = fields.Boolean()
