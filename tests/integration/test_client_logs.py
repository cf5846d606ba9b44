"""Test over real connections that no log line of the client or of its libraries has the id of a verification."""

import asyncio
import json
import logging
import logging.config
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from waitcall_client import AsyncWaitcall, IdFilter, Problem, Unreachable, Waitcall, WaitcallError

from tests.redis_servers import free_port

ID = "ver_" + "0123456789abcdef" * 4
NUMBER, REFERENCE = "+79857654321", "flow-7f3a-of-a-session"
RECORD = {
    "id": ID,
    "status": "pending",
    "reason": None,
    "purpose": "login",
    "reference": REFERENCE,
    "phone_number": NUMBER,
    "channel": "call",
    "assurance": "asserted",
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-01T00:15:00Z",
    "expires_in": 900,
    "call": {"number": NUMBER, "display": NUMBER, "uri": f"tel:{NUMBER}"},
    "verified_at": None,
    "consumed_at": None,
    "hosted_url": f"https://verify.example.org/p/{ID[4:60]}",
}
PROBLEM = {"code": "not_verified", "status": 409, "detail": f"{ID} has not succeeded.", "request_id": "r1"}
NONSENSE = f"<html>{ID} is not here</html>"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.endswith("/check"):
            status, body = 200, NONSENSE
        elif self.path.endswith("/consume"):
            status, body = 409, json.dumps(PROBLEM)
        else:
            status, body = 201, json.dumps(RECORD)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        # httpcore logs the headers of every answer.
        self.send_header("Location", f"/v1/verifications/{ID}")
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def walk(address: str, timeout_seconds: float = 0.5) -> list[WaitcallError | str]:
    """Make every kind of request, and return the results and errors."""
    came: list[WaitcallError | str] = []
    with Waitcall(address, "key", timeout_seconds=timeout_seconds, attempts=1) as client:
        acts: list[Callable[[], object]] = [
            lambda: client.start(NUMBER, purpose="login", reference=REFERENCE),
            lambda: client.read(ID),
            lambda: client.read(ID, wait_seconds=1, channel="call"),
            lambda: client.resend(ID),
            lambda: client.fall_back(ID),
            lambda: client.cancel(ID),
            lambda: client.check(ID, "123456"),
            lambda: client.consume(ID, purpose="login", reference=REFERENCE),
        ]
        for act in acts:
            try:
                came.append(repr(act()))
            except WaitcallError as error:
                came.append(error)
    return came


def walk_async(address: str, timeout_seconds: float = 0.5) -> list[WaitcallError | str]:
    async def walked() -> list[WaitcallError | str]:
        came: list[WaitcallError | str] = []
        async with AsyncWaitcall(address, "key", timeout_seconds=timeout_seconds, attempts=1) as client:
            for act in (
                client.start(NUMBER, purpose="login", reference=REFERENCE),
                client.read(ID),
                client.cancel(ID),
                client.check(ID, "123456"),
                client.consume(ID, purpose="login", reference=REFERENCE),
            ):
                try:
                    came.append(repr(await act))
                except WaitcallError as error:
                    came.append(error)
        return came

    return asyncio.run(walked())


def holds_a_secret(text: str) -> bool:
    return any(secret in text for secret in (ID, ID[4:40], NUMBER, NUMBER[1:], REFERENCE))


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize("walking", [walk, walk_async])
def test_no_line_holds_an_id(
    address: str, walking: Callable[[str], Any], level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    came = walking(address)
    # The log has the lines, and they still tell one verification from another.
    assert "/v1/verifications/ver_…abcdef" in caplog.text
    if level == logging.DEBUG:
        assert "location" in caplog.text.lower()
    assert ID not in caplog.text
    assert ID[4:40] not in caplog.text
    assert [each for each in came if holds_a_secret(f"{each} {each!r}")] == []
    assert {type(each) for each in came if not isinstance(each, str)} == {
        Unreachable,
        Problem.known["not_verified"],
    }


@pytest.mark.parametrize("walking", [walk, walk_async])
def test_no_line_of_a_failure_holds_an_id(
    walking: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    nobody = f"http://127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address in (nobody, f"http://127.0.0.1:{silent.getsockname()[1]}"):
            errors = walking(address, 0.1)
            assert {type(each) for each in errors} == {Unreachable}
            for error in errors:
                # An error handler would log it like this, with the whole chain of causes.
                logging.getLogger("app").error("failed", exc_info=error)
    assert "failed" in caplog.text
    assert ID not in caplog.text
    assert ID[4:40] not in caplog.text


def test_every_logger_of_the_libraries_is_masked(address: str, caplog: pytest.LogCaptureFixture) -> None:
    walk(address)
    asyncio.run(AsyncWaitcall(address, "key").aclose())
    names = [
        name
        for name in logging.getLogger().manager.loggerDict
        if name.partition(".")[0] in ("httpx", "httpcore")
    ]
    assert len(names) >= 4
    for name in names:
        logging.getLogger(name).error("%s %s", f"/{ID}", httpx.URL(f"http://waitcall.test/{ID}"))
    assert caplog.text.count("ver_…abcdef") == 2 * len(names)
    assert ID not in caplog.text


def test_other_log_lines_are_unchanged_and_the_filter_survives_a_reconfiguration(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    Waitcall(address, "key").close()
    Waitcall(address, "key").close()
    logger = logging.getLogger("httpx")
    assert sum(isinstance(each, IdFilter) for each in logger.filters) == 1
    logging.config.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "loggers": {"httpx": {"level": "INFO"}}}
    )
    logger.info("100%% of %s", ["ver_1", 7])
    logger.info("ver_%s", ID[4:])
    assert [record.getMessage() for record in caplog.records] == ["100% of ['ver_1', 7]", "ver_…abcdef"]
    logger.setLevel(logging.NOTSET)
