"""Strict reading of the JSON documents of callbacks: one object, in UTF-8, without repeated names."""

import json
from typing import Any


class JsonUnreadable(Exception):
    """The bytes are not one JSON object in UTF-8."""


class RepeatedName(Exception):
    """A name appears twice in an object, so readers may disagree on its value."""


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        JsonUnreadable, RepeatedName
    """
    try:
        value = _decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise JsonUnreadable from error
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


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode
