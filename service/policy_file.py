"""The policy file (TOML, contract section 7): read, checked, every mistake named at once."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from service.domain.assurance import Attested
from service.domain.conversion import Budget, Group
from service.domain.event import EventType
from service.domain.limits import Limit, Mode, Scope
from service.domain.lists import ListEntry, ListKind, canonical
from service.domain.policy import Audit, Brand, CaptchaRule, Client, Endpoint, Policy, Purpose, Routes
from service.policy_schema import PolicySchema

DEFAULT_CODE_TEXTS = {
    "en": "{code} is your verification code. Tell it to nobody.",
    "ru": "{code} - ваш код подтверждения. Никому его не сообщайте.",  # noqa: RUF001  Russian
}
CAPTCHA_IMAGE = "https://smsc.ru/sys/imgcode.php"
"""smsc-api.md, section 5; a page adds ``?`` and a number to get another."""

DEFAULT_LIMITS = {
    Scope.NUMBER: (Limit(5, 600),),
    Scope.CODE_NUMBER: (Limit(5, 3600), Limit(10, 86400)),
    Scope.FAILED_CHECKS: (Limit(20, 86400),),
}


class PolicyMistakes(Exception):
    """Everything that is wrong with the file, one sentence each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))


def read_policy(path: str) -> Policy:
    """The policy of a file.

    Raises:
        PolicyMistakes: the file cannot be read, or anything in it is wrong.
    """
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise PolicyMistakes([f"{path} cannot be read: {error.strerror}."]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyMistakes([f"{path} is not TOML: {error}."]) from error
    try:
        loaded: dict[str, Any] = PolicySchema().load(document)
    except ValidationError as error:
        mistakes = [f"{path}: {mistake}" for mistake in _flat(error.messages)]
        raise PolicyMistakes(mistakes + _foreign_purposes(path, document)) from error
    foreign = _foreign_purposes(path, document)
    if foreign:
        raise PolicyMistakes(foreign)
    return _policy(loaded)


def _policy(loaded: dict[str, Any]) -> Policy:
    return Policy(
        dial_regions=frozenset(loaded["dial_regions"]),
        purposes={name: _purpose(name, table) for name, table in loaded["purposes"].items()},
        clients={name: _client(name, table) for name, table in loaded["clients"].items()},
        limits=DEFAULT_LIMITS | _limits(loaded.get("limits", {})),
        conversion=tuple(
            Budget(Group(group), **table) for group, table in loaded.get("conversion", {}).items()
        ),
        lists=tuple(_list_entry(table) for table in loaded.get("lists", [])),
        assurance={
            region: Attested(table["level"], table["source"])
            for region, table in loaded.get("assurance", {}).items()
        },
        audit=Audit(**loaded.get("audit", {})),
        text_in_numbers=tuple(loaded.get("text_in", {}).get("numbers", ())),
        code_texts=loaded.get("code", {}).get("texts", DEFAULT_CODE_TEXTS),
        code_sender=loaded.get("code", {}).get("sender"),
        captcha=_captcha(loaded.get("captcha")),
        routing=_routing(loaded.get("routing", {})),
        brand=Brand(**loaded.get("hosted", {})),
    )


def _routing(table: dict[str, Any]) -> Routes:
    regions = {region: tuple(providers) for region, providers in table.get("regions", {}).items()}
    return Routes(tuple(table.get("default", Routes().default)), regions)


def _captcha(table: dict[str, Any] | None) -> CaptchaRule | None:
    if table is None:
        return None
    # Beyond it nobody is refused: the limit only counts.
    above = tuple(replace(each, mode=Mode.RECORD_ONLY) for each in table["above"])
    return CaptchaRule(above, table.get("image_url", CAPTCHA_IMAGE))


def _purpose(name: str, table: dict[str, Any]) -> Purpose:
    sets: dict[str, Any] = {key: frozenset(table[key]) for key in ("regions", "number_types") if key in table}
    if "channels" in table:
        sets["channels"] = tuple(table["channels"])
    values: dict[str, Any] = table | sets
    return Purpose(name, **values)


def _client(name: str, table: dict[str, Any]) -> Client:
    given: dict[str, Any] = {"scopes": frozenset(table["scopes"])} if "scopes" in table else {}
    return Client(
        name,
        frozenset(table["purposes"]),
        table.get("default_region") or None,
        limits=_limits(table.get("limits", {})),
        return_origins=frozenset(table.get("hosted", {}).get("return_origins", ())),
        webhooks=tuple(_endpoint(name, *each) for each in table.get("webhooks", {}).items()),
        **given,
    )


def _endpoint(client: str, name: str, table: dict[str, Any]) -> Endpoint:
    events = table.get("events", [each.value for each in EventType])
    return Endpoint(
        f"{client}/{name}", table["url"], frozenset(events), allow_private=table.get("allow_private", False)
    )


def _limits(table: dict[str, Any]) -> dict[Scope, tuple[Limit, ...]]:
    return {Scope.GLOBAL if name == "everybody" else Scope(name): tuple(each) for name, each in table.items()}


def _list_entry(table: dict[str, Any]) -> ListEntry:
    kind = next(kind for kind in ListKind if kind in table)
    subject = canonical(kind, table[kind])
    return ListEntry(
        table["action"], kind, subject, reason=table["reason"], expires_at=table.get("expires_at")
    )


def _foreign_purposes(path: str, document: dict[str, Any]) -> list[str]:
    purposes, clients = document.get("purposes"), document.get("clients")
    if not isinstance(purposes, dict) or not isinstance(clients, dict):
        return []
    return [
        f"{path}: clients.{client}.purposes: {purpose!r} is not a configured purpose."
        for client, table in clients.items()
        if isinstance(table, dict) and isinstance(table.get("purposes"), list)
        for purpose in table["purposes"]
        if not isinstance(purpose, str) or purpose not in purposes
    ]


def _flat(messages: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            # marshmallow puts a Dict's messages under "key" and "value" of each entry.
            step = () if name in ("value", "_schema") and path else (str(name),)
            yield from _flat(inner, path + step)
    else:
        for message in messages:
            yield f"{'.'.join(path)}: {message}"
