"""What the policy file may hold, table by table. Unknown keys are mistakes."""

from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from service.domain.assurance import Assurance
from service.domain.channel import Channel
from service.domain.event import EventType
from service.domain.limits import Mode
from service.domain.lists import LONGEST_REASON, ListAction, ListKind, canonical
from service.domain.numbers import NUMBER_TYPES, REGIONS
from service.domain.policy import (
    LONGEST_WINDOW_SECONDS,
    SHORTEST_WINDOW_SECONDS,
    OnConcurrent,
    Permission,
    Provider,
)
from service.policy_values import (
    NAME,
    REGION,
    each_once,
    is_a_code_text,
    is_a_picture,
    is_an_origin,
    limit_text,
    phone_number,
    time_with_offset,
)

_DAY = 86400
_MOST_AUDIT_ENTRIES = 100_000_000


class PurposeSchema(Schema):
    max_window_seconds = fields.Integer(
        strict=True,
        validate=validate.Range(SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS),
    )
    on_concurrent = fields.Enum(OnConcurrent, by_value=True)
    cooldown_seconds = fields.Integer(strict=True, validate=validate.Range(0, LONGEST_WINDOW_SECONDS))
    result_seconds = fields.Integer(strict=True, validate=validate.Range(1, _DAY))
    retention_seconds = fields.Integer(strict=True, validate=validate.Range(0, 31 * _DAY))
    require_reference = fields.Boolean(truthy={True}, falsy={False})
    regions = fields.List(fields.String(validate=REGION))
    number_types = fields.List(
        fields.String(validate=validate.OneOf(NUMBER_TYPES, error="{input} is no number type.")),
    )
    min_assurance = fields.Enum(Assurance, by_value=True)
    match_dialled = fields.Boolean(truthy={True}, falsy={False})
    channels = fields.List(fields.Enum(Channel, by_value=True), validate=validate.Length(min=1))
    second_step = fields.Enum(Channel, by_value=True, validate=validate.OneOf([Channel.CODE]))
    max_attempts = fields.Integer(strict=True, validate=validate.Range(1, 10))
    max_sends = fields.Integer(strict=True, validate=validate.Range(1, 10))
    resend_seconds = fields.Integer(strict=True, validate=validate.Range(1, 600))

    @validates_schema
    def _channels_make_sense(self, data: dict[str, Any], **_: Any) -> None:
        channels = data.get("channels", [Channel.CALL])
        if len(set(channels)) != len(channels):
            raise ValidationError("Each at most once.", "channels")
        if data.get("second_step") in channels:
            raise ValidationError("Comes after a channel; it is none of channels.", "second_step")


class WebhookSchema(Schema):
    url = fields.String(required=True, validate=validate.Length(1, 2000))
    events = fields.List(
        fields.String(
            validate=validate.OneOf([each.value for each in EventType], error="{input} is no event.")
        ),
        validate=validate.Length(min=1),
    )
    allow_private = fields.Boolean(truthy={True}, falsy={False})

    @validates_schema
    def _may_be_posted_to(self, data: dict[str, Any], **_: Any) -> None:
        try:
            parts = urlsplit(data.get("url", ""))
            _port = parts.port  # raises ValueError by itself
        except ValueError as error:
            raise ValidationError("Not a URL.", "url") from error
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValidationError("Must be a URL, for instance https://login.example.org/waitcall.", "url")
        if parts.scheme == "http" and not data.get("allow_private"):
            raise ValidationError("http:// is for addresses inside: allow_private = true.", "url")
        if parts.username is not None or parts.fragment:
            raise ValidationError("Carries no credentials and no fragment.", "url")


class ClientLimitsSchema(Schema):
    client = fields.List(limit_text())
    read = fields.List(limit_text())
    consume = fields.List(limit_text())


class ClientHostedSchema(Schema):
    return_origins = fields.List(
        fields.String(validate=is_an_origin), required=True, validate=validate.Length(min=1)
    )


class ClientSchema(Schema):
    purposes = fields.List(fields.String(), required=True)
    default_region = fields.String(validate=validate.OneOf({"", *REGIONS}, error="{input} is no region."))
    scopes = fields.List(fields.Enum(Permission, by_value=True), validate=validate.Length(min=1))
    limits = fields.Nested(ClientLimitsSchema)
    webhooks = fields.Dict(NAME, fields.Nested(WebhookSchema))
    hosted = fields.Nested(ClientHostedSchema)

    @validates_schema
    def _who_creates_needs_a_purpose(self, data: dict[str, Any], **_: Any) -> None:
        if not data.get("purposes") and Permission.CREATE in data.get("scopes", [Permission.CREATE]):
            raise ValidationError("Name at least one.", "purposes")


class LimitsSchema(ClientLimitsSchema):
    number = fields.List(limit_text())
    number_total = fields.List(limit_text())
    code_number = fields.List(limit_text())
    code_global = fields.List(limit_text())
    failed_checks = fields.List(limit_text())
    ip = fields.List(limit_text())
    network = fields.List(limit_text())
    country = fields.List(limit_text())
    # `global` is a Python keyword.
    everybody = fields.List(limit_text(), data_key="global")


