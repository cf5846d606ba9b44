"""No repr shows a number, an id, a text or any other secret, because a repr may get into a log or a traceback.

The tests look for classes themselves, so they cover new ones too. A text field must be left out of the repr, or be in the
list of harmless fields below.
"""

import collections.abc
import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
import waitcall_client
from waitcall_client.errors import WaitcallError

import waitcall
from waitcall.configuration.settings import Secret
from waitcall.domain.errors import ServiceError
from waitcall.domain.numbers import E164

NUMBER = "+79857654321"
SECRETS = {
    "number": NUMBER,
    "id": "ver_" + "0123456789abcdef" * 4,
    "reference": "flow-7f3a-of-a-session",
    "text": "waitcall K7QD-9F2M",
    "address": "203.0.113.77",
    "key": "wc_live_Zm9yIHRlc3RzIG9ubHk",
    "webhook": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "url": "https://hooks.example.org/services/T0P/s3cr3t",
}
NOT_IMPORTED = {"waitcall.gunicorn_conf", "waitcall.wsgi"}  # importing them starts the service

# Fields with text that an operator wrote into policy or settings, that names a kind of thing, or that is a keyed hash.
HARMLESS = {
    "waitcall": {
        "Account.base_urls",
        "Address.ca",
        "Address.cert",
        "Address.given",
        "Address.key",
        "Address.nodes",
        "Address.scheme",
        "Address.sentinel_username",
        "Address.service",
        "Address.username",
        "Announcement.event_id",
        "PageAsset.content_type",
        "PageAsset.name",
        "Attested.except_prefixes",
        "Attested.source",
        "AuditEntry.actor",
        "AuditEntry.event",
        "Brand.color",
        "Brand.name",
        "Brand.support_url",
        "CaptchaRule.image_url",
        "Client.default_region",
        "Client.name",
        "Client.purposes",
        "Client.return_origins",
        "Code.delivery_reason",
        "CreateCommand.channel",
        "CreateCommand.locale",
        "CreateCommand.purpose",
        "DedicatedNumber.info",
        "DedicatedNumber.kind",
        "Delivery.endpoint",
        "Delivery.event_id",
        "DeliveryReport.reason",
        "Duty.name",
        "Endpoint.events",
        "Endpoint.name",
        "Fields.charset",
        "Finding.check",
        "Finding.state",
        "ListEntry.by",
        "ListEntry.reason",
        "Loop.name",
        "Policy.assurance",
        "Policy.clients",
        "Policy.code_sender",
        "Policy.code_texts",
        "Policy.dial_regions",
        "Policy.purposes",
        "Prefixes.hide",
        "Prefixes.show",
        "ProviderOrder.provider",
        "Purpose.name",
        "Purpose.number_types",
        "Purpose.regions",
        "Reconciled.cost",
        "Refusal.code",
        "Refusal.detail",
        "Report.charset",
        "Requester.client",
        "Requester.purpose",
        "Routes.regions",
        "Row.country",
        "ServerProperties.eviction",
        "ServerProperties.version",
        "Setting.default",
        "Setting.meaning",
        "Setting.name",
        "Setting.since",
        "Setting.told",
        "Settings.api_bind",
        "Settings.callback_bind",
        "Settings.callback_hash",
        "Settings.log_level",
        "Settings.ops_bind",
        "Settings.page_locales",
        "Settings.public_url",
        "Settings.redis_ca",
        "Settings.redis_cert",
        "Settings.redis_key",
        "Settings.redis_sentinel_username",
        "Settings.redis_username",
        "Settings.smsc_urls",
        "Settings.smsru_url",
        "Settings.surfaces",
        "Settings.telnyx_api_url",
        "Settings.telnyx_public_keys",
        "Settings.tracing",
        "Settings.trusted_hosts",
        "Settings.twilio_account_sid",
        "Settings.twilio_url",
        "Settings.worker_ops_bind",
        "Subject.client",
        "Task.created",
        "Task.file",
        "Task.name",
        "Task.started",
        "Term.holder",
        "Unread.reason",
        "Verification.locale",
        "Verification.region",
        "_Target.authority",
        "_Target.host",
        "_Target.scheme",
    },
    "waitcall_client": {
        "Code.delivery",
        "Code.delivery_reason",
        "Event.id",
        "Event.purpose",
        "Event.reason",
        "Event.status",
        "Event.type",
        "FixedOutcome.outcome",
        "Request.method",
        "Request.params",
        "Verification.assurance",
        "Verification.channel",
        "Verification.next_channel",
        "Verification.purpose",
        "Verification.reason",
        "Verification.status",
        "_Record.channel",
        "_Record.reason",
        "_Record.status",
    },
}


def modules() -> Iterator[types.ModuleType]:
    for package in (waitcall, waitcall_client):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name not in NOT_IMPORTED:
                yield importlib.import_module(found.name)


def classes() -> list[type]:
    return sorted(
        {
            value
            for module in modules()
            for value in vars(module).values()
            if inspect.isclass(value)
            and value.__module__ == module.__name__
            and (dataclasses.is_dataclass(value) or (issubclass(value, tuple) and hasattr(value, "_fields")))
        },
        key=lambda each: (each.__module__, each.__qualname__),
    )


def named(cls: type, field: str) -> tuple[str, str]:
    return cls.__module__.partition(".")[0], f"{cls.__qualname__}.{field}"


def filled(cls: type, secret: str, depth: int = 0) -> Any:
    """Make an object in which every text field holds the secret, except the harmless fields."""
    hints = typing.get_type_hints(cls)
    names = (
        [each.name for each in dataclasses.fields(cls) if each.init]
        if dataclasses.is_dataclass(cls)
        else list(cls._fields)
    )
    values = {}
    for name in names:
        package, field = named(cls, name)
        text = "harmless" if field in HARMLESS[package] else secret
        values[name] = value_of(hints[name], text, secret, depth)
    return cls(**values)


PLAIN: dict[Any, Any] = {
    bool: True,
    int: 7,
    float: 1.5,
    Decimal: Decimal(1),
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
    timedelta: timedelta(seconds=1),
    type(None): None,
    E164: E164(NUMBER),
}


def value_of(hint: Any, text: str, secret: str, depth: int) -> Any:
    if hint in (str, Any, object):
        return text
    if hint is bytes:
        return text.encode()
    if hint in PLAIN:
        return PLAIN[hint]
    if hint is Secret:
        return Secret(secret)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return value_of(next(each for each in arguments if each is not type(None)), text, secret, depth)
    if origin in (dict, collections.abc.Mapping):
        key, value = arguments
        return {value_of(key, text, secret, depth): value_of(value, text, secret, depth)}
    if origin in (tuple, list, set, frozenset) or (
        inspect.isclass(origin) and issubclass(origin, collections.abc.Iterable)
    ):
        inner = [value_of(each, text, secret, depth) for each in arguments if each is not ...]
        return origin(inner) if origin in (tuple, list, set, frozenset) else inner
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return next(iter(hint))
    if inspect.isclass(hint) and dataclasses.is_dataclass(hint) and depth < 5:
        return filled(hint, secret, depth + 1)
    return None


def shown(text: str, secret: str) -> bool:
    """Return True if the text has the secret, with or without its +, or all but its first three characters."""
    plain = secret.removeprefix("+")
    return plain in text or plain[3:] in text


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_no_object_shows_a_secret(cls: type) -> None:
    leaks = []
    for kind, secret in SECRETS.items():
        made = filled(cls, secret)
        leaks += [(kind, text) for text in (repr(made), str(made), f"{made}") if shown(text, secret)]
    assert leaks == []


def test_the_classes_are_found() -> None:
    found = {each.__qualname__ for each in classes()}
    assert {
        "CreateCommand",
        "LimitCheck",
        "Subject",
        "AuditEntry",
        "Answer",
        "TextIn",
        "Event",
        "Request",
    } <= found
    assert len(found) > 60


def test_every_harmless_field_exists() -> None:
    fields = {
        named(cls, each.name)
        for cls in classes()
        if dataclasses.is_dataclass(cls)
        for each in dataclasses.fields(cls)
    }
    listed = {(package, name) for package, names in HARMLESS.items() for name in names}
    assert listed - fields == set()


# Errors


def subclasses(cls: type[BaseException]) -> Iterator[type[BaseException]]:
    yield cls
    for each in cls.__subclasses__():
        yield from subclasses(each)


def errors() -> list[type[ServiceError]]:
    list(modules())
    found = {each for each in subclasses(ServiceError) if hasattr(each, "code")}
    return sorted(found, key=lambda each: each.__qualname__)


@pytest.mark.parametrize("cls", errors())
def test_an_error_of_the_service_shows_no_id(cls: type[ServiceError]) -> None:
    given = {
        "detail": "A sentence.",
        "retry_after": 7,
        "attempts_left": 4,
        "image_url": "https://captcha.example",
    }
    needed = [
        name
        for name, each in inspect.signature(cls).parameters.items()
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD
    ]
    error = cls(**{name: given[name] for name in needed})
    error.verification_id = SECRETS["id"]
    error.errors = {"phone_number": [NUMBER]}
    for text in (str(error), repr(error), repr(error.args)):
        assert not any(shown(text, secret) for secret in SECRETS.values())


def test_an_error_of_the_client_shows_no_id() -> None:
    list(modules())
    secret = SECRETS["id"]
    known = waitcall_client.Problem.known
    assert len(known) > 20
    for cls in {waitcall_client.Problem, *known.values()}:
        error = cls("code", 409, f"About {secret}.", instance=f"/v1/verifications/{secret}", request_id="r")
        assert secret not in f"{error} {error!r} {error.args}"
    ended = waitcall_client.Ended(filled(waitcall_client.Verification, secret))
    assert secret not in f"{ended} {ended!r} {ended.args}"
    assert issubclass(waitcall_client.Problem, WaitcallError)
