"""Strict reading of request bodies, and the queue for work that strangers can cause at will.

A body is bounded in size and time. JSON is one value in UTF-8, without repeated names.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import sleep, thread_time
from typing import Any

from flask import current_app, g, request
from gevent import Timeout
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from waitcall.adapters.strict_json import JsonUnreadable, RepeatedName, read_value
from waitcall.domain.errors import RateLimited

JSON = "application/json"
BODY_SECONDS = 10
"""Seconds in which the whole body must arrive."""

LONG_BYTES = 16 * 1024
"""Bodies above this size use the queue. Genuine messages are shorter: 1000 Cyrillic letters in any encoding, or a batch of
100 entries."""

REST_AFTER_A_BODY = 100
"""Pause after a long body, as a multiple of the CPU time that it took. So long bodies use at most 1 % of a process, and
barely affect the 99th percentile of other requests."""

SHORTEST_REST_SECONDS = 0.001
LONGEST_REST_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


class WrongMediaType(UnsupportedMediaType):
    """The body's Content-Type is not one that the route accepts."""

    def __init__(self, *accepted: str) -> None:
        """``accepted``: the types that the route accepts."""
        super().__init__(f"Send {' or '.join(accepted)}.")


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
        WrongMediaType, BadRequest
    """
    if "json" in g:
        kept: tuple[Any, Callable[[], bytes]] = g.json
        return kept
    raw = read_body()
    value: Any = {}
    if raw or not optional:
        if request.mimetype != JSON:
            raise WrongMediaType(JSON)
        try:
            value = read_value(raw)
        except (JsonUnreadable, RepeatedName) as error:
            raise BadRequest from error
    canonical = partial(_canonical, value)
    if b"\\u" in raw:
        # Raises for lone surrogates, which cannot be stored or logged. Only escapes can produce them.
        canonical()
    g.json = value, canonical
    return value, canonical


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest from error


class LowPriorityQueue:
    """Queue for work that strangers can cause at will, so that it does not delay callbacks, reads and probes.

    A worker process computes one thing at a time. Long bodies, rendered pages and refusals pass this queue one by one, and
    after each one the process serves other requests. It works with threads, and with gevent if the process is patched.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @contextmanager
    def turn(self, rest: int = 0) -> Iterator[None]:
        """Wait for a turn. After it the queue pauses. Code inside the turn must not wait for the network.

        Args:
            rest: length of the pause, as a multiple of the CPU time that the turn used.

        Raises:
            RateLimited: the queue is too long.
        """
        if not self._turn.acquire(timeout=PATIENCE_SECONDS):
            raise RateLimited(retry_after=1)
        began = thread_time()
        try:
            yield
        finally:
            used = thread_time() - began
            sleep(min(max(rest * used, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS))
            self._turn.release()

    @contextmanager
    def turn_if_long(self, body: bytes) -> Iterator[None]:
        """Wait for a turn if the body is long.

        Raises:
            RateLimited: the queue is too long.
        """
        if len(body) <= LONG_BYTES:
            yield
            return
        with self.turn(REST_AFTER_A_BODY):
            yield

    def refuse(self) -> None:
        """Wait for a turn without work, so that refusals are answered one by one. If the queue is too long, go on."""
        with suppress(RateLimited), self.turn():
            pass
