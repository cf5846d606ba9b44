"""Policy file (TOML): each key is declared once, with its meaning; every mistake is named at once.

A schema loads one table. Where ``makes`` names a class of the domain, that class holds the defaults of its keys.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from string import Formatter
from typing import Any, ClassVar, TypeVar
from urllib.parse import SplitResult, urlsplit

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from waitcall.domain.channel import Assurance, Attested, Channel, Dialect, Provider
from waitcall.domain.code import CODE_DIGITS
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import InvalidPhoneNumber
from waitcall.domain.event import EventType
from waitcall.domain.limits import Limit, Mode, Scope
from waitcall.domain.lists import LONGEST_REASON, ListAction, ListEntry, ListKind, canonical
from waitcall.domain.numbers import E164, NUMBER_TYPES, REGIONS, is_fictitious, may_be_dialled
from waitcall.domain.policy import (
    LONGEST_WINDOW_SECONDS,
    SHORTEST_WINDOW_SECONDS,
    Audit,
    Brand,
    CaptchaRule,
    Client,
    Endpoint,
    FixedOutcome,
    OnConcurrent,
    OwnNumbers,
    Permission,
    Policy,
    Purpose,
    Routes,
)
from waitcall.domain.status import Status

FIRST = "0.1.0"
"""Version that has every key without ``since``."""
USUAL_POLICY = "config/policy.toml"
SHIPPED_POLICY = Path(__file__).with_name("policy.toml")
DEFAULT_CODE_TEXTS = {
    "en": "{code} is your verification code. Tell it to nobody.",
    "ru": "{code} - ваш код подтверждения. Никому его не сообщайте.",  # noqa: RUF001  Russian
}

T = TypeVar("T")
_DAY = 86400
_SOME = validate.Length(min=1)
_MOST_OWN_NUMBERS = 2000
_SHORTEST_COOLDOWN = 1200
"""Seconds: the longest window, and five minutes for a late report."""
_MOST_AUDIT_ENTRIES = 100_000_000
_LATIN_PART, _OTHER_PART = 160, 70
"""Characters of one message; a longer one is paid twice (smsc-api.md, section 9)."""
_ORIGIN = re.compile(r"(https?)://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:[1-9][0-9]{0,4})?", re.ASCII)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts for which plain HTTP is no risk."""
_PASSWORD_RESET = "password_reset"  # noqa: S105  # nosec B105  # a purpose, no password


def default_policy() -> str:
    """Return the path of the policy that holds where none is set: config/policy.toml, or else the package's."""
    try:
        Path(USUAL_POLICY).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return str(SHIPPED_POLICY)
    except OSError:
        pass  # Whoever reads it names the mistake.
    return USUAL_POLICY


def read_policy(path: str) -> Policy:
    """Read and check a policy file.

    Raises:
        ValidationError: the file cannot be read, or anything in it is wrong; its messages are a sentence each.
    """
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file)
        policy: Policy = PolicySchema().load(document)
    except OSError as error:
        raise ValidationError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValidationError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        raise ValidationError([f"{path}: {mistake}" for mistake in _flat(error.messages)]) from error
    return policy


def json_schema() -> dict[str, Any]:
    """JSON Schema of the policy file, for editors. It knows each key by itself, not what two keys mean together."""
    # Without a name a nested schema stands where it is used.
    plugin = MarshmallowPlugin(schema_name_resolver=lambda _: "")
    spec = APISpec("waitcall's policy", FIRST, openapi_version="3.1.0", plugins=[plugin])
    spec.components.schema("Policy", schema=PolicySchema)
    schema: dict[str, Any] = spec.to_dict()["components"]["schemas"]["Policy"]
    # Python's \Z is the $ of JSON Schema.
    written = json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    read: dict[str, Any] = json.loads(written.replace(r"\\Z", "$"))
    return read


