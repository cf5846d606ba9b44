"""What a setting's text may be: each reader returns the value, or raises ValueError without repeating it."""

import os
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from service.domain.assurance import Assurance
from service.redis_url import Address

DEVELOPMENT_API_KEYS_SHA256 = frozenset(
    {
        "5ea555e22bdc26dce63bbadae0d85e348360692e82052a19fa8b92add83565a6",
        "5e85125f6a34c52bc2bbfb95d845dbae594e84a8f7123972d04b1741a9922671",
    }
)
"""Of the keys in config/development.env, so that they open nothing anywhere else."""
SURFACES = ("api", "callback", "page")
LONGEST_SMSC_TIMEOUT_SECONDS = 25
"""Shorter than an order's lease on its number (service/domain/verification.py)."""
SHORTEST_INBOX_POLL_SECONDS = 20
"""Three identical requests a minute are allowed (smsc-api.md, section 0)."""
_SHORTEST_CALLBACK_SECRET = 16
_SHORTEST_PEPPER = 32
_MOST_KEYS_OF_A_CLIENT = 2
_MOST_CALLBACK_SECRETS = 2
_MOST_WEBHOOK_SECRETS = 2


class Secret:
    """A text whose repr is stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def one_of(*words: str) -> Callable[[str], str]:
    """One of some words, in any case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"Must be one of {', '.join(words)}.")
        return text.lower()

    return read


def inbox_assurance(text: str) -> Assurance:
    """The most that a record of the provider's inbox may prove."""
    return Assurance(one_of(Assurance.ASSERTED, Assurance.NETWORK)(text))


def tracing(text: str) -> str:
    """``off``, or ``otlp`` where its packages are installed."""
    word = one_of("off", "otlp")(text)
    if word == "otlp" and find_spec("opentelemetry") is None:
        raise ValueError("Needs the packages of waitcall[tracing].")
    return word


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not lowest <= int(text) <= highest:
            raise ValueError(f"Must be a whole number between {lowest} and {highest}.")
        return int(text)

    return read


def workers(text: str) -> int:
    """How many worker processes; one for each core where nothing is said."""
    return whole(1, 256)(text or str(len(os.sched_getaffinity(0))))


def timeout(text: str) -> float:
    """Seconds of one order."""
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", text, re.ASCII):
        raise ValueError("Must be seconds, for instance 5 or 2.5.")
    if not 0 < float(text) <= LONGEST_SMSC_TIMEOUT_SECONDS:
        raise ValueError(f"Must be over 0 and at most {LONGEST_SMSC_TIMEOUT_SECONDS} seconds.")
    return float(text)


def inbox_poll(text: str) -> int:
    """Seconds between two polls of the inbox; 0 for none."""
    seconds = whole(0, 300)(text)
    if 0 < seconds < SHORTEST_INBOX_POLL_SECONDS:
        raise ValueError(f"Must be 0 for never, or at least {SHORTEST_INBOX_POLL_SECONDS} seconds.")
    return seconds


