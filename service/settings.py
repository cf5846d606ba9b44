"""The environment as frozen settings; every mistake is reported at once, by name, and without the value."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from service import setting_values as values
from service.domain.assurance import Assurance
from service.domain.policy import LONGEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS, Policy, Provider
from service.policy_file import PolicyMistakes, read_policy
from service.policy_weaknesses import policy_weaknesses
from service.redis_url import Address
from service.setting_values import Secret

PREFIX = "WAITCALL_"
DEVELOPMENT_PREFIX = "dev-"

_CREDENTIALS = ("SMSC_LOGIN", "SMSC_PASSWORD", "SMSC_APIKEY")


class SettingsMistakes(Exception):
    """Everything that is wrong, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


def _read(
    read: Callable[[str], object],
    default: str | None = None,
    *,
    name: str | None = None,
    is_secret: bool = False,
) -> dict[str, Any]:
    """Declare how a setting is read.

    Args:
        read: from the text to the value; ValueError says what is wrong, without the text.
        default: text where nothing is set; None where something must be.
        name: in the environment, where it is not the field's.
        is_secret: whether its development value is refused elsewhere.
    """
    return {"read": read, "default": default, "name": name, "is_secret": is_secret}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the operator. Durations in seconds, binds as ``host:port``.

    A field with ``metadata`` is read from the variable of its own name, the other two by the reader.
    """

    redis_url: Address = field(metadata=_read(values.redis_url))
    redis_min_replicas: int = field(metadata=_read(values.whole(0, 5), "0"))
    smsc_urls: tuple[str, ...] = field(
        metadata=_read(values.smsc_urls, "https://smsc.ru/sys,https://www2.smsc.ru/sys")
    )
    smsc_credentials: Mapping[str, Secret]
    smsc_timeout_seconds: float = field(metadata=_read(values.timeout, "5"))
    smsru_api_ids: tuple[Secret, ...] = field(
        metadata=_read(values.api_ids, "", name="SMSRU_API_ID", is_secret=True)
    )
    smsru_url: str = field(metadata=_read(values.smsc_url, "https://sms.ru"))
    smsru_timeout_seconds: float = field(metadata=_read(values.timeout, "5"))
    callback_secrets: tuple[Secret, ...] = field(metadata=_read(values.callback_secrets, is_secret=True))
    callback_hash: str = field(metadata=_read(values.one_of("md5", "sha1", "crc32"), "sha1"))
    api_keys: Mapping[str, str] = field(repr=False, metadata=_read(values.api_keys))
    key_pepper: Secret = field(metadata=_read(values.pepper, is_secret=True))
    key_pepper_other: Secret | None = field(metadata=_read(values.optional_pepper, "", is_secret=True))
    policy: Policy
    public_url: str = field(metadata=_read(values.public_url, ""))
    page_locales: str = field(metadata=_read(values.directory, ""))
    window_seconds: int = field(
        metadata=_read(
            values.whole(SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS), str(LONGEST_WINDOW_SECONDS)
        )
    )
    surfaces: frozenset[str] = field(metadata=_read(values.surfaces, "api,callback"))
    api_bind: str = field(metadata=_read(values.bind, "127.0.0.1:8080"))
    callback_bind: str = field(metadata=_read(values.bind, "127.0.0.1:8081"))
    ops_bind: str = field(metadata=_read(values.bind, "127.0.0.1:9090"))
    worker_ops_bind: str = field(metadata=_read(values.bind, "127.0.0.1:9091"))
    drain_seconds: int = field(metadata=_read(values.whole(0, 20), "3"))
    max_orders: int = field(metadata=_read(values.whole(1, 20_000), "1000"))
    max_waiting: int = field(metadata=_read(values.whole(1, 20_000), "5000"))
    inbox_poll_seconds: int = field(metadata=_read(values.inbox_poll, "25"))
    inbox_assurance: Assurance = field(metadata=_read(values.inbox_assurance, "asserted"))
    low_balance: Decimal = field(metadata=_read(values.money, "100"))
    webhook_secrets: Mapping[str, tuple[Secret, ...]] = field(metadata=_read(values.webhook_secrets, ""))
    trusted_hosts: tuple[str, ...] = field(metadata=_read(values.hosts, ""))
    trusted_hops: int = field(metadata=_read(values.whole(0, 10), "0"))
    workers: int = field(metadata=_read(values.workers, ""))
    log_level: str = field(
        metadata=_read(values.one_of("debug", "info", "warning", "error", "critical"), "info")
    )
    tracing: str = field(metadata=_read(values.tracing, "off"))

    @property
    def binds(self) -> list[str]:
        """Addresses to listen on: only those of the surfaces that are served."""
        return values.of_listeners(self.surfaces, self.api_bind, self.callback_bind, self.ops_bind)


def _name(declared: Field[Any]) -> str:
    return declared.metadata["name"] or declared.name.upper()


_DECLARED = [each for each in fields(Settings) if each.metadata]
NAMES = frozenset({*_CREDENTIALS, "POLICY", *map(_name, _DECLARED)})
"""Names of all variables, without the prefix."""
_SECRETS = (
    "SMSC_PASSWORD",
    "SMSC_APIKEY",
    *(_name(each) for each in _DECLARED if each.metadata["is_secret"]),
)


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
        self._given = {name: value for name in sorted(NAMES) if (value := self._value(environ, name))}
        surfaces = self._given.get("SURFACES", "api").lower().split(",")
        # A tree that strangers reach holds no key of a client and no credential that only orders and webhooks need.
        self._is_inner = "api" in map(str.strip, surfaces)
        if not self._is_inner:
            self._given.setdefault("API_KEYS", "")

    def read(self) -> Settings:
        for name in _SECRETS:
            self._refuse_development_secret(name)
        policy = self._policy()
        read = {each.name: self._get(each) for each in _DECLARED}
        read |= {"policy": policy, "smsc_credentials": self._credentials(policy)}
        self._check_together(read)
        if self._mistakes:
            raise SettingsMistakes(self._mistakes)
        return Settings(**read)

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

    def _get(self, declared: Field[Any]) -> Any:
        name = PREFIX + _name(declared)
        text = self._given.get(_name(declared), declared.metadata["default"])
        if text is None:
            if not any(mistake.startswith((f"{name}:", f"{name}_FILE:")) for mistake in self._mistakes):
                self._mistakes.append(f"{name}: required.")
            return None
        try:
            return declared.metadata["read"](text)
        except ValueError as error:
            self._mistakes.append(f"{name}: {error}")
            return None

    def _credentials(self, policy: Policy | None) -> Mapping[str, Secret] | None:
        login, password, apikey = (self._given.get(name) for name in _CREDENTIALS)
        if apikey and not login and not password:
            return {"apikey": Secret(apikey)}
        if login and password and not apikey:
            return {"login": Secret(login), "psw": Secret(password)}
        if not self._is_inner and not (login or password or apikey):
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

    def _check_together(self, read: Mapping[str, Any]) -> None:
        policy, api_keys = read["policy"], read["api_keys"]
        if not self._development and values.DEVELOPMENT_API_KEYS_SHA256 & set(api_keys or ()):
            self._mistakes.append(f"{PREFIX}API_KEYS: A development key, refused outside make run.")
        if policy is not None and api_keys is not None:
            for client in sorted(set(api_keys.values()) - set(policy.clients)):
                self._mistakes.append(f"{PREFIX}API_KEYS: client {client!r} is not in the policy.")
        if policy is not None and read["webhook_secrets"] is not None:
            self._check_webhooks(policy, read["webhook_secrets"])
        if policy is not None and read["smsru_api_ids"] is not None:
            self._check_routing(policy, read)
        if policy is not None and policy.has_pages and read["public_url"] == "":
            self._mistakes.append(f"{PREFIX}PUBLIC_URL: required, a client of the policy has hosted pages.")
        peppers = [read[name] for name in ("key_pepper", "key_pepper_other") if read[name]]
        if len({pepper.reveal() for pepper in peppers}) != len(peppers):
            self._mistakes.append(f"{PREFIX}KEY_PEPPER_OTHER: the same as {PREFIX}KEY_PEPPER.")
        self._check_surfaces(policy, read)

    def _check_surfaces(self, policy: Policy | None, read: Mapping[str, Any]) -> None:
        surfaces = read["surfaces"] or frozenset()
        if policy is not None and not policy.has_pages and surfaces & {"callback", "page"} == {"page"}:
            self._mistakes.append(f"{PREFIX}SURFACES: page, but no client of the policy has hosted pages.")
        # The worker's listener has a process of its own.
        names = values.of_listeners(surfaces, "API_BIND", "CALLBACK_BIND", "OPS_BIND")
        ports = [bind.rpartition(":")[2] for name in names if (bind := read[name.lower()])]
        if len(set(ports)) != len(ports):
            told = ", ".join(PREFIX + name for name in names)
            self._mistakes.append(f"{told}: each needs a port of its own.")

    def _check_routing(self, policy: Policy, read: Mapping[str, Any]) -> None:
        routed = Provider.SMSRU in policy.routing.providers
        if routed and not read["smsru_api_ids"]:
            self._mistakes.append(f"{PREFIX}SMSRU_API_ID: required, the policy's routing names smsru.")
        timeouts = {Provider.SMSC: "smsc_timeout_seconds", Provider.SMSRU: "smsru_timeout_seconds"}
        together = [read[timeouts[each]] for each in policy.routing.providers]
        if None not in together and sum(together) > values.LONGEST_SMSC_TIMEOUT_SECONDS:
            self._mistakes.append(
                f"{PREFIX}SMSRU_TIMEOUT_SECONDS: with {PREFIX}SMSC_TIMEOUT_SECONDS at most "
                f"{values.LONGEST_SMSC_TIMEOUT_SECONDS}: one may follow the other.",
            )

    def _check_webhooks(self, policy: Policy, secrets: Mapping[str, tuple[Secret, ...]]) -> None:
        configured = {endpoint.name for client in policy.clients.values() for endpoint in client.webhooks}
        for name in sorted(configured - set(secrets) if self._is_inner else ()):
            self._mistakes.append(f"{PREFIX}WEBHOOK_SECRETS: none for the policy's webhook {name!r}.")
        for name in sorted(set(secrets) - configured):
            self._mistakes.append(f"{PREFIX}WEBHOOK_SECRETS: {name!r} is no webhook of the policy.")