class BudgetSchema(Schema):
    mode = fields.Enum(Mode, by_value=True, required=True)
    window_seconds = fields.Integer(strict=True, validate=validate.Range(60, _DAY))
    settle_seconds = fields.Integer(strict=True, validate=validate.Range(0, LONGEST_WINDOW_SECONDS))
    floor = fields.Integer(strict=True, validate=validate.Range(0, 1_000_000))
    max_uncalled_share = fields.Float(validate=validate.Range(0, 1))

    @validates_schema
    def _something_is_left_to_count(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("settle_seconds", 180) >= data.get("window_seconds", 3600):
            raise ValidationError("Must be shorter than window_seconds.", "settle_seconds")


class PrefixBudgetSchema(BudgetSchema):
    digits = fields.Integer(strict=True, required=True, validate=validate.Range(1, 12))


class ConversionSchema(Schema):
    country = fields.Nested(BudgetSchema)
    prefix = fields.Nested(PrefixBudgetSchema)


class ListEntrySchema(Schema):
    action = fields.Enum(ListAction, by_value=True, required=True)
    number = fields.String()
    prefix = fields.String()
    network = fields.String()
    reason = fields.String(required=True, validate=validate.Length(1, LONGEST_REASON))
    expires_at = time_with_offset()

    @validates_schema
    def _names_one_thing(self, data: dict[str, Any], **_: Any) -> None:
        named = [kind for kind in ListKind if kind in data]
        if len(named) != 1:
            raise ValidationError("Name one of number, prefix, network.")
        try:
            canonical(named[0], data[named[0]])
        except ValueError as error:
            raise ValidationError(str(error), named[0].value) from error


class AssuranceSchema(Schema):
    # Nobody but the person can make a roundtrip, so no table can promise one.
    level = fields.Enum(
        Assurance, by_value=True, required=True, validate=validate.NoneOf([Assurance.ROUNDTRIP])
    )
    source = fields.String(required=True, validate=validate.Length(1, 500))


class AuditSchema(Schema):
    max_entries = fields.Integer(strict=True, validate=validate.Range(1000, _MOST_AUDIT_ENTRIES))
    retention_seconds = fields.Integer(strict=True, validate=validate.Range(_DAY, 3660 * _DAY))
    log = fields.Boolean(truthy={True}, falsy={False})


class TextInSchema(Schema):
    numbers = fields.List(phone_number(), required=True, validate=validate.Length(min=1))


class CodeSchema(Schema):
    sender = fields.String(
        validate=validate.Regexp(r"[A-Za-z0-9 ._-]{1,15}\Z", error="Up to 15 Latin characters.")
    )
    texts = fields.Dict(
        fields.String(validate=validate.Regexp(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", error="Not a locale.")),
        fields.String(validate=is_a_code_text),
        validate=validate.Length(min=1),
    )


class CaptchaSchema(Schema):
    above = fields.List(limit_text(), required=True, validate=validate.Length(min=1))
    image_url = fields.String(validate=is_a_picture)


class RoutingSchema(Schema):
    default = fields.List(fields.Enum(Provider, by_value=True), validate=each_once)
    regions = fields.Dict(
        fields.String(validate=REGION),
        fields.List(fields.Enum(Provider, by_value=True), validate=each_once),
    )


class HostedSchema(Schema):
    name = fields.String(validate=validate.Length(1, 60))
    color = fields.String(validate=validate.Regexp(r"#[0-9a-fA-F]{6}\Z", error="Six digits: #1d4ed8."))
    support_url = fields.URL(schemes={"https", "mailto"}, require_tld=False)


class PolicySchema(Schema):
    dial_regions = fields.List(
        fields.String(validate=REGION),
        required=True,
        validate=validate.Length(min=1),
    )
    purposes = fields.Dict(NAME, fields.Nested(PurposeSchema), required=True)
    clients = fields.Dict(NAME, fields.Nested(ClientSchema), required=True)
    limits = fields.Nested(LimitsSchema)
    conversion = fields.Nested(ConversionSchema)
    lists = fields.List(fields.Nested(ListEntrySchema))
    assurance = fields.Dict(fields.String(validate=REGION), fields.Nested(AssuranceSchema))
    audit = fields.Nested(AuditSchema)
    text_in = fields.Nested(TextInSchema)
    code = fields.Nested(CodeSchema)
    captcha = fields.Nested(CaptchaSchema)
    routing = fields.Nested(RoutingSchema)
    hosted = fields.Nested(HostedSchema)

    @validates_schema
    def _texts_need_a_number(self, data: dict[str, Any], **_: Any) -> None:
        asked = [
            name
            for name, table in data.get("purposes", {}).items()
            if Channel.TEXT_IN in table.get("channels", [])
        ]
        if asked and not data.get("text_in"):
            raise ValidationError("Name the numbers that receive texts: [text_in].", "text_in")
