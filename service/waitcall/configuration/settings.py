"""Settings of the environment: each is declared once; every mistake is named at once, and never with its value."""

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from importlib.util import find_spec
from ipaddress import IPv6Address
from mmap import mmap
from pathlib import Path
from typing import Any, cast

from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as kinds

from waitcall.configuration.cpus import usable_cpus
from waitcall.configuration.policy import (
    FIRST,
    LOOPBACK,
    default_policy,
    policy_weaknesses,
    read_policy,
    split_url,
)
from waitcall.configuration.redis_url import Address, check_authorities, check_client_certificate
from waitcall.domain.channel import Assurance, Dialect, Provider
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS, Policy

PREFIX = "WAITCALL_"
DEVELOPMENT_PREFIX = "dev-"
DEVELOPMENT_API_KEYS_SHA256 = frozenset(
    {
        "5ea555e22bdc26dce63bbadae0d85e348360692e82052a19fa8b92add83565a6",
        "5e85125f6a34c52bc2bbfb95d845dbae594e84a8f7123972d04b1741a9922671",
    }
)
"""Hashes of the keys in config/development.env, so that they open nothing anywhere else."""
SURFACES = ("api", "callback", "page")
LONGEST_SMSC_TIMEOUT_SECONDS = 25
"""Shorter than an order's lease on its number (service/waitcall/domain/verification.py)."""
SHORTEST_INBOX_POLL_SECONDS = 20
"""Three identical requests a minute are allowed (smsc-api.md, section 0)."""
MOST_WORKERS = 256
_SHORTEST_PEPPER = 32
_MOST_AT_ONCE = 2
"""Values of one secret while it is rotated: two keys of a client, secrets of the callback or of a webhook."""


class SettingsMistakes(Exception):
    """Everything that is wrong, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


class Secret:
    """Text whose repr is stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


# Readers of texts. A reader returns the value, or raises ValidationError, which never repeats the text.


def _whole(lowest: int, highest: int, *further: Callable[[int], None]) -> kinds.Integer:
    wrong = f"Must be a whole number between {lowest} and {highest}."
    inside = validate.Range(lowest, highest, error=wrong)
    return kinds.Integer(pre_load=_like(r"[0-9]{1,6}", wrong), validate=[inside, *further])


def _word(*words: str, becomes: Callable[[str], Any] = str) -> kinds.String:
    known = validate.OneOf(words, error="Must be one of {choices}.")
    return kinds.String(pre_load=str.lower, validate=known, post_load=becomes)


def _timeout() -> kinds.Float:
    like = _like(r"[0-9]{1,2}(\.[0-9]{1,3})?", "Must be seconds, for instance 5 or 2.5.")
    wrong = f"Must be over 0 and at most {LONGEST_SMSC_TIMEOUT_SECONDS} seconds."
    inside = validate.Range(0, LONGEST_SMSC_TIMEOUT_SECONDS, min_inclusive=False, error=wrong)
    return kinds.Float(pre_load=like, validate=inside)


def _text(read: Callable[[str], Any]) -> kinds.String:
    return kinds.String(post_load=read)


def _like(pattern: str, wrong: str) -> validate.Regexp:
    return validate.Regexp(rf"(?:{pattern})\Z", re.ASCII, error=wrong)


