"""The policy file (TOML, contract section 7): read, checked, every mistake named at once."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from service.domain.limits import Limit, Scope
from service.domain.numbers import NUMBER_TYPES, REGIONS
from service.domain.policy import (
    LONGEST_WINDOW_SECONDS,
    SHORTEST_WINDOW_SECONDS,
    Client,
    OnConcurrent,
    Policy,
    Purpose,
)

_DAY = 86400
DEFAULT_LIMITS = {Scope.NUMBER: ["5/10m"]}

_NAME = validate.Regexp(r"^[a-z][a-z0-9_-]{0,62}$", error="Names are a-z, 0-9, - and _, from a letter on.")
_REGION = validate.OneOf(REGIONS, error="{input} is no region, for instance RU.")


class PolicyMistakes(Exception):
    """Everything that is wrong with the file, one sentence each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))


class _LimitText(fields.String):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            return Limit.parse(text or "")
        except ValueError as error:
            raise ValidationError(str(error)) from error


class _PurposeSchema(Schema):
    max_window_seconds = fields.Integer(
        strict=True,
        validate=validate.Range(SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS),
    )
    on_concurrent = fields.Enum(OnConcurrent, by_value=True)
    cooldown_seconds = fields.Integer(strict=True, validate=validate.Range(0, LONGEST_WINDOW_SECONDS))
    result_seconds = fields.Integer(strict=True, validate=validate.Range(1, _DAY))
    retention_seconds = fields.Integer(strict=True, validate=validate.Range(0, 31 * _DAY))
    require_reference = fields.Boolean(truthy={True}, falsy={False})
    regions = fields.List(fields.String(validate=_REGION))
    number_types = fields.List(
        fields.String(validate=validate.OneOf(NUMBER_TYPES, error="{input} is no number type.")),
    )


class _ClientSchema(Schema):
    purposes = fields.List(fields.String(), required=True, validate=validate.Length(min=1))
    default_region = fields.String(validate=validate.OneOf({"", *REGIONS}, error="{input} is no region."))


class _LimitsSchema(Schema):
    number = fields.List(_LimitText())
    client = fields.List(_LimitText())
    ip = fields.List(_LimitText())
    country = fields.List(_LimitText())
    # `global` is a Python keyword.
    everybody = fields.List(_LimitText(), data_key="global")


class _PolicySchema(Schema):
    dial_regions = fields.List(
        fields.String(validate=_REGION),
        required=True,
        validate=validate.Length(min=1),
    )
    purposes = fields.Dict(
        _NamedField := fields.String(validate=_NAME), fields.Nested(_PurposeSchema), required=True
    )
    clients = fields.Dict(_NamedField, fields.Nested(_ClientSchema), required=True)
    limits = fields.Nested(_LimitsSchema)


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
        loaded: dict[str, Any] = _PolicySchema().load(document)
    except ValidationError as error:
        mistakes = [f"{path}: {mistake}" for mistake in _flat(error.messages)]
        raise PolicyMistakes(mistakes + _foreign_purposes(path, document)) from error
    foreign = _foreign_purposes(path, document)
    if foreign:
        raise PolicyMistakes(foreign)
    return _policy(loaded)


def _policy(loaded: dict[str, Any]) -> Policy:
    limits = {scope: _limits(DEFAULT_LIMITS.get(scope, [])) for scope in Scope}
    given = loaded.get("limits", {})
    names = {scope: "everybody" if scope is Scope.GLOBAL else scope.value for scope in Scope}
    limits |= {scope: tuple(given[name]) for scope, name in names.items() if name in given}
    return Policy(
        dial_regions=frozenset(loaded["dial_regions"]),
        purposes={name: _purpose(name, table) for name, table in loaded["purposes"].items()},
        clients={
            name: Client(name, frozenset(table["purposes"]), table.get("default_region") or None)
            for name, table in loaded["clients"].items()
        },
        limits=limits,
    )


def _purpose(name: str, table: dict[str, Any]) -> Purpose:
    sets = {key: frozenset(table[key]) for key in ("regions", "number_types") if key in table}
    values: dict[str, Any] = table | sets
    return Purpose(name, **values)


def _limits(texts: list[str]) -> tuple[Limit, ...]:
    return tuple(Limit.parse(text) for text in texts)


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
