"""Test the public listener under load by strangers.

Polls of the hosted page are limited, and the provider's callback always gets through.
"""

import hashlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from select import select
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.conftest import ROOT, SECRET, Answered, Service, Starting
from tests.end_to_end.test_edges import accept_queue
from tests.end_to_end.test_surfaces import HOSTED, ORIGIN, PAGES
from tests.making import together
from tests.redis_servers import Server, free_port, wait_for
from waitcall.application.hosted_page import WAITING_OF_A_PAGE, WAITING_OF_AN_ADDRESS

pytestmark = pytest.mark.slow

CONNECTIONS = 2600
CALLBACKS = 12
HALF_SENT = 2000
PATIENCE_SECONDS = 15
"""Seconds that a request may take. This is shorter than any long poll, so the answer did not wait for one.

The benchmarks measure how long it really takes.
"""
PENDING, VERIFIED = (200, "pending"), (200, "verified")


@pytest.fixture
def hosting(starting: Starting) -> Service:
    return starting(policy=HOSTED, callback_port=str(free_port()), WAITCALL_WORKERS="2", **PAGES)


def begin(service: Service, number: str | None = None) -> str:
    """Create a verification, and return the path of its hosted page."""
    made = service.create(f"+{number or next(_NUMBERS)}", hosted={"return_url": f"{ORIGIN}/done"})
    assert made.status == 201, made.body
    url: str = made.json["hosted_url"]
    return url.removeprefix("https://verify.example.org")


def call(service: Service, number: str) -> int:
    """Report a call as the provider does, and return the status of the answer."""
    ts = int(time.time())
    digest = hashlib.sha1(f"{number}:{ts}:{SECRET}".encode()).hexdigest()
    url = f"{service.callback}/callbacks/smsc?waitcall=1&phone={number}&ts={ts}&sha1={digest}"
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
        return int(answer.status)


@contextmanager
def polling(service: Service, paths: list[str]) -> Iterator[list[socket.socket]]:
    """Poll all paths at once, each over a connection of its own."""
    parts = urlsplit(service.callback)
    with ExitStack() as opened:
        connections = [
            opened.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=40))
            for _ in paths
        ]
        for connection, path in zip(connections, paths, strict=True):
            asked = f"GET {path}/status?wait=25 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            connection.sendall(asked.encode())
        yield connections


def answered(connections: list[socket.socket]) -> list[socket.socket]:
    return select(connections, [], [], 0)[0]


