"""The command that refuses a call: what is sent, and that no failure of it reaches the caller."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

from development.ports import free_port
from waitcall.adapters.providers.guarded_calls import BREAKER_FAILURES, within_thread
from waitcall.adapters.providers.telnyx.client import TelnyxCalls
from waitcall.domain.matching import ParkedCall

CALL = ParkedCall("v3:a/b?c", "event-1")
KEY = "KEY0123456789_abcdef"


class Counted:
    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []

    def provider_request(self, operation: str, outcome: str, seconds: float) -> None:
        self.outcomes.append((operation, outcome))


@contextmanager
def telnyx(status: int, body: bytes, *, silent: bool = False) -> Iterator[tuple[str, list[Any]]]:
    """Run an API that gives one answer, or none, and remembers what it was sent."""
    told: list[Any] = []
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            told.append((self.path, dict(self.headers), json.loads(sent)))
            if silent:
                over.wait()
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,)).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@contextmanager
def client(url: str) -> Iterator[tuple[TelnyxCalls, Counted]]:
    counted = Counted()
    calls = TelnyxCalls(url, KEY, counted, within_thread)
    yield calls, counted
    calls.close()


def test_the_command_names_the_call_the_cause_and_itself() -> None:
    with telnyx(200, b'{"data":{"result":"ok"}}') as (url, told), client(url) as (calls, counted):
        calls.refuse(CALL)
    ((path, headers, command),) = told
    assert path == "/v2/calls/v3%3Aa%2Fb%3Fc/actions/reject"
    assert (headers["Authorization"], headers["Content-Type"]) == (f"Bearer {KEY}", "application/json")
    assert command == {"cause": "USER_BUSY", "command_id": "event-1"}
    assert counted.outcomes == [("reject", "ok")]


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (422, b'{"errors":[{"code":"90018","title":"Call has already ended"}]}', "rejected"),
        (401, b'{"errors":[{"code":"10009"}]}', "rejected"),
        (500, b"", "server_error"),
        (200, b"<html>", "unreadable"),
        (302, b"", "unreadable"),
        (200, b'{"data"' + b" " * 70_000, "unreadable"),
    ],
)
def test_a_failure_is_counted_and_logged(
    caplog: pytest.LogCaptureFixture, status: int, body: bytes, outcome: str
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        telnyx(status, body) as (url, _),
        client(url) as (calls, counted),
    ):
        calls.refuse(CALL)
    assert counted.outcomes == [("reject", outcome)]
    assert "rings on" in caplog.text
    assert KEY not in caplog.text


def test_nobody_there_is_counted_and_after_some_failures_nobody_is_asked() -> None:
    with client(f"http://127.0.0.1:{free_port()}") as (calls, counted):
        for _ in range(BREAKER_FAILURES + 1):
            calls.refuse(CALL)
    assert counted.outcomes == [("reject", "unreachable")] * BREAKER_FAILURES + [("reject", "not_sent")]


def test_a_silent_server_holds_the_answer_less_than_two_seconds() -> None:
    with telnyx(200, b"", silent=True) as (url, _), client(url) as (calls, counted):
        began = monotonic()
        calls.refuse(CALL)
        assert monotonic() - began < 2
    assert counted.outcomes == [("reject", "timeout")]
