"""Test orders at SMSC against the simulator's sockets: every way in which the provider can fail."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from simulator.dialler import Handler
from simulator.exchange import POOL
from simulator.server import Options, Simulator
from tests.fakes.outside import RecordingObserver
from tests.making import NUMBER, OTHER_NUMBER, together
from tests.redis_servers import free_port, wait_for
from waitcall.adapters.providers.guarded_calls import BREAKER_FAILURES, within_thread
from waitcall.adapters.providers.smsc.client import SmscProvider
from waitcall.adapters.providers.transport import Account
from waitcall.application.request_context import request_id
from waitcall.domain.errors import NumberRefused, ProviderError, ProviderFailure, ProviderUnavailable
from waitcall.domain.numbers import E164, may_be_shown

BUDGET = 1.0
"""ConversionBudget in seconds of an order whose provider hangs or drips."""
PATIENCE = 20.0
"""ConversionBudget in seconds of any other order, so that a busy machine is not taken for a slow provider."""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    handler = Handler("http://127.0.0.1:9/callbacks/smsc", "a-secret-of-the-tests")
    with Simulator(Options(handler, calm=True)) as running:
        yield running


@pytest.fixture
def ordering(observer: RecordingObserver) -> Iterator[Callable[..., SmscProvider]]:
    made: list[SmscProvider] = []

    def make(
        base_urls: Sequence[str],
        credentials: dict[str, str] | None = None,
        max_in_flight: int = 50,
        budget: float = PATIENCE,
    ) -> SmscProvider:
        account = Account(base_urls, credentials or {"apikey": "sim-apikey"}, budget, max_in_flight)
        shown = partial(may_be_shown, dial_regions={"RU"})
        made.append(SmscProvider(account, shown, observer, within_thread))
        return made[-1]

    yield make
    for provider in made:
        provider.close()


def plan(simulator: Simulator, *steps: tuple[str, Any], always: tuple[str, Any] | None = None) -> None:
    written = [{"kind": kind, "value": value} for kind, value in steps]
    simulator.faults.load(written, {"kind": always[0], "value": always[1]} if always else None)


def outcomes(observer: RecordingObserver) -> dict[str, int]:
    return {words[2]: count for words, count in observer.counts.items() if words[0] == "provider"}


def read_request(connection: socket.socket) -> str:
    """Read one whole request, in however many pieces it comes."""
    with connection.makefile("rb") as stream:
        head = list(iter(stream.readline, b"\r\n"))
        length = next(
            int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length:")
        )
        return (b"".join(head) + stream.read(length)).decode()


@pytest.mark.parametrize("credentials", [{"apikey": "sim-apikey"}, {"login": "sim", "psw": "sim-password"}])
def test_an_order_goes_by_post_with_its_secrets_in_the_body(
    simulator, ordering, observer, credentials
) -> None:
    number = ordering([simulator.base_url], credentials).order(NUMBER).call_number

    assert number.digits in POOL
    entry = simulator.exchange.ledger[-1]
    assert (entry["method"], entry["query"]) == ("POST", "")
    assert {"phone": "79991234567", "fmt": "3", "charset": "utf-8"}.items() <= entry["fields"].items()
    assert outcomes(observer) == {"ok": 1}


@pytest.mark.parametrize(
    ("fault", "refusal", "outcome"),
    [
        (("status", 500), ProviderUnavailable, "server_error"),
        (("status", 503), ProviderUnavailable, "server_error"),
        (("reset", None), ProviderUnavailable, "unreachable"),
        (("hang", None), ProviderUnavailable, "timeout"),
        (("error", 9), ProviderUnavailable, "throttled"),
        (("html", None), ProviderError, "unreadable"),
        (("half", None), ProviderError, "unreadable"),
        (("empty", None), ProviderError, "unreadable"),
        (("answer", "[]"), ProviderError, "unreadable"),
        (("answer", "x" * 100000), ProviderError, "unreadable"),
        (("status", 302), ProviderError, "unreadable"),
        (("premium", None), ProviderError, "bad_number"),
        (("answer", '{"phone":"79991234567"}'), ProviderError, "bad_number"),
        (("answer", '{"phone":"12025550123"}'), ProviderError, "bad_number"),
        (("answer", '{"phone":"70000000000"}'), ProviderError, "bad_number"),
        (("answer", '{"phone":"79585551234","all_phones":["79585555678"]}'), ProviderError, "bad_number"),
        (("error", 1), ProviderError, "rejected"),
        (("error", 3), ProviderError, "rejected"),
        (("error", 99), ProviderError, "rejected"),
        (("error", 2), ProviderError, "credentials"),
        (("error", 4), ProviderError, "credentials"),
        (("error", 7), NumberRefused, "number_refused"),
        (("error", 8), NumberRefused, "number_refused"),
    ],
)
def test_each_failure_is_told_apart_and_counted(
    simulator, ordering, observer, fault, refusal, outcome
) -> None:
    plan(simulator, fault)

    with pytest.raises(refusal) as failed:
        ordering([simulator.base_url], budget=BUDGET if fault[0] == "hang" else PATIENCE).order(NUMBER)

    assert type(failed.value) is refusal
    assert (failed.value.retry_after is not None) == (refusal is ProviderUnavailable)
    if outcome == "timeout":
        # The thread that was given up counts its request a moment later.
        wait_for(lambda: outcomes(observer))
    assert outcomes(observer) == {outcome: 1}


@pytest.mark.parametrize(
    "fault", [("status", 500), ("reset", None), ("hang", None), ("html", None), ("empty", None)]
)
def test_the_next_base_url_is_asked_if_the_first_gives_nothing(simulator, ordering, observer, fault) -> None:
    plan(simulator, fault)

    provider = ordering([simulator.base_url] * 2, budget=4 * BUDGET if fault[0] == "hang" else PATIENCE)
    assert provider.order(NUMBER).call_number.digits in POOL
    assert outcomes(observer)["ok"] == 1


@pytest.mark.parametrize("code", [1, 2, 3, 7, 9])
def test_an_error_code_is_never_asked_again(simulator, ordering, observer, code) -> None:
    plan(simulator, ("error", code))

    with pytest.raises(ProviderFailure):
        ordering([simulator.base_url, simulator.base_url]).order(NUMBER)
    assert len(simulator.exchange.ledger) == 1


def test_the_failure_of_the_last_host_decides_the_error(simulator, ordering, observer) -> None:
    plan(simulator, ("html", None), ("status", 500))
    with pytest.raises(ProviderUnavailable):
        ordering([simulator.base_url] * 2).order(NUMBER)
    plan(simulator, ("status", 500), ("html", None))
    with pytest.raises(ProviderError):
        ordering([simulator.base_url] * 2).order(NUMBER)


def test_a_provider_that_does_not_listen_is_unavailable(ordering, observer) -> None:
    with pytest.raises(ProviderUnavailable):
        ordering([f"http://127.0.0.1:{free_port()}/sys"]).order(NUMBER)
    assert outcomes(observer) == {"unreachable": 1}


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_one_budget_holds_over_all_tries_even_byte_by_byte(simulator, ordering, fault) -> None:
    """The bound leaves room for a slow machine, because this is not a benchmark."""
    plan(simulator, always=(fault, None))
    began = time.monotonic()

    with pytest.raises(ProviderUnavailable):
        ordering([simulator.base_url] * 3, budget=BUDGET).order(NUMBER)

    assert time.monotonic() - began < BUDGET + 1
    simulator.release()


def test_headers_that_drip_do_not_hold_an_order(ordering) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 600:
                    if ended.wait(0.1):
                        return
                    connection.send(bytes([byte]))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ProviderUnavailable):
            ordering([f"http://127.0.0.1:{server.getsockname()[1]}/sys"], budget=BUDGET).order(NUMBER)
        ended.set()
        thread.join()


def test_the_breaker_opens_after_repeated_failures(simulator, ordering, observer) -> None:
    plan(simulator, always=("status", 500))
    provider = ordering([simulator.base_url])
    for _ in range(BREAKER_FAILURES + 3):
        with pytest.raises(ProviderUnavailable) as refused:
            provider.order(NUMBER)
        assert 1 <= (refused.value.retry_after or 0) <= 20

    assert outcomes(observer) == {"server_error": BREAKER_FAILURES, "not_sent": 3}
    assert len(simulator.exchange.ledger) == BREAKER_FAILURES


@pytest.mark.parametrize("fault", [("error", 3), ("error", 7), ("html", None), ("premium", None)])
def test_refusals_of_single_orders_never_open_the_breaker(simulator, ordering, observer, fault) -> None:
    plan(simulator, *[fault] * (BREAKER_FAILURES + 3))
    provider = ordering([simulator.base_url])
    for _ in range(BREAKER_FAILURES + 3):
        with pytest.raises(ProviderFailure):
            provider.order(NUMBER)

    assert provider.order(NUMBER).call_number.digits in POOL


@pytest.mark.parametrize("code", [2, 4])
def test_refused_credentials_pause_all_orders(simulator, ordering, code) -> None:
    """The provider blocks an address that makes frequent errors (smsc-api.md, section 0)."""
    plan(simulator, ("error", code))
    provider = ordering([simulator.base_url])
    with pytest.raises(ProviderError):
        provider.order(NUMBER)
    with pytest.raises(ProviderUnavailable) as paused:
        provider.order(E164("+79991234568"))

    assert 1 <= (paused.value.retry_after or 0) <= 20
    assert len(simulator.exchange.ledger) == 1


def test_orders_beyond_the_bulkhead_are_refused_at_once(simulator, ordering, observer) -> None:
    plan(simulator, always=("hang", None))
    provider = ordering([simulator.base_url], max_in_flight=3, budget=BUDGET)

    results = together(5, lambda _: provider.order(NUMBER))

    assert all(isinstance(result, ProviderUnavailable) for result in results)
    assert outcomes(observer)["not_sent"] == 2
    simulator.release()


def test_credentials_do_not_follow_a_redirect(ordering) -> None:
    """A host that can answer an order must not be able to send the credentials elsewhere."""
    asked: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Redirecting)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with pytest.raises(ProviderError):
        ordering([f"http://127.0.0.1:{server.server_port}/sys"]).order(NUMBER)
    server.shutdown()
    server.server_close()

    assert asked == ["/sys/wait_call.php"]


def test_log_lines_of_an_order_have_the_id_of_its_request(simulator, ordering, monkeypatch) -> None:
    seen: list[str | None] = []
    monkeypatch.setattr(
        "waitcall.adapters.providers.smsc.client._log.warning", lambda *_, **__: seen.append(request_id.get())
    )
    plan(simulator, ("html", None))
    token = request_id.set("the-request")
    with pytest.raises(ProviderError):
        ordering([simulator.base_url]).order(NUMBER)
    request_id.reset(token)

    assert seen == ["the-request"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"NONSENSE\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nbroken header\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
        b"\x16\x03\x01\x00\x00",
    ],
)
def test_an_answer_that_is_not_http_fails_only_its_order(ordering, observer, sent: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(sent)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises((ProviderError, ProviderUnavailable)):
            ordering([f"http://127.0.0.1:{server.getsockname()[1]}/sys"]).order(NUMBER)
        thread.join()

    assert set(outcomes(observer)) <= {"unreachable", "unreadable"}
    assert sum(outcomes(observer).values()) == 1


def test_connections_are_kept_and_used_again(simulator, ordering) -> None:
    provider = ordering([simulator.base_url])
    for last in range(5):
        provider.order(E164(f"+7999123456{last}"))

    assert len(simulator.open) == 1


def test_a_provider_that_ends_each_connection_after_its_answer_is_asked_once_for_each_order(
    ordering: Callable[..., SmscProvider], observer: RecordingObserver
) -> None:
    """The provider does not announce the end, so the kept connection looks open until the next order."""
    body = b'{"phone": "%s"}' % next(iter(POOL)).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    numbers = [E164(f"+7999123456{last}") for last in range(5)]
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in numbers:
                connection, _address = server.accept()
                with connection:
                    asked.append(read_request(connection))
                    connection.sendall(answer)
                ended.release()

        ended = threading.Semaphore(0)
        thread = threading.Thread(target=serve)
        thread.start()
        provider = ordering([f"http://127.0.0.1:{server.getsockname()[1]}/sys"])
        for number in numbers:
            provider.order(number)
            # The connection must have ended before the next order leaves.
            assert ended.acquire(timeout=PATIENCE)
        thread.join()

    assert [number.digits in request for number, request in zip(numbers, asked, strict=True)] == [True] * 5
    assert outcomes(observer) == {"ok": 5}


def test_an_order_whose_connection_ends_before_its_answer_is_not_sent_again(
    ordering: Callable[..., SmscProvider], observer: RecordingObserver
) -> None:
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(read_request(connection))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ProviderUnavailable):
            ordering([f"http://127.0.0.1:{server.getsockname()[1]}/sys"]).order(NUMBER)
        thread.join()
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()

    assert len(asked) == 1
    assert outcomes(observer) == {"unreachable": 1}


def test_a_kept_connection_that_the_provider_has_ended_costs_no_order(simulator, ordering) -> None:
    port = urlsplit(simulator.base_url).port
    provider = ordering([simulator.base_url])
    provider.order(NUMBER)
    simulator.close()
    handler = Handler("http://127.0.0.1:9/callbacks/smsc", "a-secret-of-the-tests")
    with Simulator(Options(handler, calm=True, front_port=port)) as again:
        provider.order(OTHER_NUMBER)

        assert [each["fields"]["phone"] for each in again.exchange.ledger] == [OTHER_NUMBER.digits]


def test_credentials_never_show_in_a_repr(ordering, simulator) -> None:
    account = Account([simulator.base_url], {"apikey": "the-secret-itself"}, 1)

    assert "the-secret-itself" not in repr(account)


def test_an_untrusted_certificate_ends_the_order(
    ordering: Callable[..., SmscProvider], observer: RecordingObserver
) -> None:
    """A hijacked host name has a certificate of the attacker. The client does not even send its credentials."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                plain, _ = listener.accept()
                with suppress(ssl.SSLError), context.wrap_socket(plain, server_side=True) as secure:
                    received.append(secure.recv(4096))

        serving = threading.Thread(target=serve)
        serving.start()
        provider = ordering([f"https://localhost:{listener.getsockname()[1]}/sys"])

        with pytest.raises(ProviderUnavailable):
            provider.order(NUMBER)
        serving.join(10)

    assert received in ([], [b""])
    assert outcomes(observer) == {"unreachable": 1}


def test_over_tls_a_connection_is_kept(
    ordering: Callable[..., SmscProvider], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    body = b'{"phone": "%s"}' % next(iter(POOL)).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                # The server accepts one connection, so an order on a second one would fail.
                for _ in range(2):
                    asked.append(read_request(secure))
                    secure.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        provider = ordering([f"https://localhost:{listener.getsockname()[1]}/sys"])
        for number in (NUMBER, OTHER_NUMBER):
            provider.order(number)
        provider.close()
        serving.join(10)

    assert [
        f"phone={number.digits}" in request
        for number, request in zip((NUMBER, OTHER_NUMBER), asked, strict=True)
    ] == [True, True]
