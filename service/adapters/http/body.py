"""A request's body, read strictly: bounded, UTF-8, one JSON value without repeated names."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.http import parse_options_header
from werkzeug.sansio.utils import get_content_length

from service.adapters.http.exchange import JSON, Exchange

_DISCARD_BYTES = 8 * 1024 * 1024
_DISCARD_CPU_SECONDS = 0.05
# gunicorn takes microseconds over each chunk, and a chunk may be one byte.
_STEP_BYTES = 4096


def read_raw(exchange: Exchange) -> bytes:
    """The body's bytes, never more than the surface allows.

    Raises:
        RequestEntityTooLarge: it is longer, whether it says so or comes in chunks.
        BadRequest: its framing is broken, or the client left before its end.
    """
    environ, limit = exchange.environ, exchange.max_body_bytes
    length, coding = environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING")
    if length is None and coding is None:
        # There is none (RFC 9112, 6.3).
        return b""
    announced = get_content_length(length, coding)
    stream = environ["wsgi.input"]
    try:
        # Asked for no more than was announced, gunicorn need not look for more.
        most = limit + 1 if announced is None else min(announced, limit + 1)
        body: bytes = stream.read(most) if announced is not None else _by_and_by(stream, most)
        if len(body) > limit:
            with suppress(OSError, ParseException):
                _discard(stream)
            raise _closing(exchange, RequestEntityTooLarge())
    except (OSError, ParseException) as error:
        # gunicorn finds broken chunks, and clients that stopped sending, only while the body is read.
        raise _closing(exchange, BadRequest()) from error
    if announced is not None and len(body) < announced:
        raise _closing(exchange, BadRequest())
    return body


def _by_and_by(stream: Any, most: int) -> bytes:
    """Read a chunked body. Everybody else has a turn between two steps."""
    body = bytearray()
    while len(body) < most and (read := stream.read(min(most - len(body), _STEP_BYTES))):
        body += read
        time.sleep(0)
    return bytes(body)


def _discard(stream: Any) -> None:
    # Many clients look for an answer only after they have sent everything; a connection closed before
    # that looks to them like a broken one.
    left, until = _DISCARD_BYTES, time.thread_time() + _DISCARD_CPU_SECONDS
    while left > 0 and time.thread_time() < until and (read := stream.read(min(left, _STEP_BYTES))):
        left -= len(read)
        time.sleep(0)


def _closing(exchange: Exchange, error: HTTPException) -> HTTPException:
    # What is left of the body must not be taken for the next request.
    exchange.close = True
    return error


def read_json(exchange: Exchange, *, optional: bool = False) -> tuple[Any, Callable[[], bytes]]:
    """The body's JSON value, and how to get its canonical form, equal for equal values.

    Args:
        exchange: the request.
        optional: no body at all is an empty object.

    Raises:
        UnsupportedMediaType, BadRequest
    """
    raw = read_raw(exchange)
    if optional and not raw:
        return {}, partial(_canonical, {})
    given = exchange.environ.get("CONTENT_TYPE")
    # Said without a charset, as it should be (RFC 8259, 11), nothing need be taken apart.
    if given != JSON and parse_options_header(given)[0].lower() != JSON:
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


# Of the standard library: no other tells of a name that stands twice.
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest from error
