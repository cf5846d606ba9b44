"""The environment as frozen settings; every mistake is reported at once, by name, and without the value."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from service.domain.policy import LONGEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS, Policy
from service.policy_file import PolicyMistakes, read_policy
from service.redis_url import Address

PREFIX = "WAITCALL_"
DEVELOPMENT_PREFIX = "dev-"
DEVELOPMENT_API_KEY_SHA256 = "5ea555e22bdc26dce63bbadae0d85e348360692e82052a19fa8b92add83565a6"
"""Of the key in config/development.env, so that it opens nothing anywhere else."""

HASHES = ("md5", "sha1", "crc32")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
NAMES = (
    "REDIS_URL",
    "SMSC_URLS",
    "SMSC_LOGIN",
    "SMSC_PASSWORD",
    "SMSC_APIKEY",
    "SMSC_TIMEOUT_SECONDS",
    "CALLBACK_SECRETS",
    "CALLBACK_HASH",
    "API_KEYS",
    "KEY_PEPPER",
    "POLICY",
    "WINDOW_SECONDS",
    "API_BIND",
    "CALLBACK_BIND",
    "OPS_BIND",
    "WORKERS",
    "LOG_LEVEL",
)
LONGEST_SMSC_TIMEOUT_SECONDS = 25
"""Shorter than an order's lease on its number (service/domain/verification.py)."""
_SECRETS = ("SMSC_PASSWORD", "SMSC_APIKEY", "CALLBACK_SECRETS", "KEY_PEPPER")
_SHORTEST_CALLBACK_SECRET = 16
_SHORTEST_PEPPER = 32
_MOST_KEYS_OF_A_CLIENT = 2
_MOST_CALLBACK_SECRETS = 2

T = TypeVar("T")


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


class SettingsMistakes(Exception):
    """Everything that is wrong, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator set. Durations in seconds, binds as ``host:port``."""

    redis_url: Address
    smsc_urls: tuple[str, ...]
    smsc_credentials: Mapping[str, Secret]
    smsc_timeout_seconds: float
    callback_secrets: tuple[Secret, ...]
    callback_hash: str
    api_keys: Mapping[str, str] = field(repr=False)
    key_pepper: Secret
    policy: Policy
    window_seconds: int
    api_bind: str
    callback_bind: str
    ops_bind: str
    workers: int
    log_level: str


def load_settings(environ: Mapping[str, str], *, development: bool = False) -> Settings:
    """Read the environment.

    Args:
        environ: for instance ``os.environ``. Names other than ours are ignored, because Kubernetes
            sets ``WAITCALL_PORT`` and the like for a Service of that name.
        development: admit the secrets of ``make run``.

    Raises:
        SettingsMistakes
    """
    return _Reader(environ, development=development).read()


