"""A request's body, read strictly: bounded, UTF-8, one JSON value without repeated names."""

import json
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest, HTTPException, UnsupportedMediaType


def read_raw() -> bytes:
    """The body's bytes.

    Raises:
        RequestEntityTooLarge, BadRequest: it is too large, or its framing is broken.
    """
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except OSError as error:
        # gunicorn finds broken chunks only while the body is read.
        raise BadRequest from error


def read_json() -> tuple[Any, bytes]:
    """The body's JSON value, and its canonical form, equal for equal values.

    Raises:
        UnsupportedMediaType, BadRequest
    """
    raw = read_raw()
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        # Also refuses lone surrogates, which no store or log could keep.
        canonical = json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest from error
    return value, canonical


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
