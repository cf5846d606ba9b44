"""Strict reading of JSON: one value in UTF-8, without repeated names. Requests and callbacks of providers are read so."""

import json
from typing import Any


class JsonUnreadable(Exception):
    """The bytes are not the expected JSON in UTF-8."""


class RepeatedName(Exception):
    """A name appears twice in an object, so readers may disagree on its value."""


def read_value(body: bytes) -> Any:
    """Read a JSON value.

    Raises:
        JsonUnreadable, RepeatedName
    """
    try:
        return _decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise JsonUnreadable from error


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        JsonUnreadable, RepeatedName
    """
    value = read_value(body)
    if not isinstance(value, dict):
        raise JsonUnreadable
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise RepeatedName
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# The standard library's json, because other parsers do not report repeated names.
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode
