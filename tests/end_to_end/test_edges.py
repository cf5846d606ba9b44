"""Test what faces the open network: headers, hosts, proxies and slow clients."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.conftest import Service, Starting
from tests.redis_servers import free_port, wait_for
from waitcall.adapters.http.body import BODY_SECONDS
from waitcall.processes.gunicorn_worker import HEAD_SECONDS

pytestmark = pytest.mark.slow

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def exchange(url: str, sent: bytes) -> bytes:
    """Send raw bytes and return everything that comes until the connection ends."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        with suppress(TimeoutError):
            while piece := connection.recv(65536):
                received += piece
    return received


def get(url: str, path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", *headers, "Connection: close", "", ""]
    return exchange(url, "\r\n".join(lines).encode())


@pytest.mark.parametrize("surface", ["api", "callback", "ops"])
@pytest.mark.parametrize("path", ["/v1/verifications/x", "/callbacks/smsc", "/metrics", "/nothing"])
def test_every_answer_carries_the_security_headers(service: Service, surface: str, path: str) -> None:
    answer = service.ask("GET", getattr(service, surface) + path)

    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_an_answer_says_whether_the_connection_stays_open(service: Service) -> None:
    goes_on = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    ends = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answers = exchange(service.api, goes_on + goes_on + ends).split(b"HTTP/1.1 404")[1:]

    assert [b"\r\nConnection: keep-alive\r\n" in each for each in answers] == [True, True, False]
    assert [b"\r\nConnection: close\r\n" in each for each in answers] == [False, False, True]


def test_a_client_that_sends_too_long_a_body_before_it_reads_gets_the_answer(service: Service) -> None:
    """No part of the body is taken for another request."""
    asked = b"POST /callbacks/smsc HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
    answer = exchange(service.callback, asked + b"GET / HTTP/1.1\r\n" * 250_000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_that_nobody_reads_leaves_the_connection_to_the_next_request(service: Service) -> None:
    unread = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    ends = b"GET /callbacks/smsc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = exchange(service.callback, unread + ends)
    assert [each.split()[0] for each in answers.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200"]


def test_only_configured_host_names_are_answered(starting: Starting) -> None:
    service = starting(callback_port=str(free_port()), WAITCALL_TRUSTED_HOSTS="api.internal, .example.org")

    def status(url: str, host: str) -> int:
        return int(get(url, "/callbacks/smsc", f"Host: {host}").split()[1])

    assert status(service.callback, "a.example.org") == 200
    assert status(service.callback, "api.internal:8081") == 200
    for host in ("evil.example", "example.org.evil.example", "127.0.0.1", "api.internal@evil", ""):
        assert status(service.callback, host) == 400
    refused = get(service.api, "/openapi.json", "Host: evil.example")
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["code"] == "invalid_request"
    # Probes and scrapes send the pod's address as host, so the operations listener accepts any host.
    assert int(get(service.ops, "/livez", "Host: 10.1.2.3:9090").split()[1]) == 200


def remotes(service: Service) -> list[str]:
    lines = (json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{"))
    return [line["remote"] for line in lines if line.get("surface") == "callback"]


def test_forwarded_addresses_count_only_behind_configured_proxies(starting: Starting) -> None:
    direct = starting(callback_port=str(free_port()))
    given = "X-Forwarded-For: 198.51.100.9, 203.0.113.5"
    get(direct.callback, "/callbacks/smsc", "Host: x", given, "X-Forwarded-Host: evil.example")
    assert remotes(direct) == ["127.0.0.1"]
    direct.stop()

    behind = starting(
        callback_port=str(free_port()), WAITCALL_TRUSTED_HOPS="1", WAITCALL_TRUSTED_HOSTS="ours.example"
    )
    answer = get(behind.callback, "/callbacks/smsc", "Host: proxy", given, "X-Forwarded-Host: ours.example")
    assert int(answer.split()[1]) == 200
    assert remotes(behind)[-1:] == ["203.0.113.5"]


@pytest.fixture
def dripping(service: Service) -> Iterator[list[socket.socket]]:
    parts = urlsplit(service.callback)
    head = b"POST /callbacks/smsc HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    connections = [socket.create_connection((parts.hostname, parts.port), timeout=10) for _ in range(20)]
    for index, connection in enumerate(connections):
        connection.sendall(head if index % 2 else b"POST /callbacks/smsc HTTP/1.1\r\nX-A: ")
    yield connections
    for connection in connections:
        connection.close()


def test_a_request_that_drips_is_cut_off_in_bounded_time(
    service: Service, dripping: list[socket.socket]
) -> None:
    """A steady drip never reaches a timeout between two bytes, so the whole request has a time limit as well."""
    began = time.monotonic()
    open_ones = set(dripping)
    while open_ones and time.monotonic() - began < HEAD_SECONDS + BODY_SECONDS + 10:
        for connection in list(open_ones):
            try:
                connection.sendall(b"a")
                connection.settimeout(0.01)
                with suppress(TimeoutError):
                    if connection.recv(4096) == b"":
                        open_ones.discard(connection)
            except OSError:
                open_ones.discard(connection)
        time.sleep(0.5)

    assert open_ones == set()
    assert service.ask("GET", f"{service.ops}/readyz").status == 200


def test_clients_that_never_close_keep_nobody_waiting(service: Service) -> None:
    """A hundred clients have their answers and keep their half of the connection open.

    They would block a server that waits for one after another to close.
    """
    parts = urlsplit(service.callback)
    held = []
    for _ in range(100):
        connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
        connection.sendall(b"GET /callbacks/smsc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        held.append(connection)
    answers = [connection.recv(4096).split()[1] for connection in held]

    # A server that waited 2 s for each connection would need 100 s with two workers.
    assert service.ask("GET", f"{service.callback}/callbacks/smsc", timeout=5).status == 200
    assert service.ask("GET", f"{service.ops}/readyz", timeout=5).status == 200
    assert answers == [b"200"] * 100
    for connection in held:
        connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /callbacks/smsc HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 65 + b"\r\n", b"431"),
        (b"GET /callbacks/smsc HTTP/1.1\r\nHost: x\r\nX-A: " + b"b" * 9000 + b"\r\n\r\n", b"431"),
        (b"GET /callbacks/smsc?" + b"b" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (
            b"GET /callbacks/smsc HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"400",
        ),
        (b"GET /callbacks/smsc HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
    ],
    ids=["many headers", "long header", "long line", "smuggling", "two hosts"],
)
def test_an_oversized_or_ambiguous_request_is_refused(service: Service, sent: bytes, status: bytes) -> None:
    answer = exchange(service.callback, sent)

    assert answer.split()[1] == status


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "X-Forwarded-Prefix", "PATH_INFO"])
def test_no_header_rewrites_the_path(service: Service, name: str) -> None:
    """gunicorn trusts SCRIPT_NAME from a loopback peer unless it is configured to trust no peer."""
    told = get(service.callback, "/elsewhere/callbacks/smsc", "Host: x", f"{name}: /elsewhere")
    assert told.split()[1] == b"404"
    assert get(service.callback, "/callbacks/smsc", "Host: x", f"{name}: /elsewhere").split()[1] == b"200"


def held(url: str, count: int) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    for _ in range(count):
        yield socket.create_connection((parts.hostname, parts.port), timeout=10)


@pytest.mark.parametrize("hard", [4096, 128], ids=["the limit can be raised", "the limit is hard"])
def test_more_connections_than_open_files_cost_no_worker(starting: Starting, hard: int) -> None:
    """Anyone can open idle connections at the public listener."""
    service = starting(callback_port=str(free_port()), open_files=f"64:{hard}")
    workers = set(service.workers())

    connections = list(held(service.callback, 300))
    if hard > 1000:
        assert service.ask("GET", f"{service.callback}/callbacks/smsc", timeout=10).status == 200
    else:
        wait_for(lambda: "Too many open files" in service.log.read_text())
    for connection in connections:
        connection.close()
    wait_for(lambda: service.ask("GET", f"{service.callback}/callbacks/smsc", timeout=10).status == 200)

    assert set(service.workers()) == workers


@pytest.mark.parametrize(
    "said", [b"", b"POST /callbacks/smsc HTTP/1.1\r\nX-A: "], ids=["silent", "half a request"]
)
def test_a_flood_at_the_public_listener_does_not_stop_the_api_and_the_probes(
    starting: Starting, said: bytes
) -> None:
    """The worker has 700 connections at its public listener and still answers at its other listeners."""
    service = starting(callback_port=str(free_port()), WAITCALL_WORKERS="1")
    flood = list(held(service.callback, 700))
    for connection in flood:
        connection.sendall(said)
    wait_for(lambda: accept_queue(service.callback) == 0)

    for _ in range(3):
        # The answers come before the flood's connections are cut off.
        assert service.ask("GET", f"{service.ops}/readyz", timeout=HEAD_SECONDS - 1).status == 200
        asked = {"phone_number": f"+7999{next(_NUMBERS)}", "purpose": "login"}
        assert (
            service.ask("POST", f"{service.api}/v1/verifications", asked, timeout=HEAD_SECONDS - 1).status
            == 201
        )

    for connection in flood:
        connection.close()
    assert service.ask("GET", f"{service.callback}/callbacks/smsc", timeout=10).status == 200


def test_silent_connections_do_not_keep_active_clients_out(starting: Starting) -> None:
    service = starting(callback_port=str(free_port()), WAITCALL_WORKERS="1")
    flood = list(held(service.callback, SILENT))

    for _ in range(5):
        assert service.ask("GET", f"{service.callback}/callbacks/smsc", timeout=5).status == 200

    for connection in flood:
        connection.close()


def test_silent_connections_do_not_hold_up_the_end(starting: Starting) -> None:
    service = starting(callback_port=str(free_port()))
    silent = [*held(service.callback, 20), *held(service.api, 20)]
    service.process.terminate()

    # Idle connections have 2 s to close. Requests in flight would have 30 s.
    assert service.process.wait(15) == 0
    for connection in silent:
        connection.close()


def accept_queue(url: str) -> int:
    """Count the connections that the kernel holds for a listener until they are accepted."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        int(queues.partition(":")[2], 16)
        for _, local, _, state, queues, *_ in lines
        if local.endswith(port) and state == "0A"
    )


_NUMBERS = count(2000000)
SILENT = 2000
"""Number of connections that send nothing."""
