"""Test one delivery attempt to a real receiver: signed, bounded, without redirects, and to no internal address."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from tests.end_to_end.receivers import SECRET, receiving
from tests.redis_servers import free_port
from waitcall.adapters.webhooks import sender as sender_module
from waitcall.adapters.webhooks.sender import WebhookSender
from waitcall.application.deliver_webhooks import DeliveryOutcome
from waitcall.application.effects import Delivery
from waitcall.domain.policy import Endpoint

OTHER_SECRET = "whsec_" + "QUJD" * 10
DELIVERY = Delivery("evt_1", "web/main", '{"type":"verification.verified","data":{"reference":"поток"}}')


@pytest.fixture
def sender() -> Iterator[WebhookSender]:
    sender = WebhookSender({"web/main": [SECRET]})
    yield sender
    sender.close()


def endpoint(url: str, *, allow_private: bool = True) -> Endpoint:
    return Endpoint("web/main", url, frozenset(), allow_private)


def test_a_receiver_verifies_the_signature_with_the_library(sender: WebhookSender) -> None:
    with receiving() as receiver:
        for _ in range(2):
            outcome = sender.send(endpoint(receiver.url), DELIVERY, datetime.now(UTC))
            assert outcome is DeliveryOutcome.ACCEPTED
    # Both attempts have one id, by which a receiver drops duplicates.
    assert [event_id for event_id, _ in receiver.accepted] == ["evt_1", "evt_1"]
    assert receiver.accepted[0][1]["data"]["reference"] == "поток"


def test_during_a_rotation_both_secrets_sign() -> None:
    sender = WebhookSender({"web/main": [OTHER_SECRET, SECRET]})
    for secret in (SECRET, OTHER_SECRET):
        with receiving(secret=secret) as receiver:
            sender.send(endpoint(receiver.url), DELIVERY, datetime.now(UTC))
        assert receiver.ids == {"evt_1"}
    sender.close()
    headers = {name.lower(): value for name, value in receiver.headers[0].items()}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(DELIVERY.body + " ", headers)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, DeliveryOutcome.ACCEPTED),
        (299, DeliveryOutcome.ACCEPTED),
        (301, DeliveryOutcome.REFUSED),
        (307, DeliveryOutcome.REFUSED),
        (400, DeliveryOutcome.REFUSED),
        (410, DeliveryOutcome.GONE),
        (503, DeliveryOutcome.REFUSED),
    ],
)
def test_only_2xx_is_accepted_and_no_redirect_is_followed(
    sender: WebhookSender, status: int, outcome: DeliveryOutcome
) -> None:
    with receiving(lambda _: status) as receiver:
        assert sender.send(endpoint(receiver.url), DELIVERY, datetime.now(UTC)) is outcome
        assert receiver.asked == 1


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:53aa::1]",
        "[fec0::1]",
        "[ff02::1]",
        "100.64.0.1",
        "169.254.169.254",
    ],
)
def test_an_internal_address_gets_no_connection_unless_it_is_allowed(
    sender: WebhookSender, host: str
) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as inside:
        url = f"http://{host}:{inside.getsockname()[1]}/hook"
        outcome = sender.send(endpoint(url, allow_private=False), DELIVERY, datetime.now(UTC))
        inside.setblocking(False)
        with pytest.raises(BlockingIOError):
            inside.accept()
    assert outcome is DeliveryOutcome.FORBIDDEN


# A name is resolved once, and its checked address is connected to


class Answers:
    """Resolver that gives another answer each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0)


OUTSIDE, ALSO_OUTSIDE, INSIDE = "127.0.0.1", "127.0.0.3", "127.0.0.2"


def resolving(resolve: Answers | Callable[[str, int], Sequence[str]]) -> WebhookSender:
    return WebhookSender(
        {"web/main": [SECRET]}, resolve=resolve, allowed=lambda address: address in (OUTSIDE, ALSO_OUTSIDE)
    )


