"""Strict reading of request bodies: bounded in size and time; one JSON value in UTF-8, without repeated names."""

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
"""Seconds in which the whole body must arrive."""


def read_body() -> bytes:
    """Read the body of the current request.

    Raises:
        RequestEntityTooLarge: the body is longer than the surface allows, by its Content-Length or in chunks.
        BadRequest: the framing is broken, or the body did not arrive completely in time.
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
    """Read the body's JSON value. Return it, and a function that gives its canonical form, equal for equal values.

    The result is kept for the request, so a second call is cheap.

    Args:
        optional: True if an absent body counts as an empty object.

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
        # Raises for lone surrogates, which cannot be stored or logged. Only escapes can produce them.
        canonical()
    return value, canonical


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name appears twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# The standard library's json, because other parsers do not report repeated names.
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest from error