def said(connection: socket.socket) -> tuple[int, str]:
    """Return the status of the answer and the status of the verification."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["status"]


def waiting(redis: Server) -> int:
    """Count the polls that hold a place within the limit of their address."""
    with redis.client() as client:
        names = client.keys(f"*:limit:page:{WAITING_OF_AN_ADDRESS.count}:*")
        return sum(client.zcard(name) for name in names)


@pytest.mark.parametrize(
    ("pages", "polls", "most"),
    [(1, 50, WAITING_OF_A_PAGE.count), (60, 60, WAITING_OF_AN_ADDRESS.count)],
    ids=["of one page", "of one address"],
)
def test_polls_beyond_the_limit_of_all_workers_are_answered_at_once(
    hosting: Service, pages: int, polls: int, most: int
) -> None:
    numbers = [next(_NUMBERS) for _ in range(pages)]
    paths = [begin(hosting, each) for each in numbers]
    with polling(hosting, [paths[index % pages] for index in range(polls)]) as connections:
        wait_for(lambda: len(answered(connections)) == polls - most)
        at_once = answered(connections)
        assert {said(each) for each in at_once} == {PENDING}
        held = [each for each in connections if each not in at_once]

        assert {call(hosting, each) for each in numbers} == {200}

        # The polls within the limit were held until the call.
        assert [said(each) for each in held] == [VERIFIED] * most


def test_a_finished_poll_frees_its_place_at_once(hosting: Service, redis_server: Server) -> None:
    most = WAITING_OF_AN_ADDRESS.count
    numbers = [next(_NUMBERS) for _ in range(most + 2)]
    *paths, late, later = [begin(hosting, each) for each in numbers]
    with polling(hosting, paths) as held:
        wait_for(lambda: waiting(redis_server) == most)
        with polling(hosting, [late]) as (refused,):
            assert said(refused) == PENDING
        assert call(hosting, numbers[0]) == 200
        assert said(held[0]) == VERIFIED
        assert waiting(redis_server) == most - 1
        with polling(hosting, [later]) as (poll,):
            wait_for(lambda: waiting(redis_server) == most)
            assert call(hosting, numbers[-1]) == 200
            assert said(poll) == VERIFIED


def test_polls_are_answered_when_the_process_leaves(hosting: Service, redis_server: Server) -> None:
    path = begin(hosting)
    with polling(hosting, [path, path]) as connections:
        wait_for(lambda: waiting(redis_server) == 2)
        hosting.process.terminate()
        assert [said(each) for each in connections] == [PENDING] * 2
    assert hosting.process.wait(15) == 0
    assert waiting(redis_server) == 0


def test_without_redis_a_poll_is_refused_and_does_not_hang(hosting: Service, redis_server: Server) -> None:
    path = begin(hosting)
    with redis_server.client() as client:
        client.execute_command("CLIENT", "PAUSE", "12000", "ALL")
        asked = f"{hosting.callback}{path}/status?wait=25"
        # The polls come together, because one that queues behind another must not be answered later.
        refused = together(12, lambda _: hosting.ask("GET", asked, timeout=5))
        client.execute_command("CLIENT", "UNPAUSE")
    told = [(each.status, each.json["code"]) if isinstance(each, Answered) else each for each in refused]
    assert told == [(503, "store_unavailable")] * 12
    wait_for(lambda: hosting.ask("GET", f"{hosting.callback}{path}/status").status == 200)


@contextmanager
def crowd(service: Service, path: str, pause: float) -> Iterator[None]:
    port = service.callback.rpartition(":")[2]
    given = [port, f"{path}/status?wait=25", str(CONNECTIONS), str(pause)]
    command = [sys.executable, "-m", "tests.end_to_end.pollers", *given]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"open\n"
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("pause", [5, 0], ids=["as the page does", "without a pause"])
@pytest.mark.parametrize("apart", [True, False], ids=["pages in a tree of their own", "one tree"])
def test_callbacks_are_answered_while_thousands_poll_one_page(
    hosting: Service, starting: Starting, apart: bool, pause: float
) -> None:
    """The thousands of connections come from one address."""
    pages = hosting
    if apart:
        pages = starting(policy=HOSTED, callback_port=str(free_port()), WAITCALL_SURFACES="page", **PAGES)
    number = next(_NUMBERS)
    path = begin(hosting, number)
    with crowd(pages, path, pause):
        if not apart:
            wait_for(lambda: accept_queue(hosting.callback) == 0)
        assert [
            call(hosting, each) for each in (number, *(next(_NUMBERS) for _ in range(CALLBACKS - 1)))
        ] == [200] * CALLBACKS
        assert hosting.ask("GET", f"{hosting.ops}/livez", timeout=PATIENCE_SECONDS).status == 200
    assert hosting.total("waitcall_callbacks_total", 'outcome="confirmed"') == 1


_NUMBERS = (f"7999{each:07}" for each in count(3000000))


EXTENSIONS = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
piece = (b"1" + (b";a" * 4000)[:8180] + b"\\r\\nx\\r\\n") * 32
while True:
    with socket.create_connection((host, port), timeout=30) as connection:
        try:
            connection.sendall(b"POST /callbacks/smsc HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
            while True:
                connection.sendall(piece)
        except OSError:
            pass
"""
UNREAD = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
while True:
    with socket.create_connection((host, port), timeout=30) as connection:
        try:
            connection.sendall(b"POST /p/x/status HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 900000000000\\r\\n\\r\\n")
            while True:
                connection.sendall(b"a" * 262144)
        except OSError:
            pass
"""


@pytest.mark.parametrize(
    "attack", [EXTENSIONS, UNREAD], ids=["extensions of chunks", "a body that nobody reads"]
)
def test_an_endless_request_keeps_no_other_client_waiting(hosting: Service, attack: str) -> None:
    parts = urlsplit(hosting.callback)
    command = [sys.executable, "-c", attack, str(parts.hostname), str(parts.port)]
    senders = [subprocess.Popen(command) for _ in range(2)]
    probe = f"{hosting.ops}/livez"
    try:
        for _ in range(CALLBACKS):
            assert call(hosting, next(_NUMBERS)) == 200
            assert hosting.ask("GET", probe, timeout=PATIENCE_SECONDS).status == 200
        assert [each.poll() for each in senders] == [None, None]
    finally:
        for each in senders:
            each.kill()
            each.wait()


def test_half_sent_callbacks_keep_no_other_callback_waiting(starting: Starting) -> None:
    service = starting(policy=HOSTED, callback_port=str(free_port()), WAITCALL_WORKERS="1", **PAGES)
    parts = urlsplit(service.callback)
    half = b"POST /callbacks/smsc HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\nabc"
    number, ts = next(_NUMBERS), int(time.time())
    digest = hashlib.sha1(f"{number}:{ts}:{SECRET}".encode()).hexdigest()
    with ExitStack() as opened:

        def connect(sent: bytes = b"") -> socket.socket:
            made = opened.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=20))
            made.sendall(sent)
            return made

        for _ in range(HALF_SENT):
            connect(half)
        provider = connect()
        for _ in range(100):
            connect(half)
        asked = (
            f"GET /callbacks/smsc?waitcall=1&phone={number}&ts={ts}&sha1={digest} HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        provider.sendall(asked.encode())
        assert provider.recv(100).startswith(b"HTTP/1.1 200 ")