def money(text: str) -> Decimal:
    """An amount in the account's currency."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,2})?", text, re.ASCII):
        raise ValueError("Must be an amount, for instance 100 or 99.50.")
    return Decimal(text)


def webhook_secrets(text: str) -> Mapping[str, tuple[Secret, ...]]:
    """Of each endpoint, ``CLIENT/NAME``, its current secret and perhaps another while rotating."""
    secrets: dict[str, tuple[Secret, ...]] = {}
    for pair in text.split(",") if text else ():
        name, _, secret = pair.strip().partition("=")
        if "/" not in name or not secret.startswith("whsec_"):
            raise ValueError("Must be CLIENT/NAME=whsec_… pairs; `waitcall events secret` makes one.")
        try:
            key = b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError as error:
            raise ValueError("A secret is base64 behind whsec_.") from error
        if not 24 <= len(key) <= 64:  # noqa: PLR2004  Standard Webhooks, symmetric secrets
            raise ValueError("A secret is 24 to 64 bytes long.")
        secrets[name] = (*secrets.get(name, ()), Secret(secret))
    if any(len(each) > _MOST_WEBHOOK_SECRETS for each in secrets.values()):
        raise ValueError("At most two secrets per endpoint, while rotating.")
    return secrets


def redis_url(text: str) -> Address:
    """One of the five forms of a Redis URL."""
    return Address.parse(text)


def smsc_urls(text: str) -> tuple[str, ...]:
    """Base URLs of the provider, in order."""
    return tuple(smsc_url(part.strip()) for part in text.split(","))


def smsc_url(text: str) -> str:
    """One base URL: https, or loopback."""
    parts = urlsplit(text)
    _ = parts.port  # raises ValueError by itself
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValueError("Each must be a URL, for instance https://smsc.ru/sys.")
    if parts.scheme == "http" and not loopback:
        raise ValueError("http:// is for loopback only: the credentials travel in the clear.")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("Base URLs carry no credentials, query or fragment.")
    return text.rstrip("/")


def api_ids(text: str) -> tuple[Secret, ...]:
    """The key that orders are placed with, and one more that callbacks may be signed with; none at all."""
    parts = text.split(",") if text else []
    if len(parts) > _MOST_CALLBACK_SECRETS:
        raise ValueError("At most the current and the other key.")
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{16,128}", part, re.ASCII) for part in parts):
        raise ValueError("Each needs 16 to 128 letters, digits, - and _.")
    return tuple(Secret(part) for part in parts)


def public_url(text: str) -> str:
    """The public surface as browsers reach it, a path in front of ours included; or nothing."""
    if text and not re.fullmatch(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?", text, re.ASCII
    ):
        raise ValueError("Must be a URL, for instance https://verify.example.org.")
    return smsc_url(text) if text else ""


def directory(text: str) -> str:
    """A directory that is there; or nothing."""
    if text and not Path(text).is_dir():
        raise ValueError("Must be a directory.")
    return text


def callback_secrets(text: str) -> tuple[Secret, ...]:
    """The current secret, and the previous one while rotating."""
    parts = text.split(",")
    if len(parts) > _MOST_CALLBACK_SECRETS:
        raise ValueError("At most the current and the previous secret.")
    for part in parts:
        if len(part) < _SHORTEST_CALLBACK_SECRET:
            raise ValueError(f"Each needs at least {_SHORTEST_CALLBACK_SECRET} characters.")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", part, re.ASCII):
            raise ValueError("The provider takes letters, digits, - and _ only.")
    return tuple(Secret(part) for part in parts)


def api_keys(text: str) -> Mapping[str, str]:
    """Hash of a key to its client."""
    keys: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        client, _, digest = pair.strip().partition("=")
        if not client or not re.fullmatch(r"[0-9a-f]{64}", digest, re.ASCII):
            raise ValueError("Must be client=sha256hex pairs; `waitcall keys new CLIENT` prints one.")
        if digest in keys:
            raise ValueError("One key stands twice.")
        keys[digest] = client
    clients = list(keys.values())
    if any(clients.count(client) > _MOST_KEYS_OF_A_CLIENT for client in clients):
        raise ValueError("At most two keys per client, while rotating.")
    return keys


def pepper(text: str) -> Secret:
    """The secret that hashes numbers."""
    if len(text) < _SHORTEST_PEPPER:
        raise ValueError(f"Needs at least {_SHORTEST_PEPPER} characters.")
    return Secret(text)


def optional_pepper(text: str) -> Secret | None:
    """The pepper that is being rotated to, or from."""
    return pepper(text) if text else None


def hosts(text: str) -> tuple[str, ...]:
    """Names of ours, without a port; one that begins with a dot stands for its subdomains too."""
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names:
        if not re.fullmatch(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*", name, re.ASCII):
            raise ValueError("Must be host names, comma-separated, without ports.")
    return names


def surfaces(text: str) -> frozenset[str]:
    """Surfaces that a process tree serves: ``api``, ``callback``, ``page``."""
    words = frozenset(part.strip().lower() for part in text.split(","))
    if not words <= set(SURFACES):
        raise ValueError(f"Must be one or more of {', '.join(SURFACES)}, comma-separated.")
    return words


def of_listeners(surfaces: frozenset[str], api: str, callback: str, ops: str) -> list[str]:
    """Pick what belongs to the listeners of some surfaces. Callbacks and the page share one; operations are everywhere."""
    public = [callback] if surfaces & {"callback", "page"} else []
    return [*([api] if "api" in surfaces else []), *public, ops]


def bind(text: str) -> str:
    """``host:port``."""
    host, separator, port = text.rpartition(":")
    if not separator or not host:
        raise ValueError("Must be host:port.")
    whole(1, 65535)(port)
    return text