class _Reader:
    def __init__(self, environ: Mapping[str, str], *, development: bool) -> None:
        self._development = development
        self._mistakes: list[str] = []
        self._given = {name: value for name in NAMES if (value := self._value(environ, name))}

    def read(self) -> Settings:
        for name in _SECRETS:
            self._refuse_development_secret(name)
        policy = self._policy()
        values: dict[str, Any] = {
            "redis_url": self._get("REDIS_URL", _redis_url),
            "smsc_urls": self._get("SMSC_URLS", _smsc_urls, "https://smsc.ru/sys,https://www2.smsc.ru/sys"),
            "smsc_credentials": self._credentials(),
            "smsc_timeout_seconds": self._get("SMSC_TIMEOUT_SECONDS", _timeout, "5"),
            "callback_secrets": self._get("CALLBACK_SECRETS", _callback_secrets),
            "callback_hash": self._get("CALLBACK_HASH", _one_of(HASHES), "sha1"),
            "api_keys": self._get("API_KEYS", lambda text: _api_keys(text, development=self._development)),
            "key_pepper": self._get("KEY_PEPPER", _pepper),
            "policy": policy,
            "window_seconds": self._get("WINDOW_SECONDS", _window, str(LONGEST_WINDOW_SECONDS)),
            "api_bind": self._get("API_BIND", _bind, "127.0.0.1:8080"),
            "callback_bind": self._get("CALLBACK_BIND", _bind, "127.0.0.1:8081"),
            "ops_bind": self._get("OPS_BIND", _bind, "127.0.0.1:9090"),
            "workers": self._get("WORKERS", _workers, str(len(os.sched_getaffinity(0)))),
            "log_level": self._get("LOG_LEVEL", _one_of(LOG_LEVELS), "info"),
        }
        self._check_together(values)
        if self._mistakes:
            raise SettingsMistakes(self._mistakes)
        return Settings(**values)

    def _value(self, environ: Mapping[str, str], name: str) -> str | None:
        setting, by_file = PREFIX + name, f"{PREFIX}{name}_FILE"
        path = environ.get(by_file)
        if not path:
            return environ.get(setting)
        if environ.get(setting):
            self._mistakes.append(f"{setting}: set directly and by {by_file}; use one.")
            return None
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            self._mistakes.append(f"{by_file}: cannot be read: {reason}.")
            return None
        return text.removesuffix("\n").removesuffix("\r")

    def _get(self, name: str, read: Callable[[str], T], default: str | None = None) -> T | None:
        text = self._given.get(name, default)
        if text is None:
            if not any(mistake.startswith(PREFIX + name) for mistake in self._mistakes):
                self._mistakes.append(f"{PREFIX}{name}: required.")
            return None
        try:
            return read(text)
        except ValueError as error:
            self._mistakes.append(f"{PREFIX}{name}: {error}")
            return None

    def _credentials(self) -> Mapping[str, Secret] | None:
        login, password, apikey = (
            self._given.get(name) for name in ("SMSC_LOGIN", "SMSC_PASSWORD", "SMSC_APIKEY")
        )
        if apikey and not login and not password:
            return {"apikey": Secret(apikey)}
        if login and password and not apikey:
            return {"login": Secret(login), "psw": Secret(password)}
        self._mistakes.append(
            f"{PREFIX}SMSC_LOGIN and {PREFIX}SMSC_PASSWORD, or {PREFIX}SMSC_APIKEY alone: required.",
        )
        return None

    def _policy(self) -> Policy | None:
        try:
            return read_policy(self._given.get("POLICY", "config/policy.toml"))
        except PolicyMistakes as error:
            self._mistakes.extend(f"{PREFIX}POLICY: {mistake}" for mistake in error.mistakes)
            return None

    def _refuse_development_secret(self, name: str) -> None:
        parts = self._given.get(name, "").split(",")
        if not self._development and any(part.startswith(DEVELOPMENT_PREFIX) for part in parts):
            self._mistakes.append(f"{PREFIX}{name}: a development secret, refused outside make run.")

    def _check_together(self, values: Mapping[str, Any]) -> None:
        policy, api_keys = values["policy"], values["api_keys"]
        if policy is not None and api_keys is not None:
            for client in sorted(set(api_keys.values()) - set(policy.clients)):
                self._mistakes.append(f"{PREFIX}API_KEYS: client {client!r} is not in the policy.")
        binds = [values[name] for name in ("api_bind", "callback_bind", "ops_bind")]
        ports = [bind.rpartition(":")[2] for bind in binds if bind]
        if len(set(ports)) != len(ports):
            self._mistakes.append(
                f"{PREFIX}API_BIND, {PREFIX}CALLBACK_BIND, {PREFIX}OPS_BIND: each needs a port of its own.",
            )


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"Must be one of {', '.join(words)}.")
        return text.lower()

    return read


def _whole(text: str, lowest: int, highest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not lowest <= int(text) <= highest:
        raise ValueError(f"Must be a whole number between {lowest} and {highest}.")
    return int(text)


def _window(text: str) -> int:
    return _whole(text, SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS)


def _workers(text: str) -> int:
    return _whole(text, 1, 256)


def _timeout(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", text, re.ASCII):
        raise ValueError("Must be seconds, for instance 5 or 2.5.")
    if not 0 < float(text) <= LONGEST_SMSC_TIMEOUT_SECONDS:
        raise ValueError(f"Must be over 0 and at most {LONGEST_SMSC_TIMEOUT_SECONDS} seconds.")
    return float(text)


def _redis_url(text: str) -> Address:
    return Address.parse(text)


def _smsc_urls(text: str) -> tuple[str, ...]:
    return tuple(_smsc_url(part.strip()) for part in text.split(","))


def _smsc_url(text: str) -> str:
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


def _callback_secrets(text: str) -> tuple[Secret, ...]:
    parts = text.split(",")
    if len(parts) > _MOST_CALLBACK_SECRETS:
        raise ValueError("At most the current and the previous secret.")
    for part in parts:
        if len(part) < _SHORTEST_CALLBACK_SECRET:
            raise ValueError(f"Each needs at least {_SHORTEST_CALLBACK_SECRET} characters.")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", part, re.ASCII):
            raise ValueError("The provider takes letters, digits, - and _ only.")
    return tuple(Secret(part) for part in parts)


def _api_keys(text: str, *, development: bool) -> Mapping[str, str]:
    """Hash of a key to its client."""
    keys: dict[str, str] = {}
    for pair in text.split(","):
        client, _, digest = pair.strip().partition("=")
        if not client or not re.fullmatch(r"[0-9a-f]{64}", digest, re.ASCII):
            raise ValueError("Must be client=sha256hex pairs; `waitcall keys new CLIENT` prints one.")
        if digest in keys:
            raise ValueError("One key stands twice.")
        if digest == DEVELOPMENT_API_KEY_SHA256 and not development:
            raise ValueError("A development key, refused outside make run.")
        keys[digest] = client
    clients = list(keys.values())
    if any(clients.count(client) > _MOST_KEYS_OF_A_CLIENT for client in clients):
        raise ValueError("At most two keys per client, while rotating.")
    return keys


def _pepper(text: str) -> Secret:
    if len(text) < _SHORTEST_PEPPER:
        raise ValueError(f"Needs at least {_SHORTEST_PEPPER} characters.")
    return Secret(text)


def _bind(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not host:
        raise ValueError("Must be host:port.")
    _whole(port, 1, 65535)
    return text