def _flat(messages: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            # marshmallow puts a Dict's messages under "key" and "value" of each entry.
            step = () if name in ("value", "_schema") and path else (str(name),)
            yield from _flat(inner, path + step)
    else:
        for message in messages:
            yield f"{'.'.join(path)}: {message}"


# Kinds of keys. Each takes the key's meaning first, in Markdown. Any may have `told`, the default in words, and `since`.


def _key(
    kind: Callable[..., T],
    meaning: str,
    *,
    told: str = "",
    since: str = FIRST,
    default: Any = None,
    **more: Any,
) -> T:
    about = {"description": meaning, "x-since": since, "told": told}
    return kind(metadata=about if default is None else about | {"default": default}, **more)


def whole(meaning: str, lowest: int, highest: int, **more: Any) -> fields.Integer:
    """Whole number between two bounds."""
    return _key(fields.Integer, meaning, strict=True, validate=validate.Range(lowest, highest), **more)


def switch(meaning: str) -> fields.Boolean:
    """``true`` or ``false``."""
    return _key(fields.Boolean, meaning, truthy={True}, falsy={False})


def choice(meaning: str, words: type[Enum], **more: Any) -> fields.Enum[Any]:
    """One of an enum's values."""
    return _key(fields.Enum, meaning, enum=words, by_value=True, **more)


def text(meaning: str, **more: Any) -> fields.String:
    """Text with checks of its own."""
    return _key(fields.String, meaning, **more)


def several(meaning: str, kind: fields.Field[Any], post_load: Any = tuple, **more: Any) -> fields.List[Any]:
    """List, loaded as another collection."""
    return _key(fields.List, meaning, cls_or_instance=kind, post_load=post_load, **more)


def limits(meaning: str, *defaults: str, **more: Any) -> fields.List[Any]:
    """Limits as ``5/10m``, loaded as Limit."""
    if defaults:
        more |= {"load_default": tuple(map(Limit.parse, defaults)), "default": list(defaults)}
    return several(meaning, fields.String(post_load=_limit), **more)


def table(schema: type[Schema], meaning: str = "", **more: Any) -> fields.Nested:
    """Table with keys of its own."""
    return _key(fields.Nested, meaning, nested=schema, **more)


def tables(names: fields.String, schema: type[Schema], meaning: str = "", **more: Any) -> fields.Dict:
    """Tables with the same keys, by name."""
    return _key(fields.Dict, meaning, keys=names, values=fields.Nested(schema), **more)


def _limit(given: str) -> Limit:
    try:
        return Limit.parse(given)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def _only_counted(given: list[Limit]) -> tuple[Limit, ...]:
    return tuple(replace(each, mode=Mode.RECORD_ONLY) for each in given)


def _number(given: str) -> E164:
    try:
        return E164.parse(given)
    except InvalidPhoneNumber as error:
        raise ValidationError(f"Not a phone number in E.164 form: {given}.") from error


def _subscriber(given: str) -> E164:
    return E164(_number(given).subscriber)


def _time(given: Any) -> datetime:
    # TOML has times of its own; one without an offset could mean anything.
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise ValidationError("Must be a time with an offset, unquoted: 2027-01-01T00:00:00Z.")
    return given


def split_url(given: str) -> SplitResult:
    """Return the parts of a URL. ValidationError: it has none, or its port is no number."""
    try:
        parts = urlsplit(given)
        _ = parts.port  # raises ValueError by itself
    except ValueError as error:
        raise ValidationError("Not a URL.") from error
    return parts


def _is_an_origin(given: str) -> None:
    match = _ORIGIN.fullmatch(given)
    if match is None:
        raise ValidationError(
            "Must be an origin as browsers write it: https://login.example.org, no slash at the end."
        )
    if match[1] == "http" and match[2] not in LOOPBACK:
        raise ValidationError("http:// is for loopback only.")


def _is_a_code_text(given: str) -> None:
    try:
        pieces = [name for _, name, *_ in Formatter().parse(given) if name is not None]
    except ValueError:
        pieces = []
    if pieces != ["code"]:
        raise ValidationError("Must hold {code} once, and no other braces.")
    longest = _LATIN_PART if given.isascii() else _OTHER_PART
    if len(given.format(code="0" * CODE_DIGITS)) > longest:
        raise ValidationError(f"Must fit into one message: {longest} characters.")


def _is_an_address(given: str) -> None:
    parts = split_url(given)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValidationError("Must be a URL, for instance https://login.example.org/waitcall.")
    if parts.username is not None or parts.fragment:
        raise ValidationError("Must have no credentials and no fragment.")


def _is_a_picture(given: str) -> None:
    parts = split_url(given)
    loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or (parts.scheme != "https" and not loopback):
        raise ValidationError("Must be an https:// URL; a browser fetches it.")


def _each_once(names: tuple[Any, ...]) -> None:
    if not names or len(set(names)) != len(names):
        raise ValidationError("Name at least one, each at most once.")


NAME = fields.String(
    validate=validate.Regexp(
        r"^[a-z][a-z0-9_-]{0,62}$", error="Names are a-z, 0-9, - and _, from a letter on."
    ),
    metadata={"title": "NAME"},
)
REGION = fields.String(
    validate=validate.OneOf(sorted(REGIONS), error="{input} is no region, for instance RU."),
    metadata={"title": "REGION"},
)
LOCALE = fields.String(
    validate=validate.Regexp(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", error="Not a locale."),
    metadata={"title": "LOCALE"},
)


class Keys(Schema):
    """Keys of one table. ``makes``: the domain's class that has their defaults."""

    makes: ClassVar[Any] = None


class Table(Keys):
    """Table that is loaded as the domain's class."""

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Any:
        return self.makes(**data)


class PurposeSchema(Keys):
    makes = Purpose

    max_window_seconds = whole("Cap of `window_seconds`.", SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS)
    on_concurrent = choice(
        'Answer to a second requester for the same number: `"refuse"` refuses only the second, `"contest"` also makes '
        "the first verification worthless.",
        OnConcurrent,
    )
    cooldown_seconds = whole(
        "Other requesters wait this long after a verified call, because people dial twice.",
        0,
        LONGEST_WINDOW_SECONDS,
    )
    result_seconds = whole(
        "A verified verification becomes `lapsed` if nobody consumes it within this time.", 1, _DAY
    )
    retention_seconds = whole("Finished records stay readable for this long.", 0, 31 * _DAY)
    require_reference = switch("Refuse a create without `reference`.")
    regions = several("Regions of the subscriber's number; empty: all.", REGION, frozenset)
    number_types = several(
        "Types of the subscriber's number, libphonenumber's names in lower case; empty: all.",
        fields.String(validate=validate.OneOf(NUMBER_TYPES, error="{input} is no number type.")),
        frozenset,
    )
    min_assurance = choice(
        "Refuse numbers from which a call proves less. Only a code gives `roundtrip`. A call that only the provider's inbox "
        'shows proves at most `WAITCALL_INBOX_ASSURANCE`. The shipped policy demands `"network"` for `password_reset`; less '
        "gives a warning at every start.",
        Assurance,
    )
    match_dialled = switch(
        "If a callback names the dialled number, it must be the one shown. SMSC's callbacks do not name it; records of the inbox "
        "must always name it."
    )
    channels = several(
        "Ways to prove the number, in the order of fallback. A create that names none begins with the first.",
        fields.Enum(Channel, by_value=True),
        validate=_SOME,
    )
    second_step = choice(
        "Demand a code after the first channel.",
        Channel,
        validate=validate.OneOf([Channel.CODE]),
    )
    max_attempts = whole("Wrong codes of one verification.", 1, 10)
    max_sends = whole("Messages of one verification.", 1, 10)
    resend_seconds = whole(
        "Time until a second message may be sent; it doubles for each further one.", 1, 600
    )
    test_numbers = switch(
        "Take the numbers of `[test_numbers]`. Without it a create for one of them is refused. Every start warns of it."
    )

    @validates_schema
    def _channels_make_sense(self, data: dict[str, Any], **_: Any) -> None:
        channels = data.get("channels", (Channel.CALL,))
        if len(set(channels)) != len(channels):
            raise ValidationError("Each at most once.", "channels")
        if data.get("second_step") in channels:
            raise ValidationError("Comes after a channel, so it must not be in channels.", "second_step")


class WebhookSchema(Keys):
    makes = Endpoint

    url = text(
        "Address that events are posted to; `https://`.",
        required=True,
        validate=[validate.Length(1, 2000), _is_an_address],
    )
    events = several(
        "Types of events.",
        fields.String(
            validate=validate.OneOf([each.value for each in EventType], error="{input} is no event.")
        ),
        frozenset,
        told="all",
        load_default=lambda: frozenset(each.value for each in EventType),
        validate=_SOME,
    )
    allow_private = switch(
        "The address may be private (a Service of your cluster) and plain `http://`. Otherwise only public hosts are allowed."
    )

    @validates_schema
    def _may_be_posted_to(self, data: dict[str, Any], **_: Any) -> None:
        if "url" in data and urlsplit(data["url"]).scheme == "http" and not data.get("allow_private"):
            raise ValidationError("http:// needs allow_private = true.", "url")


class ClientLimitsSchema(Keys):
    client = limits("Creates, fallbacks and resends of one client, refused and contesting creates too.")
    read = limits("Reads of one client.")
    consume = limits("Consumes of one client.")

    @post_load
    def _by_scope(self, data: dict[str, Any], **_: Any) -> Mapping[Scope, tuple[Limit, ...]]:
        return {Scope(name): each for name, each in data.items()}


class ClientHostedSchema(Keys):
    return_origins = several(
        "Origins that the client's hosted pages may lead back to, for instance `https://login.example.org`.",
        fields.String(validate=_is_an_origin),
        frozenset,
        required=True,
        validate=_SOME,
    )


class ClientSchema(Keys):
    makes = Client

    purposes = several(
        "Purposes that the client may use; `[]` for a client that only operates.",
        fields.String(),
        frozenset,
        required=True,
    )
    default_region = text(
        "Region whose national number forms are accepted; empty: E.164 only.",
        told='`""`',
        validate=validate.OneOf(["", *sorted(REGIONS)], error="{input} is no region."),
        post_load=lambda region: region or None,
    )
    scopes = several(
        "Rights of the client's keys. `create` includes cancel, fallback, resend and check; `operate` is `/v1/operator`.",
        fields.Enum(Permission, by_value=True),
        frozenset,
        told='`["create", "read", "consume"]`',
        validate=_SOME,
    )
    limits = table(ClientLimitsSchema)
    webhooks = tables(NAME, WebhookSchema)
    hosted = table(ClientHostedSchema)

    @validates_schema
    def _who_creates_needs_a_purpose(self, data: dict[str, Any], **_: Any) -> None:
        if not data.get("purposes") and Permission.CREATE in data.get("scopes", [Permission.CREATE]):
            raise ValidationError("Name at least one.", "purposes")

    @post_load
    def _arguments(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        hosted: dict[str, Any] = data.pop("hosted", {})
        return data | hosted


class LimitsSchema(ClientLimitsSchema):
    number = limits(
        "Creates, fallbacks and resends of one number from one end user's address (`client_ip`), or from one client without `client_ip`.",
        "5/10m",
    )
    number_total = limits(
        "Verifications of one number from any address. Those that end without a call do not count.",
        told="ten times each of `limits.number`",
    )
    ip = limits(
        "Creates, fallbacks and resends from one end user's address (IPv6: its /64), refused and contesting creates too."
    )
    network = limits(
        "Creates, fallbacks and resends from one /24 (IPv6: one /48), refused and contesting creates too."
    )
    country = limits("Creates, fallbacks and resends for the numbers of one country.")
    # `global` is a Python keyword.
    everybody = limits("All creates, fallbacks and resends.", data_key="global", attribute="global")
    code_number = limits("Codes sent to one number for any caller.", "5/h", "10/d")
    code_global = limits("All codes sent.")
    failed_checks = limits("Wrong codes typed for one number, over all its verifications.", "20/d")
    wrong_numbers = limits(
        "Calls from one number to another one of `[own_numbers]` than the one shown. Beyond this only a call that its network "
        "vouches for verifies the number.",
        "3/d",
    )


class BudgetSchema(Keys):
    makes = ConversionBudget

    mode = choice(
        "Refuse creates of a group with too many uncalled verifications, or only record it.",
        Mode,
        required=True,
    )
    window_seconds = whole("Period that is counted.", 60, _DAY)
    settle_seconds = whole("Verifications younger than this are not counted yet.", 0, LONGEST_WINDOW_SECONDS)
    floor = whole("Up to this many uncalled verifications are always allowed.", 0, 1_000_000)
    max_uncalled_share: fields.Float = _key(
        fields.Float, "Allowed share of uncalled verifications.", validate=validate.Range(0, 1)
    )

    @validates_schema
    def _something_is_left_to_count(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("settle_seconds", 180) >= data.get("window_seconds", 3600):
            raise ValidationError("Must be shorter than window_seconds.", "settle_seconds")


class PrefixBudgetSchema(BudgetSchema):
    digits = whole("How many digits of the international number make a prefix.", 1, 12, required=True)


class ConversionGuardSchema(Keys):
    country = table(BudgetSchema)
    prefix = table(PrefixBudgetSchema)

    @post_load
    def _budgets(self, data: dict[str, Any], **_: Any) -> tuple[ConversionBudget, ...]:
        return tuple(ConversionBudget(Group(group), **table) for group, table in data.items())


class ListEntrySchema(Keys):
    action = choice(
        "Block what the entry names, or allow it in spite of a wider block.", ListAction, required=True
    )
    number = text("Number, E.164.", told="one of the three")
    prefix = text("Prefix, for instance `+7800`.", told="one of the three")
    network = text("Network of end users, for instance `203.0.113.0/24`.", told="one of the three")
    reason = text("Reason, for people.", required=True, validate=validate.Length(1, LONGEST_REASON))
    expires_at: fields.Raw = _key(
        fields.Raw,
        "When the entry ends, for instance `2027-01-01T00:00:00Z`, unquoted.",
        told="never",
        post_load=_time,
    )

    @post_load
    def _entry(self, data: dict[str, Any], **_: Any) -> ListEntry:
        named = [kind for kind in ListKind if kind in data]
        if len(named) != 1:
            raise ValidationError("Name one of number, prefix, network.")
        kind = named[0]
        try:
            subject = canonical(kind, data[kind])
        except ValueError as error:
            raise ValidationError(str(error), kind.value) from error
        return ListEntry(
            data["action"], kind, subject, reason=data["reason"], expires_at=data.get("expires_at")
        )


class AssuranceSchema(Table):
    makes = Attested

    # Nobody but the person can make a roundtrip, so no table can promise one.
    level = choice(
        "Assurance of a call from a number of the region.",
        Assurance,
        required=True,
        attribute="assurance",
        validate=validate.NoneOf([Assurance.ROUNDTRIP]),
    )
    source = text("Source of this claim, for people.", required=True, validate=validate.Length(1, 500))
    except_prefixes = several(
        'Prefixes of the region\'s numbers from which a call is only `asserted`, for instance `["+7978"]`. The prefixes '
        "of Abkhazia and South Ossetia in Russia's plan are always excepted (docs/numbers.md).",
        fields.String(
            validate=validate.Regexp(r"\+[1-9][0-9]{0,13}\Z", error="Write + and up to 14 digits.")
        ),
    )


class AuditSchema(Table):
    makes = Audit

    max_entries = whole("Entries that the audit stream keeps.", 1000, _MOST_AUDIT_ENTRIES)
    retention_seconds = whole("Age at which entries are removed.", _DAY, 3660 * _DAY)
    log = switch("Also write each entry as a log line.")


class TextInSchema(Keys):
    numbers = several(
        "Your dedicated numbers that receive texts, E.164.",
        fields.String(post_load=_number),
        required=True,
        validate=_SOME,
    )

    @post_load
    def _numbers(self, data: dict[str, Any], **_: Any) -> tuple[E164, ...]:
        return tuple(data["numbers"])


class CodeSchema(Keys):
    texts: fields.Dict = _key(
        fields.Dict,
        "Text of the message by locale: `{code}` once, one message long. The first is for every other locale.",
        told="English, Russian",
        keys=LOCALE,
        values=fields.String(validate=_is_a_code_text),
        attribute="code_texts",
        load_default=DEFAULT_CODE_TEXTS,
        validate=_SOME,
    )
    sender = text(
        "Sender, approved at the provider.",
        told="the account's",
        attribute="code_sender",
        validate=validate.Regexp(r"[A-Za-z0-9 ._-]{1,15}\Z", error="Up to 15 Latin characters."),
    )


class CaptchaSchema(Table):
    makes = CaptchaRule

    above = limits(
        "Creates that send a code beyond these limits answer 403 `captcha_required`.",
        required=True,
        validate=_SOME,
        post_load=_only_counted,
    )
    image_url = text(
        "URL of the picture. The provider sees the visitor's address when it is loaded. The account's is `imgcode.php` below the first of "
        "`WAITCALL_SMSC_URLS`.",
        told="the account's",
        validate=_is_a_picture,
    )


class RoutingSchema(Table):
    makes = Routes

    default = several(
        "Providers that are asked for a number to dial, in order; the next is asked if one gives none.",
        fields.Enum(Provider, by_value=True),
        validate=_each_once,
    )
    regions: fields.Dict = _key(
        fields.Dict,
        'Instead of `default`, for the numbers of one country: `{KZ = ["smsc"]}`.',
        keys=REGION,
        values=fields.List(fields.Enum(Provider, by_value=True), validate=_each_once, post_load=tuple),
    )


class OwnNumbersSchema(Keys):
    makes = OwnNumbers

    sip = several(
        "Numbers on a SIP trunk, whose calls `sip/` reports.", fields.String(post_load=_number), told="`[]`"
    )
    twilio = several("Numbers at Twilio.", fields.String(post_load=_number), told="`[]`")
    telnyx = several("Numbers at Telnyx.", fields.String(post_load=_number), told="`[]`")
    cooldown_seconds = whole(
        "A subscriber is not shown the same number again for this long. It covers a window and the delay of a late report.",
        _SHORTEST_COOLDOWN,
        _DAY,
    )

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> OwnNumbers:
        named = [(number, dialect) for dialect in Dialect for number in data.pop(dialect.value, ())]
        if len({number.subscriber for number, _ in named}) != len(named):
            raise ValidationError("Name each number once.")
        if len(named) > _MOST_OWN_NUMBERS:
            raise ValidationError(f"Name at most {_MOST_OWN_NUMBERS} numbers.")
        return OwnNumbers(dict(named), **data)


class HostedSchema(Table):
    makes = Brand

    name = text("Name on the hosted page.", validate=validate.Length(1, 60))
    color = text(
        "Colour of its buttons.", validate=validate.Regexp(r"#[0-9a-fA-F]{6}\Z", error="Six digits: #1d4ed8.")
    )
    support_url: fields.URL = _key(
        fields.URL,
        "Link for people who need help, `https:` or `mailto:`.",
        schemes={"https", "mailto"},
        require_tld=False,
    )


class TestNumberSchema(Table):
    """Fixed outcome of one test number."""

    makes = FixedOutcome

    outcome = choice(
        "`verified`, `expired`, `contested` or `failed`.",
        Status,
        required=True,
        attribute="status",
        validate=validate.OneOf(
            [Status.VERIFIED, Status.EXPIRED, Status.CONTESTED, Status.FAILED],
            error="Must be one of: verified, expired, contested, failed.",
        ),
    )
    delay_seconds = whole(
        "Seconds from the start of a channel to the outcome. A verification whose window ends earlier expires. On the channel "
        "`code` the outcome `verified` comes with the right code instead.",
        0,
        LONGEST_WINDOW_SECONDS,
    )
    code = text(
        "Code to type, six digits. Required for the outcome `verified` if a purpose with `test_numbers` sends codes. With other "
        "outcomes no code is right.",
        validate=validate.Regexp(
            rf"[0-9]{{{CODE_DIGITS}}}\Z", error=f"A code is a string of {CODE_DIGITS} digits."
        ),
    )

    @validates_schema
    def _only_the_verified_have_a_code(self, data: dict[str, Any], **_: Any) -> None:
        if "code" in data and data.get("status") is not Status.VERIFIED:
            raise ValidationError('Only outcome = "verified" has a code.', "code")


class PolicySchema(Keys):
    """Whole file. A table that is left out has the defaults of its keys."""

    dial_regions = several(
        "Regions of the numbers that a person may be told to dial. Premium numbers are never shown.",
        REGION,
        frozenset,
        required=True,
        validate=_SOME,
    )
    purposes = tables(NAME, PurposeSchema, "One table for each purpose.", required=True)
    clients = tables(
        NAME,
        ClientSchema,
        "One table for each client; its keys are in `WAITCALL_API_KEYS`. Its `limits` replace the policy's for the same scope.",
        required=True,
    )
    limits = table(
        LimitsSchema,
        "Count and period (s, m, h, d), for instance `20/h`. A scope may have several; `[]` switches it off. A limit that ends in "
        "` record_only` is counted and reported, but refuses nobody. docs/limits.md says what counts for which limit.",
        load_default=lambda: DEFAULT_LIMITS,
    )
    conversion = table(
        ConversionGuardSchema,
        "Guard against numbers that are shown and never called. Off without this table.",
    )
    lists = several(
        "`[[lists]]`: the most exact entry decides. `waitcall block` adds entries at run time.",
        fields.Nested(ListEntrySchema),
    )
    assurance = tables(
        REGION,
        AssuranceSchema,
        "A region without a table is `asserted`: a caller ID can be forged there.",
    )
    audit = table(AuditSchema, "Size of the audit stream.")
    text_in = table(
        TextInSchema, "Required if a purpose has the channel `text_in`.", attribute="text_in_numbers"
    )
    code = table(CodeSchema, "Messages with a code.", load_default=lambda: CodeSchema().load({}))
    captcha = table(CaptchaSchema, "A captcha before codes. Off without this table.")
    routing = table(RoutingSchema, "Providers of the numbers to dial.")
    own_numbers = table(
        OwnNumbersSchema,
        "Your own numbers, shown where the routing names `own`. docs/own-numbers.md says how many you need.",
    )
    hosted = table(HostedSchema, "Look of the hosted page.", attribute="brand")
    test_numbers = tables(
        fields.String(post_load=_subscriber, metadata={"title": "NUMBER"}),
        TestNumberSchema,
        "Numbers with a fixed outcome, for app-store reviews, staging and tests: nothing is ordered or sent for them, and "
        "nothing is proven. docs/test-numbers.md.",
    )

    @validates_schema
    def _texts_need_a_number(self, data: dict[str, Any], **_: Any) -> None:
        asked = [table.get("channels", ()) for table in data.get("purposes", {}).values()]
        if any(Channel.TEXT_IN in channels for channels in asked) and not data.get("text_in_numbers"):
            raise ValidationError("Name the numbers that receive texts: [text_in].", "text_in")

    @validates_schema
    def _own_numbers_can_be_shown(self, data: dict[str, Any], **_: Any) -> None:
        numbers = data.get("own_numbers", OwnNumbers()).dialects
        routed = Provider.OWN in data.get("routing", Routes()).providers
        if routed != bool(numbers):
            detail = "The routing names own: name its numbers." if routed else "No routing names own."
            raise ValidationError(detail, "own_numbers")
        regions = data.get("dial_regions", frozenset())
        for number in numbers:
            if not may_be_dialled(number, regions):
                detail = f"{number.value} is not an ordinary number of a region in dial_regions."
                raise ValidationError(detail, "own_numbers")

    @validates_schema(pass_original=True)
    def _test_numbers_are_named_once(self, data: dict[str, Any], original: dict[str, Any], **_: Any) -> None:
        if len(data.get("test_numbers", ())) != len(original.get("test_numbers", ())):
            raise ValidationError("Name each number once, in one spelling.", "test_numbers")

    @validates_schema
    def _test_numbers_have_codes(self, data: dict[str, Any], **_: Any) -> None:
        sending = sorted(
            name
            for name, table in data.get("purposes", {}).items()
            if table.get("test_numbers")
            and Channel.CODE in (*table.get("channels", ()), table.get("second_step"))
        )
        without = {
            number.value: {"code": [f"purposes.{sending[0]} sends codes: give one of {CODE_DIGITS} digits."]}
            for number, fixed in data.get("test_numbers", {}).items()
            if sending and fixed.status is Status.VERIFIED and fixed.code is None
        }
        if without:
            raise ValidationError({"test_numbers": without})

    @validates_schema(skip_on_field_errors=False)
    def _purposes_are_there(self, data: dict[str, Any], **_: Any) -> None:
        if "purposes" not in data:
            return
        foreign = {
            name: {"purposes": [f"{each!r} is not a configured purpose." for each in sorted(missing)]}
            for name, table in data.get("clients", {}).items()
            if (missing := set(table.get("purposes", ())) - set(data["purposes"]))
        }
        if foreign:
            raise ValidationError({"clients": foreign})

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Policy:
        purposes = {name: Purpose(name, **table) for name, table in data.pop("purposes").items()}
        clients = {name: _client(name, **table) for name, table in data.pop("clients").items()}
        return Policy(purposes=purposes, clients=clients, **(data.pop("code") | data))


def _client(name: str, *, webhooks: Mapping[str, dict[str, Any]] | None = None, **table: Any) -> Client:
    endpoints = tuple(Endpoint(f"{name}/{each}", **hook) for each, hook in (webhooks or {}).items())
    return Client(name, webhooks=endpoints, **table)


DEFAULT_LIMITS: Mapping[Scope, tuple[Limit, ...]] = LimitsSchema().load({})


def policy_weaknesses(policy: Policy) -> Iterator[str]:
    """Name in a sentence each what a policy allows and should not. The shipped one has none."""
    yield from _weak_reset(policy)
    yield from _unsigned_calls(policy)
    yield from _weak_limits(policy)
    yield from _dear_codes(policy)
    yield from _plain_webhooks(policy)
    yield from _test_numbers(policy)


def _weak_reset(policy: Policy) -> Iterator[str]:
    reset = policy.purposes.get(_PASSWORD_RESET)
    if reset is not None and not reset.min_assurance.reaches(Assurance.NETWORK):
        level = reset.min_assurance.value
        yield f"purposes.password_reset.min_assurance is {level}: anyone who forges a caller ID can reset a password"


def _unsigned_calls(policy: Policy) -> Iterator[str]:
    """Name the purposes that a caller cannot finish without a carrier that signs calls."""
    routing = policy.routing
    for purpose in policy.purposes.values():
        routes = [routing.of(region) for region in purpose.regions]
        shown = any(
            route[:1] == (Provider.OWN,) for route in routes or [routing.default, *routing.regions.values()]
        )
        alone = purpose.channels == (Channel.CALL,) and purpose.second_step is None
        if shown and alone and purpose.min_assurance is Assurance.NETWORK:
            yield (
                f"purposes.{purpose.name} demands network, shows own numbers and has no second channel: a caller whose "
                "carrier does not sign calls can never finish"
            )


def _weak_limits(policy: Policy) -> Iterator[str]:
    if not policy.limits.get(Scope.NUMBER):
        yield "limits.number is switched off: one visitor can start any number of verifications of a number"
    named = {"limits": policy.limits} | {
        f"clients.{name}.limits": client.limits for name, client in policy.clients.items()
    }
    for table, limits in named.items():
        for scope, each in limits.items():
            watching = [limit.text for limit in each if limit.mode is Mode.RECORD_ONLY]
            if watching:
                yield f"{table}.{scope} only records {', '.join(watching)}: it refuses nobody"


def _dear_codes(policy: Policy) -> Iterator[str]:
    """Codes cost money, and an attacker can be paid for them."""
    sending = [purpose for purpose in policy.purposes.values() if purpose.sends_codes]
    for purpose in sending:
        if not purpose.regions:
            yield f"purposes.{purpose.name} sends codes and names no regions: messages abroad cost most"
    if not sending:
        return
    needed = {
        "limits.ip or limits.network": (Scope.IP, Scope.NETWORK),
        "limits.country, limits.global or limits.code_global": (
            Scope.COUNTRY,
            Scope.GLOBAL,
            Scope.CODE_GLOBAL,
        ),
        "limits.code_number": (Scope.CODE_NUMBER,),
        "limits.failed_checks": (Scope.FAILED_CHECKS,),
    }
    for names, scopes in needed.items():
        if not any(limit.mode is Mode.ENFORCE for scope in scopes for limit in policy.limits.get(scope, ())):
            yield f"codes are sent without an enforced {names}"


def _plain_webhooks(policy: Policy) -> Iterator[str]:
    for endpoint in (each for client in policy.clients.values() for each in client.webhooks):
        parts = split_url(endpoint.url)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            yield f"webhook {endpoint.name} uses http://: anyone on the network path can read it"


def _test_numbers(policy: Policy) -> Iterator[str]:
    """Name what is verified without proof."""
    if not policy.test_numbers:
        return
    taking = [purpose.name for purpose in policy.purposes.values() if purpose.test_numbers]
    count = len(policy.test_numbers)
    for name in taking:
        yield f"purposes.{name} takes {count} test numbers: they are verified without a call or a code"
    if not taking:
        yield f"test_numbers names {count} numbers that no purpose takes: creates for them are refused"
    for number in policy.test_numbers:
        if not is_fictitious(number):
            yield (
                f"test_numbers.{number.masked} may be a subscriber's: no range of fictitious numbers contains it, so "
                "anyone who may create can verify it without its holder"
            )