class Door:
    """TLS server that records the server name, the Host header and the path of each request."""

    def __init__(self, authority: trustme.CA, address: str, port: int = 0, name: str = "hooks.example.org"):
        self.names: list[str | None] = []
        self.requests: list[tuple[str | None, str]] = []
        self.connections = 0
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                door.requests.append((self.headers["Host"], self.path))
                self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                connection, peer = super().get_request()
                door.connections += 1
                # The handshake happens in the handler's thread at its first read.
                secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                return secured, peer

            def handle_error(self, *args: Any) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        context.sni_callback = lambda _, name, __: self.names.append(name)
        self.server = Server((address, port), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def test_a_name_whose_address_changes_leads_to_no_internal_address(authority: trustme.CA) -> None:
    names = Answers([OUTSIDE], [INSIDE])
    sender = resolving(names)
    with Door(authority, OUTSIDE) as outside, Door(authority, INSIDE, outside.port) as inside:
        to = endpoint(f"https://hooks.example.org:{outside.port}/a%20path?q=1", allow_private=False)
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.ACCEPTED
        # The check and the connection use the same lookup. SNI, certificate and Host have the name.
        assert names.asked == [("hooks.example.org", outside.port)]
        assert outside.names == ["hooks.example.org"]
        assert outside.requests == [(f"hooks.example.org:{outside.port}", "/a%20path?q=1")]
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.FORBIDDEN
        assert (len(outside.requests), inside.connections) == (1, 0)
    sender.close()


def test_among_several_addresses_only_the_allowed_ones_are_tried(authority: trustme.CA) -> None:
    with Door(authority, OUTSIDE) as outside, Door(authority, INSIDE, outside.port) as inside:
        # Nothing listens at the first allowed address, so the second is tried.
        sender = resolving(Answers([INSIDE, ALSO_OUTSIDE, OUTSIDE, INSIDE]))
        to = endpoint(f"https://hooks.example.org:{outside.port}/", allow_private=False)
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.ACCEPTED
        assert (len(outside.requests), inside.connections) == (1, 0)
    sender.close()


def test_an_answer_without_an_allowed_address_is_refused() -> None:
    sender = resolving(Answers([INSIDE], []))
    for _ in range(2):
        to = endpoint("https://hooks.example.org/", allow_private=False)
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.FORBIDDEN
    sender.close()


def test_the_certificate_must_be_for_the_host_name(authority: trustme.CA) -> None:
    with Door(authority, OUTSIDE, name=OUTSIDE) as other:
        sender = resolving(Answers([OUTSIDE]))
        to = endpoint(f"https://hooks.example.org:{other.port}/", allow_private=False)
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.UNREACHABLE
        assert other.requests == []
    sender.close()


def test_a_literal_address_needs_its_own_certificate(authority: trustme.CA) -> None:
    with Door(authority, "127.0.0.1", name="127.0.0.1") as door:
        sender = WebhookSender({"web/main": [SECRET]})
        to = endpoint(f"https://127.0.0.1:{door.port}/")
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.ACCEPTED
        assert door.requests == [(f"127.0.0.1:{door.port}", "/")]
    sender.close()


def test_an_ipv6_literal_is_reached_and_named_in_brackets() -> None:
    with receiving(host="::1") as receiver:
        sender = WebhookSender({"web/main": [SECRET]})
        to = endpoint(f"http://[::1]:{receiver.port}/hook")
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.ACCEPTED
    assert receiver.headers[0]["Host"] == f"[::1]:{receiver.port}"
    sender.close()


def test_an_international_name_is_looked_up_and_certified_in_its_ascii_form(authority: trustme.CA) -> None:
    names = Answers([OUTSIDE])
    with Door(authority, OUTSIDE, name="xn--bcher-kva.example") as door:
        sender = resolving(names)
        to = endpoint(f"https://bücher.example:{door.port}/über", allow_private=False)
        assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.ACCEPTED
        assert names.asked == [("xn--bcher-kva.example", door.port)]
        assert door.requests == [(f"xn--bcher-kva.example:{door.port}", "/%C3%BCber")]
        # Two standards map ß to different domains, so the name is not connected to.
        ambiguous = endpoint(f"https://straße.example:{door.port}/", allow_private=False)
        assert sender.send(ambiguous, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.UNREACHABLE
    sender.close()


def test_the_host_header_leaves_out_the_default_port() -> None:
    try:
        listening = socket.create_server((OUTSIDE, 80))
    except OSError:
        pytest.skip("port 80 is taken, or not for this user")
    with listening as door:
        sender = resolving(Answers([OUTSIDE]))
        got: list[bytes] = []

        def answer() -> None:
            connection, _ = door.accept()
            with connection:
                got.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        to = endpoint("http://hooks.example.org?q=1", allow_private=False)
        outcome = sender.send(to, DELIVERY, datetime.now(UTC))
        thread.join()
    sender.close()
    assert outcome is DeliveryOutcome.ACCEPTED
    assert got[0].startswith(b"POST /?q=1 HTTP/1.1\r\n")
    assert b"\r\nHost: hooks.example.org\r\n" in got[0]


def test_a_connection_is_used_again_while_the_address_stays(authority: trustme.CA) -> None:
    with Door(authority, OUTSIDE) as door:
        sender = resolving(Answers([OUTSIDE], [OUTSIDE], [OUTSIDE]))
        to = endpoint(f"https://hooks.example.org:{door.port}/", allow_private=False)
        for _ in range(3):
            assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.ACCEPTED
        assert (len(door.requests), door.connections) == (3, 1)
    sender.close()


def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "TIMEOUT_SECONDS", 0.2)
    ended = threading.Event()
    answered: list[str] = []

    def hanging(host: str, port: int) -> list[str]:
        ended.wait(5)
        answered.append(host)
        return [OUTSIDE]

    sender = resolving(hanging)
    to = endpoint("https://hooks.example.org/", allow_private=False)
    assert sender.send(to, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.TIMEOUT
    assert answered == []
    sender.close()
    ended.set()


def test_a_receiver_that_hangs_and_one_that_is_away_have_different_outcomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = WebhookSender({"web/main": [SECRET]})
    with monkeypatch.context() as patched, socket.create_server(("127.0.0.1", 0)) as silent:
        patched.setattr(sender_module, "TIMEOUT_SECONDS", 0.2)
        hanging = endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert sender.send(hanging, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.TIMEOUT
    away = endpoint(f"http://127.0.0.1:{free_port()}/")
    assert sender.send(away, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.UNREACHABLE
    nowhere = endpoint("https://no-such-host.invalid/")
    assert sender.send(nowhere, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.UNREACHABLE
    sender.close()
