"""The environment as frozen settings; every mistake is reported at once, by name, and without the value."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from service import setting_values
from service.domain.assurance import Assurance
from service.domain.policy import LONGEST_WINDOW_SECONDS, Policy, Provider
from service.policy_file import PolicyMistakes, read_policy
from service.policy_weaknesses import policy_weaknesses
from service.redis_url import Address
from service.setting_values import Secret

PREFIX = "WAITCALL_"
DEVELOPMENT_PREFIX = "dev-"

HASHES = ("md5", "sha1", "crc32")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
NAMES = (
    "REDIS_URL",
    "REDIS_MIN_REPLICAS",
    "SMSC_URLS",
    "SMSC_LOGIN",
    "SMSC_PASSWORD",
    "SMSC_APIKEY",
    "SMSC_TIMEOUT_SECONDS",
    "SMSRU_API_ID",
    "SMSRU_URL",
    "SMSRU_TIMEOUT_SECONDS",
    "CALLBACK_SECRETS",
    "CALLBACK_HASH",
    "API_KEYS",
    "KEY_PEPPER",
    "KEY_PEPPER_OTHER",
    "POLICY",
    "PUBLIC_URL",
    "PAGE_LOCALES",
    "WINDOW_SECONDS",
    "SURFACES",
    "API_BIND",
    "CALLBACK_BIND",
    "OPS_BIND",
    "WORKER_OPS_BIND",
    "DRAIN_SECONDS",
    "MAX_ORDERS",
    "MAX_WAITING",
    "INBOX_POLL_SECONDS",
    "INBOX_ASSURANCE",
    "LOW_BALANCE",
    "WEBHOOK_SECRETS",
    "TRUSTED_HOSTS",
    "TRUSTED_HOPS",
    "WORKERS",
    "LOG_LEVEL",
    "TRACING",
)
_SECRETS = (
    "SMSC_PASSWORD",
    "SMSC_APIKEY",
    "SMSRU_API_ID",
    "CALLBACK_SECRETS",
    "KEY_PEPPER",
    "KEY_PEPPER_OTHER",
)

T = TypeVar("T")


class SettingsMistakes(Exception):
    """Everything that is wrong, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator set. Durations in seconds, binds as ``host:port``."""

    redis_url: Address
    redis_min_replicas: int
    smsc_urls: tuple[str, ...]
    smsc_credentials: Mapping[str, Secret]
    smsc_timeout_seconds: float
    smsru_api_ids: tuple[Secret, ...]
    smsru_url: str
    smsru_timeout_seconds: float
    callback_secrets: tuple[Secret, ...]
    callback_hash: str
    api_keys: Mapping[str, str] = field(repr=False)
    key_pepper: Secret
    key_pepper_other: Secret | None
    policy: Policy
    public_url: str
    page_locales: str
    window_seconds: int
    surfaces: frozenset[str]
    api_bind: str
    callback_bind: str
    ops_bind: str
    worker_ops_bind: str
    drain_seconds: int
    max_orders: int
    max_waiting: int
    inbox_poll_seconds: int
    inbox_assurance: Assurance
    low_balance: Decimal
    webhook_secrets: Mapping[str, tuple[Secret, ...]]
    trusted_hosts: tuple[str, ...]
    trusted_hops: int
    workers: int
    log_level: str
    tracing: str

    @property
    def binds(self) -> list[str]:
        """Addresses to listen on: only those of the surfaces that are served."""
        return setting_values.of_listeners(self.surfaces, self.api_bind, self.callback_bind, self.ops_bind)


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


def weaknesses(settings: Settings) -> Iterator[str]:
    """What the settings allow and should not, a sentence each."""
    if settings.callback_hash == "crc32":
        yield "WAITCALL_CALLBACK_HASH=crc32 is forgeable: use sha1 or md5"
    if settings.inbox_assurance is not Assurance.ASSERTED:
        yield (
            f"WAITCALL_INBOX_ASSURANCE={settings.inbox_assurance.value}: a forged text may prove as much as a call, "
            "unless this account's records were checked (waitcall doctor)"
        )
    yield from policy_weaknesses(settings.policy)


class _Reader:
    def __init__(self, environ: Mapping[str, str], *, development: bool) -> None:
        self._development = development
        self._mistakes: list[str] = []
        self._given = {name: value for name in NAMES if (value := self._value(environ, name))}
        self._surfaces = self._get("SURFACES", setting_values.surfaces, "api,callback")
        # A tree that strangers reach holds no key of a client and no credential that only orders and webhooks need.
        self._inner = self._surfaces is None or "api" in self._surfaces

    def read(self) -> Settings:
        for name in _SECRETS:
            self._refuse_development_secret(name)
        policy = self._policy()
        values: dict[str, Any] = {
            "redis_url": self._get("REDIS_URL", setting_values.redis_url),
            "redis_min_replicas": self._get("REDIS_MIN_REPLICAS", setting_values.replicas, "0"),
            "smsc_urls": self._get(
                "SMSC_URLS", setting_values.smsc_urls, "https://smsc.ru/sys,https://www2.smsc.ru/sys"
            ),
            "smsc_credentials": self._credentials(policy),
            "smsc_timeout_seconds": self._get("SMSC_TIMEOUT_SECONDS", setting_values.timeout, "5"),
            "smsru_api_ids": self._get("SMSRU_API_ID", setting_values.api_ids, ""),
            "smsru_url": self._get("SMSRU_URL", setting_values.smsc_url, "https://sms.ru"),
            "smsru_timeout_seconds": self._get("SMSRU_TIMEOUT_SECONDS", setting_values.timeout, "5"),
            "callback_secrets": self._get("CALLBACK_SECRETS", setting_values.callback_secrets),
            "callback_hash": self._get("CALLBACK_HASH", setting_values.one_of(HASHES), "sha1"),
            "api_keys": self._api_keys(),
            "key_pepper": self._get("KEY_PEPPER", setting_values.pepper),
            "key_pepper_other": self._get("KEY_PEPPER_OTHER", setting_values.optional_pepper, ""),
            "policy": policy,
            "public_url": self._get("PUBLIC_URL", setting_values.public_url, ""),
            "page_locales": self._get("PAGE_LOCALES", setting_values.directory, ""),
            "window_seconds": self._get("WINDOW_SECONDS", setting_values.window, str(LONGEST_WINDOW_SECONDS)),
            "surfaces": self._surfaces,
            "api_bind": self._get("API_BIND", setting_values.bind, "127.0.0.1:8080"),
            "callback_bind": self._get("CALLBACK_BIND", setting_values.bind, "127.0.0.1:8081"),
            "ops_bind": self._get("OPS_BIND", setting_values.bind, "127.0.0.1:9090"),
            "worker_ops_bind": self._get("WORKER_OPS_BIND", setting_values.bind, "127.0.0.1:9091"),
            "drain_seconds": self._get("DRAIN_SECONDS", setting_values.drain, "3"),
            "max_orders": self._get("MAX_ORDERS", setting_values.bulkhead, "1000"),
            "max_waiting": self._get("MAX_WAITING", setting_values.bulkhead, "5000"),
            "inbox_poll_seconds": self._get("INBOX_POLL_SECONDS", setting_values.inbox_poll, "25"),
            "inbox_assurance": self._get("INBOX_ASSURANCE", setting_values.inbox_assurance, "asserted"),
            "low_balance": self._get("LOW_BALANCE", setting_values.money, "100"),
            "webhook_secrets": self._get("WEBHOOK_SECRETS", setting_values.webhook_secrets, ""),
            "trusted_hosts": self._get("TRUSTED_HOSTS", setting_values.hosts, ""),
            "trusted_hops": self._get("TRUSTED_HOPS", setting_values.hops, "0"),
            "workers": self._get("WORKERS", setting_values.workers, str(len(os.sched_getaffinity(0)))),
            "log_level": self._get("LOG_LEVEL", setting_values.one_of(LOG_LEVELS), "info"),
            "tracing": self._get("TRACING", setting_values.tracing, "off"),
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
            told = (f"{PREFIX}{name}:", f"{PREFIX}{name}_FILE:")
            if not any(mistake.startswith(told) for mistake in self._mistakes):
                self._mistakes.append(f"{PREFIX}{name}: required.")
            return None
        try:
            return read(text)
        except ValueError as error:
            self._mistakes.append(f"{PREFIX}{name}: {error}")
            return None

    def _api_keys(self) -> Mapping[str, str] | None:
        def read(text: str) -> Mapping[str, str]:
            return setting_values.api_keys(text, development=self._development)

        return self._get("API_KEYS", read, None if self._inner else "")

    def _credentials(self, policy: Policy | None) -> Mapping[str, Secret] | None:
        login, password, apikey = (
            self._given.get(name) for name in ("SMSC_LOGIN", "SMSC_PASSWORD", "SMSC_APIKEY")
        )
        if apikey and not login and not password:
            return {"apikey": Secret(apikey)}
        if login and password and not apikey:
            return {"login": Secret(login), "psw": Secret(password)}
        if not self._inner and not (login or password or apikey):
            return {}
        if policy is not None and Provider.SMSC not in policy.providers:
            return {}
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
        if policy is not None and values["webhook_secrets"] is not None:
            self._check_webhooks(policy, values["webhook_secrets"])
        if policy is not None and values["smsru_api_ids"] is not None:
            self._check_routing(policy, values)
        if policy is not None and policy.has_pages and values["public_url"] == "":
            self._mistakes.append(f"{PREFIX}PUBLIC_URL: required, a client of the policy has hosted pages.")
        peppers = [values[name] for name in ("key_pepper", "key_pepper_other") if values[name]]
        if len({pepper.reveal() for pepper in peppers}) != len(peppers):
            self._mistakes.append(f"{PREFIX}KEY_PEPPER_OTHER: the same as {PREFIX}KEY_PEPPER.")
        self._check_surfaces(policy, values)

    def _check_surfaces(self, policy: Policy | None, values: Mapping[str, Any]) -> None:
        surfaces = values["surfaces"] or frozenset()
        if policy is not None and not policy.has_pages and surfaces & {"callback", "page"} == {"page"}:
            self._mistakes.append(f"{PREFIX}SURFACES: page, but no client of the policy has hosted pages.")
        # The worker's listener has a process of its own.
        names = setting_values.of_listeners(surfaces, "API_BIND", "CALLBACK_BIND", "OPS_BIND")
        ports = [bind.rpartition(":")[2] for name in names if (bind := values[name.lower()])]
        if len(set(ports)) != len(ports):
            told = ", ".join(PREFIX + name for name in names)
            self._mistakes.append(f"{told}: each needs a port of its own.")

    def _check_routing(self, policy: Policy, values: Mapping[str, Any]) -> None:
        routed = Provider.SMSRU in policy.routing.providers
        if routed and not values["smsru_api_ids"]:
            self._mistakes.append(f"{PREFIX}SMSRU_API_ID: required, the policy's routing names smsru.")
        timeouts = {Provider.SMSC: "smsc_timeout_seconds", Provider.SMSRU: "smsru_timeout_seconds"}
        together = [values[timeouts[each]] for each in policy.routing.providers]
        if None not in together and sum(together) > setting_values.LONGEST_SMSC_TIMEOUT_SECONDS:
            self._mistakes.append(
                f"{PREFIX}SMSRU_TIMEOUT_SECONDS: with {PREFIX}SMSC_TIMEOUT_SECONDS at most "
                f"{setting_values.LONGEST_SMSC_TIMEOUT_SECONDS}: one may follow the other.",
            )

    def _check_webhooks(self, policy: Policy, secrets: Mapping[str, tuple[Secret, ...]]) -> None:
        configured = {endpoint.name for client in policy.clients.values() for endpoint in client.webhooks}
        for name in sorted(configured - set(secrets) if self._inner else ()):
            self._mistakes.append(f"{PREFIX}WEBHOOK_SECRETS: none for the policy's webhook {name!r}.")
        for name in sorted(set(secrets) - configured):
            self._mistakes.append(f"{PREFIX}WEBHOOK_SECRETS: {name!r} is no webhook of the policy.")
