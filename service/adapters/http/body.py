"""A request's body, read strictly: bounded, UTF-8, one JSON value without repeated names."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import current_app, g, request
from gevent import Timeout
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

JSON = "application/json"
BODY_SECONDS = 10
"""Seconds that a whole body may take to arrive, however steadily it drips."""


def read_body() -> bytes:
    """Read the body of the current request.

    Raises:
        RequestEntityTooLarge: the body is longer than the surface allows, whether it says so or comes in chunks.
        BadRequest: its framing is broken, or it did not arrive whole in time.
    """
    try:
        with Timeout(BODY_SECONDS, BadRequest()):
            body = request.get_data()
    except ParseException as error:
        # gunicorn finds broken chunks only while the body is read.
        raise BadRequest from error
    if len(body) > current_app.config["MAX_BODY_BYTES"]:
        raise RequestEntityTooLarge
    if len(body) < (request.content_length or 0):
        raise BadRequest
    return body


def read_json(*, optional: bool = False) -> tuple[Any, Callable[[], bytes]]:
    """Read the body's JSON value, and how to get its canonical form, equal for equal values. A second reading is free.

    Args:
        optional: an absent body is an empty object.

    Raises:
        UnsupportedMediaType, BadRequest
    """
    if "json" not in g:
        g.json = _read_json(optional=optional)
    read: tuple[Any, Callable[[], bytes]] = g.json
    return read


def _read_json(*, optional: bool) -> tuple[Any, Callable[[], bytes]]:
    raw = read_body()
    if optional and not raw:
        return {}, partial(_canonical, {})
    if request.mimetype != JSON:
        raise UnsupportedMediaType
    try:
        value = _decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise BadRequest from error
    canonical = partial(_canonical, value)
    if b"\\u" in raw:
        # Refuses lone surrogates, which no store or log could keep; only escapes can bring them.
        canonical()
    return value, canonical


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# json of the standard library: no other tells of a name that stands twice.
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest from error