def _redis_url(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def _authorities(path: str) -> str:
    try:
        if path:
            check_authorities(path)
    except ValueError as error:
        raise ValidationError(str(error)) from error
    return path


def _installed(word: str) -> str:
    if word == "otlp" and find_spec("opentelemetry") is None:
        raise ValidationError("Needs the packages of waitcall[tracing].")
    return word


def _polls_seldom(seconds: int) -> None:
    if 0 < seconds < SHORTEST_INBOX_POLL_SECONDS:
        raise ValidationError(f"Must be 0 for never, or at least {SHORTEST_INBOX_POLL_SECONDS} seconds.")


def _base_urls(text: str) -> tuple[str, ...]:
    return tuple(_base_url(part.strip()) for part in text.split(","))


def _base_url(text: str) -> str:
    parts = split_url(text)
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValidationError("Each must be a URL, for instance https://smsc.ru/sys.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValidationError("http:// is for loopback only: the credentials travel unencrypted.")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValidationError("Base URLs must have no credentials, query or fragment.")
    return text.rstrip("/")


def _webhook_url(text: str) -> str:
    if text:
        like = r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)+/?(#[A-Za-z0-9=&,_-]+)?"
        _like(like, "Must be a URL with a path and no query: https://verify.example.org/callbacks/twilio.")(
            text
        )
        _base_url(text.partition("#")[0])
    return text


def _public_url(text: str) -> str:
    if text:
        like = r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?"
        _like(like, "Must be a URL, for instance https://verify.example.org.")(text)
    return _base_url(text) if text else ""


def _directory(text: str) -> str:
    if text and not Path(text).is_dir():
        raise ValidationError("Must be a directory.")
    return text


def _secret(text: str) -> Secret | None:
    return Secret(text) if text else None


def _pepper(text: str) -> Secret | None:
    if text and len(text) < _SHORTEST_PEPPER:
        raise ValidationError(f"Needs at least {_SHORTEST_PEPPER} characters.")
    return _secret(text)


def _secrets(count: str, wrong: str) -> kinds.String:
    """One secret, or two while it is rotated; ``count`` is that of their characters."""
    like = _like(rf"[A-Za-z0-9_-]{{{count}}}", wrong)

    def read(text: str) -> tuple[Secret, ...]:
        parts = text.split(",") if text else []
        if len(parts) > _MOST_AT_ONCE:
            raise ValidationError("At most two, while rotating.")
        return tuple(Secret(like(part)) for part in parts)

    return kinds.String(post_load=read)


def _public_keys(text: str) -> tuple[bytes, ...]:
    parts = text.split(",") if text else []
    if len(parts) > _MOST_AT_ONCE:
        raise ValidationError("At most two, while rotating.")
    like = _like(r"[A-Za-z0-9+/]{43}=", "Each is 32 bytes in base64, 44 characters.")
    return tuple(b64decode(like(part)) for part in parts)


def _api_keys(text: str) -> Mapping[str, str]:
    keys: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        client, _, digest = pair.strip().partition("=")
        if not client or not re.fullmatch(r"[0-9a-f]{64}", digest, re.ASCII):
            raise ValidationError("Must be client=sha256hex pairs; `waitcall keys new CLIENT` prints one.")
        if digest in keys:
            raise ValidationError("A key is listed twice.")
        keys[digest] = client
    clients = list(keys.values())
    if any(clients.count(client) > _MOST_AT_ONCE for client in clients):
        raise ValidationError("At most two keys per client, while rotating.")
    return keys


def _webhook_secrets(text: str) -> Mapping[str, tuple[Secret, ...]]:
    secrets: dict[str, tuple[Secret, ...]] = {}
    for pair in text.split(",") if text else ():
        name, _, secret = pair.strip().partition("=")
        if "/" not in name or not secret.startswith("whsec_"):
            raise ValidationError("Must be CLIENT/NAME=whsec_… pairs; `waitcall events secret` makes one.")
        try:
            key = b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError as error:
            raise ValidationError("A secret is whsec_ followed by base64.") from error
        if not 24 <= len(key) <= 64:  # noqa: PLR2004  Standard Webhooks, symmetric secrets
            raise ValidationError("A secret is 24 to 64 bytes long.")
        secrets[name] = (*secrets.get(name, ()), Secret(secret))
    if any(len(each) > _MOST_AT_ONCE for each in secrets.values()):
        raise ValidationError("At most two secrets per endpoint, while rotating.")
    return secrets


def _hosts(text: str) -> tuple[str, ...]:
    like = _like(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*", "Must be host names, comma-separated, without ports.")
    return tuple(like(part.strip().lower()) for part in text.split(",") if part.strip())


def _surfaces(text: str) -> frozenset[str]:
    words = frozenset(part.strip().lower() for part in text.split(","))
    if not words <= set(SURFACES):
        raise ValidationError(f"Must be one or more of {', '.join(SURFACES)}, comma-separated.")
    return words


def _bind(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host:
        raise ValidationError("Must be host:port.")
    if ":" in host and not (host.startswith("[") and host.endswith("]") and _is_ipv6(host[1:-1])):
        raise ValidationError("Must be host:port, an IPv6 address in brackets: [::1]:8080.")
    _whole(1, 65535).deserialize(port)
    return text


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Setting:
    """Declaration of one setting.

    Attributes:
        name: of the variable, without the prefix; that of the field in capitals where it is empty.
        reads: marshmallow field that loads the text.
        meaning: what it does, in Markdown.
        default: text where nothing is set; None where something must be.
        told: the default in words, where the text does not say it.
        found: finds the default on this machine, as a text.
        secret: the value is never shown.
        is_path: the text is the path of a file, and the variable with ``_FILE`` names that file, too.
        since: version that has it.
    """

    reads: kinds.Field[Any]
    meaning: str
    default: str | None = None
    name: str = ""
    told: str = ""
    found: Callable[[], str] | None = None
    secret: bool = False
    is_path: bool = False
    since: str = FIRST


def _setting(reads: kinds.Field[Any], meaning: str, default: str | None = None, **more: Any) -> Any:
    declared = Setting(reads, meaning, default, **more)
    return field(repr=not declared.secret, metadata={"setting": declared})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the operator. Durations are in seconds, binds are ``host:port``."""

    redis_url: Address = _setting(
        _text(_redis_url),
        "URL of Redis 7 or Valkey. Forms are `redis://`, `rediss://`, `unix://`, `redis+sentinel://h1,h2/name/db`, `redis+cluster://h1,h2`; the "
        "last two with TLS as `rediss+…`.",
        secret=True,
    )
    redis_username: str = _setting(
        kinds.String(), "User of the Redis servers, if the URL does not name it.", ""
    )
    redis_password: Secret | None = _setting(
        _text(_secret), "Password of the Redis servers, if it is not in the URL.", "", secret=True
    )
    redis_sentinel_username: str = _setting(kinds.String(), "User of the sentinels themselves.", "")
    redis_sentinel_password: Secret | None = _setting(
        _text(_secret),
        "Password of the sentinels themselves. The credentials in the URL are those of the servers.",
        "",
        secret=True,
    )
    redis_ca: str = _setting(
        _text(_authorities),
        "Path of a PEM file with certificate authorities for Redis and the sentinels, in addition to the system's. "
        "`WAITCALL_REDIS_CA_FILE` means the same; so with the next two.",
        "",
        is_path=True,
    )
    redis_cert: str = _setting(
        _text(_authorities),
        "Path of our client certificate (PEM) for Redis and the sentinels, followed by intermediate certificates.",
        "",
        is_path=True,
    )
    redis_key: str = _setting(
        kinds.String(),
        "Path of the private key (PEM) of `WAITCALL_REDIS_CERT`, if that file does not have it.",
        "",
        is_path=True,
    )
    redis_key_password: Secret | None = _setting(
        _text(_secret), "Password of that key, if it is encrypted.", "", secret=True
    )
    redis_min_replicas: int = _setting(
        _whole(0, 5),
        "The service answers 503 unless this many replicas have confirmed a write that it promises.",
        "0",
    )
    smsc_urls: tuple[str, ...] = _setting(
        _text(_base_urls),
        "Base URLs of the provider, in the order in which they are tried.",
        "https://smsc.ru/sys,https://www2.smsc.ru/sys",
    )
    smsc_login: str = _setting(
        kinds.String(),
        "Login at SMSC, with `WAITCALL_SMSC_PASSWORD`. Credentials are required if the policy's routing names `smsc`, or if it has "
        "codes, texts or captchas, which go through SMSC.",
        "",
        secret=True,
    )
    smsc_password: Secret | None = _setting(_text(_secret), "Password at SMSC.", "", secret=True)
    smsc_apikey: Secret | None = _setting(
        _text(_secret), "API key at SMSC, instead of login and password.", "", secret=True
    )
    smsc_timeout_seconds: float = _setting(
        _timeout(), "Most seconds for one order, all attempts included.", "5"
    )
    smsru_api_ids: tuple[Secret, ...] = _setting(
        _secrets("16,128", "Each needs 16 to 128 letters, digits, - and _."),
        "Key of the second provider, optionally `,other` that its callbacks may be signed with. Required if the policy's routing "
        "names `smsru`.",
        "",
        name="SMSRU_API_ID",
        secret=True,
    )
    smsru_url: str = _setting(_text(_base_url), "Base URL of the second provider.", "https://sms.ru")
    smsru_timeout_seconds: float = _setting(
        _timeout(),
        "Most seconds for one order there; at most 25 together with `WAITCALL_SMSC_TIMEOUT_SECONDS`.",
        "5",
    )
    callback_secrets: tuple[Secret, ...] = _setting(
        _secrets("16,", "Each needs 16 or more letters, digits, - and _."),
        "Secret that SMSC's callbacks are signed with, optionally `,previous`; 16 or more letters, digits, `-`, `_`.",
        "",
        told="required, unless neither numbers nor texts nor codes are SMSC's",
        secret=True,
    )
    callback_hash: str = _setting(
        _word("md5", "sha1", "crc32"),
        "Hash that callbacks are signed with. `crc32` is forgeable, and every start warns.",
        "sha1",
    )
    twilio_account_sid: str = _setting(
        kinds.String(pre_load=_like(r"(AC[0-9a-f]{32})?", "Must be AC and 32 hexadecimal digits.")),
        "Account at Twilio whose calls count. Required, with the next two, where `callback` is served and the policy's "
        "`[own_numbers]` has numbers of the dialect `twilio`.",
        "",
    )
    twilio_auth_tokens: tuple[Secret, ...] = _setting(
        _secrets("32,128", "Each needs 32 to 128 letters, digits, - and _."),
        "Auth token of that account, which signs its webhooks, optionally `,other` while it is rotated.",
        "",
        secret=True,
    )
    twilio_url: str = _setting(
        _text(_webhook_url),
        "URL of the webhook `/callbacks/twilio` exactly as it is configured at Twilio, without a query. The signature covers it.",
        "",
    )
    telnyx_public_keys: tuple[bytes, ...] = _setting(
        _text(_public_keys),
        "Public key of the account at Telnyx in base64, optionally `,next` while it is rotated. Required where `callback` is served "
        "and the policy's `[own_numbers]` has numbers of the dialect `telnyx`.",
        "",
    )
    telnyx_api_key: Secret | None = _setting(
        kinds.String(
            pre_load=_like(r"([A-Za-z0-9_-]{16,})?", "Needs 16 or more letters, digits, - and _."),
            post_load=_secret,
        ),
        "API key at Telnyx, for the command that refuses a call. Only Call Control needs it; TeXML does not.",
        "",
        secret=True,
    )
    telnyx_api_url: str = _setting(_text(_base_url), "Base URL of Telnyx's API.", "https://api.telnyx.com")
    sip_secrets: tuple[Secret, ...] = _setting(
        _secrets("32,", "Each needs 32 or more letters, digits, - and _."),
        "Secret that the SIP proxy signs its callbacks with, optionally `,previous`; 32 or more letters, digits, `-`, `_`. Required "
        "where `callback` is served and the policy's `[own_numbers]` has numbers of the dialect `sip`.",
        "",
        secret=True,
    )
    api_keys: Mapping[str, str] = _setting(
        _text(_api_keys),
        "`client=sha256hex` pairs, comma-separated, two per client while rotating; `waitcall keys new CLIENT` makes one.",
        "",
        told="required with the surface `api`",
        secret=True,
    )
    key_pepper: Secret = _setting(
        _text(_pepper), "Secret that hashes numbers into key names; 32 or more characters.", secret=True
    )
    key_pepper_other: Secret | None = _setting(
        _text(_pepper), "Second pepper, while the pepper is rotated.", "", secret=True
    )
    policy: Policy = _setting(
        _text(read_policy),
        "Path of the policy file.",
        "",
        told="`config/policy.toml`, or else the same file in the package",
        found=default_policy,
    )
    public_url: str = _setting(
        _text(_public_url),
        "URL of the public listener as browsers reach it. Required if a client of the policy has hosted pages.",
        "",
    )
    page_locales: str = _setting(
        _text(_directory),
        "Directory of `TAG.toml` files with more languages of the hosted page, or other words.",
        "",
    )
    window_seconds: int = _setting(
        _whole(SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS),
        "Window for the call, if a create names none.",
        str(LONGEST_WINDOW_SECONDS),
    )
    surfaces: frozenset[str] = _setting(
        _text(_surfaces),
        "Surfaces that this process tree serves in addition to operations: `api`, `callback` (with the hosted page), `page` (only the hosted page). "
        "Without `api` it needs no API keys, credentials of SMSC or webhook secrets.",
        "api,callback",
    )
    api_bind: str = _setting(
        _text(_bind),
        "Listener of the internal API. `[::]:8080` is every address, also IPv4.",
        "127.0.0.1:8080",
    )
    callback_bind: str = _setting(_text(_bind), "Listener of callbacks and hosted pages.", "127.0.0.1:8081")
    ops_bind: str = _setting(_text(_bind), "Listener of probes and metrics.", "127.0.0.1:9090")
    worker_ops_bind: str = _setting(
        _text(_bind), "Listener of probes and metrics of `waitcall worker`.", "127.0.0.1:9091"
    )
    drain_seconds: int = _setting(
        _whole(0, 20),
        "Seconds after SIGTERM in which `/readyz` answers 503 while all requests are still served.",
        "3",
    )
    max_orders: int = _setting(
        _whole(1, 20_000),
        "Most creates of one worker process that wait for the provider at the same time; the next gets 503 at once.",
        "1000",
    )
    max_waiting: int = _setting(
        _whole(1, 20_000),
        "Most long polls of one worker process at the same time; the next gets the current state at once.",
        "5000",
    )
    inbox_poll_seconds: int = _setting(
        _whole(0, 300, _polls_seldom),
        "Seconds between two polls of the provider's inbox, at least 20; with `0` calls with lost callbacks are not found.",
        "25",
    )
    inbox_assurance: Assurance = _setting(
        _word(Assurance.ASSERTED, Assurance.NETWORK, becomes=Assurance),
        "Highest assurance of a call that only the provider's inbox shows. Set it to `network` after "
        "`waitcall doctor` has shown that this account's records tell calls from texts. Every start warns then.",
        "asserted",
    )
    low_balance: Decimal = _setting(
        kinds.Decimal(
            pre_load=_like(r"[0-9]{1,9}(\.[0-9]{1,2})?", "Must be an amount, for instance 100 or 99.50.")
        ),
        "Warn below this balance, in the account's currency.",
        "100",
    )
    webhook_secrets: Mapping[str, tuple[Secret, ...]] = _setting(
        _text(_webhook_secrets),
        "`CLIENT/NAME=whsec_…` pairs, one per webhook of the policy, two while rotating; `waitcall events secret CLIENT/NAME` "
        "makes one.",
        "",
        secret=True,
    )
    trusted_hosts: tuple[str, ...] = _setting(
        _text(_hosts),
        "Names that the `Host` header may have on the API and callback listeners, comma-separated, without ports; `.example.org` "
        "includes its subdomains.",
        "",
        told="any",
    )
    trusted_hops: int = _setting(
        _whole(0, 10),
        "Number of your own proxies in front of the service. Their `X-Forwarded-For`, `-Host` and `-Proto` count; with 0 they are "
        "ignored.",
        "0",
    )
    workers: int = _setting(
        _whole(1, MOST_WORKERS),
        "Worker processes. They run on gevent, so a waiting request needs no thread.",
        "",
        told="the number of CPUs that the affinity and the cgroups' quotas allow",
        found=lambda: str(min(usable_cpus(), MOST_WORKERS)),
    )
    log_level: str = _setting(
        _word("debug", "info", "warning", "error", "critical"), "Lowest level of log lines.", "info"
    )
    tracing: str = _setting(
        _word("off", "otlp", becomes=_installed),
        "`otlp` sends spans of creates, orders, callbacks, reads and consumes by OpenTelemetry; needs `waitcall[tracing]` and "
        "`OTEL_EXPORTER_OTLP_ENDPOINT`. Log lines have their `trace_id`.",
        "off",
    )

    @property
    def redis(self) -> Address:
        """Where Redis is and how to get in: the URL, with the further settings."""
        passwords = (self.redis_password, self.redis_sentinel_password, self.redis_key_password)
        servers, sentinels, key = (each.reveal() if each else None for each in passwords)
        return replace(
            self.redis_url,
            username=self.redis_username or self.redis_url.username,
            password=servers or self.redis_url.password,
            sentinel_username=self.redis_sentinel_username or None,
            sentinel_password=sentinels,
            ca=self.redis_ca,
            cert=self.redis_cert,
            key=self.redis_key,
            key_password=key,
        )

    @property
    def smsc_credentials(self) -> Mapping[str, Secret]:
        """Credentials by SMSC's names of them; none where nothing needs them."""
        if self.smsc_apikey:
            return {"apikey": self.smsc_apikey}
        return {"login": Secret(self.smsc_login), "psw": self.smsc_password} if self.smsc_password else {}

    @property
    def binds(self) -> list[str]:
        """Addresses to listen on: only those of the surfaces that are served."""
        return [getattr(self, name.lower()) for name in _listeners(self.surfaces)]

    @property
    def local_callback_url(self) -> str:
        """URL of SMSC's callback handler, as this machine reaches it."""
        host, _, port = self.callback_bind.rpartition(":")
        # A connection to "every address" fails where the kernel has no IPv6.
        every = ("[::]", "0.0.0.0")  # nosec B104  # only compared with
        return f"http://{'localhost' if host in every else host}:{port}/callbacks/smsc"


def _declared() -> Iterator[tuple[str, str, Setting]]:
    for each in fields(Settings):
        declared: Setting = each.metadata["setting"]
        yield each.name, declared.name or each.name.upper(), declared


SETTINGS: Mapping[str, Setting] = {name: declared for _, name, declared in _declared()}
"""Declarations by the names of variables, without the prefix."""
_SCHEMA = Schema.from_dict({name: each.reads for name, each in SETTINGS.items()})()


def load_settings(environ: Mapping[str, str], *, development: bool = False) -> Settings:
    """Read the environment.

    Args:
        environ: for instance ``os.environ``. Names other than ours are ignored, because Kubernetes
            sets ``WAITCALL_PORT`` and the like for a Service of that name.
        development: admit the secrets of ``make run``.

    Raises:
        SettingsMistakes
    """
    texts: dict[str, str] = {}
    mistakes: list[str] = []
    for name, declared in SETTINGS.items():
        try:
            texts[name] = _given(environ, name, declared)
        except ValueError as error:
            mistakes.append(f"{PREFIX}{error}")
    try:
        # What is missing is named already.
        read: dict[str, Any] = _SCHEMA.load(texts, partial=True)
    except ValidationError as error:
        read = cast("dict[str, Any]", error.valid_data)
        mistakes += [
            f"{PREFIX}{name}: {each}"
            for name, wrong in cast("dict[str, list[str]]", error.messages).items()
            for each in wrong
        ]
    mistakes += _development_secrets(read) if not development else ()
    mistakes += _contradictions(read)
    if mistakes:
        raise SettingsMistakes(mistakes)
    read["POLICY"] = _with_picture(read["POLICY"], read["SMSC_URLS"][0])
    return Settings(**{attribute: read[name] for attribute, name, _ in _declared()})


def _with_picture(policy: Policy, base_url: str) -> Policy:
    """Let the captcha's picture come from the account's host, which checks what the visitor types, unless the policy names it."""
    rule = policy.captcha
    if rule is None or rule.image_url:
        return policy
    return replace(policy, captcha=replace(rule, image_url=f"{base_url}/imgcode.php"))


def in_effect(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Variable, source and text of each sound setting, stars for a secret."""
    for name, declared in SETTINGS.items():
        sources = {"environment": PREFIX + name, "file": f"{PREFIX}{name}_FILE"}
        source = next((each for each, variable in sources.items() if environ.get(variable)), "default")
        text = _given(environ, name, declared)
        yield PREFIX + name, source, "***" if text and declared.secret else text


def _given(environ: Mapping[str, str], name: str, declared: Setting) -> str:
    """Return the text of a setting: as it is set, of its file, or the default. ValueError says what is wrong."""
    text, path = environ.get(PREFIX + name), environ.get(f"{PREFIX}{name}_FILE")
    if path and text:
        raise ValueError(f"{name}: set directly and by {PREFIX}{name}_FILE; use one.")
    if path and declared.is_path:
        return path
    if path:
        try:
            text = Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise ValueError(f"{name}_FILE: cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}_FILE: cannot be read: not UTF-8.") from error
    text = text or (declared.found() if declared.found else declared.default)
    if text is None:
        raise ValueError(f"{name}: required.")
    return text


def _development_secrets(read: Mapping[str, Any]) -> Iterator[str]:
    for name, value in read.items():
        secrets = [
            each for each in (value if isinstance(value, tuple) else [value]) if isinstance(each, Secret)
        ]
        if any(each.reveal().startswith(DEVELOPMENT_PREFIX) for each in secrets):
            yield f"{PREFIX}{name}: a development secret, refused outside make run."
    if DEVELOPMENT_API_KEYS_SHA256 & set(read.get("API_KEYS", ())):
        yield f"{PREFIX}API_KEYS: a development key, refused outside make run."


def _contradictions(read: Mapping[str, Any]) -> Iterator[str]:
    """Find what is wrong between settings. ``read`` lacks those that are wrong by themselves."""
    policy: Policy | None = read.get("POLICY")
    surfaces = read.get("SURFACES", frozenset())
    # A tree that strangers reach holds no key of a client and no credential that only orders and webhooks need.
    inner = "api" in surfaces
    if inner and read.get("API_KEYS") == {}:
        yield f"{PREFIX}API_KEYS: required."
    yield from _credentials(policy, read, inner=inner)
    if read.get("CALLBACK_SECRETS") == () and (policy is not None and Provider.SMSC in policy.providers):
        yield f"{PREFIX}CALLBACK_SECRETS: required."
    yield from _redis(read)
    peppers = [read[name].reveal() for name in ("KEY_PEPPER", "KEY_PEPPER_OTHER") if read.get(name)]
    if len(set(peppers)) != len(peppers):
        yield f"{PREFIX}KEY_PEPPER_OTHER: the same as {PREFIX}KEY_PEPPER."
    names = _listeners(surfaces)
    # The worker's listener has a process of its own.
    ports = [read[name].rpartition(":")[2] for name in names if name in read]
    if len(set(ports)) != len(ports):
        yield f"{', '.join(PREFIX + name for name in names)}: each needs its own port."
    if policy is not None:
        yield from _beside_policy(policy, read, surfaces)


_IN_URLS = {
    "REDIS_USERNAME": "username",
    "REDIS_PASSWORD": "password",  # nosec B105  # the name of a setting
    "REDIS_CA": "ssl_ca_certs",
    "REDIS_CERT": "ssl_certfile",
    "REDIS_KEY": "ssl_keyfile",
    "REDIS_KEY_PASSWORD": "ssl_password",  # nosec B105  # the name of a setting
}
"""Names that the URL of Redis has for settings."""
_NEEDED = {
    "REDIS_KEY": "REDIS_CERT",
    "REDIS_KEY_PASSWORD": "REDIS_CERT",  # nosec B105  # the name of a setting
    "REDIS_SENTINEL_USERNAME": "REDIS_SENTINEL_PASSWORD",
}
"""Settings of Redis that mean nothing without another one."""


def _redis(read: Mapping[str, Any]) -> Iterator[str]:
    address: Address | None = read.get("REDIS_URL")
    if address is not None:
        yield from _beside_url(address, read)
    for name, needed in _NEEDED.items():
        if read.get(name) and read.get(needed, "unknown") in ("", None):
            yield f"{PREFIX}{name}: needs {PREFIX}{needed}."
    if (cert := read.get("REDIS_CERT")) and "REDIS_KEY" in read:
        password = read.get("REDIS_KEY_PASSWORD")
        try:
            check_client_certificate(cert, read["REDIS_KEY"], password.reveal() if password else None)
        except ValueError as error:
            yield f"{PREFIX}{'REDIS_KEY' if read['REDIS_KEY'] else 'REDIS_CERT'}: {error}"


def _beside_url(address: Address, read: Mapping[str, Any]) -> Iterator[str]:
    for name in ("REDIS_CA", "REDIS_CERT", "REDIS_KEY", "REDIS_KEY_PASSWORD"):
        if read.get(name) and not address.tls:
            yield f"{PREFIX}{name}: {PREFIX}REDIS_URL has no TLS; with TLS it begins with rediss."
    for name in ("REDIS_SENTINEL_USERNAME", "REDIS_SENTINEL_PASSWORD"):
        if read.get(name) and not address.service:
            yield f"{PREFIX}{name}: {PREFIX}REDIS_URL names no sentinels."
    for name, option in _IN_URLS.items():
        if read.get(name) and option in address.given:
            yield f"{PREFIX}{name}: {PREFIX}REDIS_URL has it too; use one of them."


def _credentials(policy: Policy | None, read: Mapping[str, Any], *, inner: bool) -> Iterator[str]:
    login, password, apikey = (read.get(name) for name in ("SMSC_LOGIN", "SMSC_PASSWORD", "SMSC_APIKEY"))
    if bool(login) == bool(password) and bool(apikey) != bool(login):
        return
    # Nobody knows what an unreadable policy needs.
    needed = policy is not None and Provider.SMSC in policy.providers and inner
    contradictory = policy is None or Provider.SMSC in policy.providers
    if needed or (contradictory and (login or password or apikey)):
        yield f"{PREFIX}SMSC_LOGIN and {PREFIX}SMSC_PASSWORD, or {PREFIX}SMSC_APIKEY alone: required."


def _beside_policy(policy: Policy, read: Mapping[str, Any], surfaces: frozenset[str]) -> Iterator[str]:
    for client in sorted(set(read.get("API_KEYS", {}).values()) - set(policy.clients)):
        yield f"{PREFIX}API_KEYS: client {client!r} is not in the policy."
    configured = {endpoint.name for client in policy.clients.values() for endpoint in client.webhooks}
    if (secrets := read.get("WEBHOOK_SECRETS")) is not None:
        for name in sorted(configured - set(secrets) if "api" in surfaces else ()):
            yield f"{PREFIX}WEBHOOK_SECRETS: none for the policy's webhook {name!r}."
        for name in sorted(set(secrets) - configured):
            yield f"{PREFIX}WEBHOOK_SECRETS: {name!r} is no webhook of the policy."
    if Provider.SMSRU in policy.routing.providers and read.get("SMSRU_API_ID") == ():
        yield f"{PREFIX}SMSRU_API_ID: required, the policy's routing names smsru."
    yield from _of_dialects(policy, read, served="callback" in surfaces)
    # One that is wrong by itself counts for nothing here.
    budgets = [read.get(f"{provider.upper()}_TIMEOUT_SECONDS", 0.0) for provider in policy.routing.providers]
    if sum(budgets) > LONGEST_SMSC_TIMEOUT_SECONDS:
        yield (
            f"{PREFIX}SMSRU_TIMEOUT_SECONDS: with {PREFIX}SMSC_TIMEOUT_SECONDS at most "
            f"{LONGEST_SMSC_TIMEOUT_SECONDS}: one may follow the other."
        )
    if policy.has_pages and read.get("PUBLIC_URL") == "":
        yield f"{PREFIX}PUBLIC_URL: required, a client of the policy has hosted pages."
    if not policy.has_pages and surfaces & {"callback", "page"} == {"page"}:
        yield f"{PREFIX}SURFACES: page, but no client of the policy has hosted pages."


_OF_DIALECTS = {
    Dialect.TWILIO: ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKENS", "TWILIO_URL"),
    Dialect.TELNYX: ("TELNYX_PUBLIC_KEYS",),
    Dialect.SIP: ("SIP_SECRETS",),
}
"""Settings without which the calls to numbers of a dialect cannot be checked."""


def _of_dialects(policy: Policy, read: Mapping[str, Any], *, served: bool) -> Iterator[str]:
    used = set(policy.own_numbers.dialects.values())
    for dialect, names in _OF_DIALECTS.items():
        for name in names:
            # One that is wrong by itself is not in ``read``.
            if dialect in used and served and name in read and not read[name]:
                yield f"{PREFIX}{name}: required, the policy's own_numbers has numbers of the dialect {dialect}."
            if dialect not in used and read.get(name):
                yield f"{PREFIX}{name}: the policy's own_numbers has no numbers of the dialect {dialect}."
    if Dialect.TELNYX not in used and read.get("TELNYX_API_KEY"):
        yield f"{PREFIX}TELNYX_API_KEY: the policy's own_numbers has no numbers of the dialect {Dialect.TELNYX}."


def _listeners(surfaces: frozenset[str]) -> list[str]:
    """Settings of the listeners of some surfaces. Callbacks and the page share one; operations are everywhere."""
    public = ["CALLBACK_BIND"] if surfaces & {"callback", "page"} else []
    return [*(["API_BIND"] if "api" in surfaces else []), *public, "OPS_BIND"]


def weaknesses(settings: Settings) -> Iterator[str]:
    """Name in a sentence each what the settings and their policy allow and should not. Every start warns of each."""
    if settings.callback_hash == "crc32":
        yield "WAITCALL_CALLBACK_HASH=crc32 is forgeable: use sha1 or md5"
    if settings.inbox_assurance is not Assurance.ASSERTED:
        yield (
            f"WAITCALL_INBOX_ASSURANCE={settings.inbox_assurance.value}: a forged text may prove as much as a call, "
            "unless this account's records were checked (waitcall doctor)"
        )
    refuses = "callback" not in settings.surfaces or settings.telnyx_api_key is not None
    if settings.telnyx_public_keys and not refuses:
        yield (
            "WAITCALL_TELNYX_API_KEY is not set: calls through Telnyx Call Control are not rejected and keep ringing. "
            "TeXML needs no key"
        )
    yield from policy_weaknesses(settings.policy)


# Last good settings and number of reloads, which gunicorn's master shares with the workers that it forks. Workers do not
# read the environment, the files of secrets or the policy themselves. So a worker that replaces a dead one has the same
# settings as the other workers, even if the files have changed meanwhile.
#
# _reloads is shared memory of the master and all workers. _own is copied at a fork, so it keeps the value of that time,
# and a worker that is still loading while the master reloads counts as replaced, too.
_reloads = mmap(-1, 1)
_own = [0]
_checked: list[Settings] = []


def keep_settings(settings: Settings) -> None:
    """Keep the settings for all workers that are forked from now on."""
    _checked[:] = [settings]


def kept_settings() -> Settings | None:
    """Return the last good settings; None while the master starts, and in a process without such a master."""
    return _checked[0] if _checked else None


def announce_reload() -> None:
    """Tell the running workers that new workers replace them."""
    _own[0] = _reloads[0] = (_reloads[0] + 1) % 256


def is_replaced() -> bool:
    """Tell whether the master has reloaded since this worker was forked.

    If it has not, and the worker is told to stop, then the whole replica stops.
    """
    return _own[0] != _reloads[0]
