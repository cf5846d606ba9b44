"""Settings of the SIP proxy, its listeners, and both sides of TLS."""

import http.server
import re
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from development.stack import ROOT
from tests.redis_servers import wait_for
from tests.sip.passports import write
from tests.sip.proxy import Caller, Proxy, Receiver, needs_kamailio

pytestmark = needs_kamailio


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificates of an authority of the proxy's own and of a foreign one."""
    folder, own, foreign = tmp_path_factory.mktemp("tls"), trustme.CA(), trustme.CA()
    return {
        name: write(folder, name, content)
        for name, content in {
            "authority": own.cert_pem.bytes(),
            **_pair("server", own.issue_cert("127.0.0.1")),
            **_pair("carrier", own.issue_cert(common_name="carrier")),
            **_pair("colleague", own.issue_cert(common_name="colleague")),
            **_pair("foreign", foreign.issue_cert(common_name="carrier")),
        }.items()
    }


def _pair(name: str, leaf: trustme.LeafCert) -> dict[str, bytes]:
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    return {name: chain, f"{name}-key": leaf.private_key_pem.bytes()}


@pytest.fixture(scope="module")
def proxy(
    receiver: Receiver, files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    started = Proxy(
        tmp_path_factory.mktemp("proxy"),
        receiver.url,
        WAITCALL_SIP_TRUNK="127.0.1.0/24",
        WAITCALL_SIP_ANSWER="603",
        WAITCALL_SIP_TLS_CERTIFICATE=files["server"],
        WAITCALL_SIP_TLS_KEY=files["server-key"],
        WAITCALL_SIP_TLS_CLIENT_CA=files["authority"],
        WAITCALL_SIP_TLS_CLIENTS="another,carrier",
    )
    try:
        yield started.start()
    finally:
        started.stop()


def over_tls(proxy: Proxy, files: dict[str, str], name: str | None, source: str = "127.0.0.1") -> str:
    """Return the answer to an OPTIONS over TLS with a client's certificate, or an empty text."""
    context = ssl.create_default_context(cafile=files["authority"])
    if name:
        context.load_cert_chain(files[name], files[f"{name}-key"])
    with Caller(proxy.port) as writer:
        message = writer.invite(method="OPTIONS").replace(b"SIP/2.0/UDP", b"SIP/2.0/TLS")
    plain = socket.create_connection(("127.0.0.1", proxy.tls_port), 10, source_address=(source, 0))
    with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
        secured.settimeout(2)
        secured.send(message)
        with suppress(TimeoutError):
            return secured.recv(65535).decode()
    return ""


def test_a_call_is_declined_where_the_setting_says_so(proxy: Proxy, receiver: Receiver) -> None:
    with Caller(proxy.port, "127.0.1.1") as caller:
        caller.send(caller.invite(call_id="declined"))
        assert caller.answer().startswith("SIP/2.0 603 Decline")
    assert receiver.event("declined")


def test_a_client_certificate_with_a_named_owner_may_call(proxy: Proxy, files: dict[str, str]) -> None:
    assert over_tls(proxy, files, "carrier").startswith("SIP/2.0 200")


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.1.1"])
@pytest.mark.parametrize("name", [None, "foreign", "colleague"])
def test_others_get_no_answer_over_tls_even_from_an_address_of_the_trunk(
    proxy: Proxy, files: dict[str, str], name: str | None, source: str
) -> None:
    with suppress(ssl.SSLError, ConnectionError):
        assert over_tls(proxy, files, name, source) == ""


def get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_metrics_and_health_have_a_listener_of_their_own(proxy: Proxy) -> None:
    paths = ("/metrics", "/healthz", "/", "/metrics/x")
    assert [get(proxy.metrics_port, path) for path in paths] == [200, 200, 404, 404]
    assert [get(proxy.port, path) for path in paths] == [404] * 4


def test_the_alerts_read_series_that_the_proxy_has(proxy: Proxy) -> None:
    rules = (ROOT / "helm/waitcall/rules/waitcall.yaml").read_text()
    selected = re.findall(r'waitcall_sip_(\w+)(?:\{result=~?"([a-z_|]+)"\})?', rules)
    assert len(selected) >= 3
    names = {f"{name}:{result}" if result else name for name, each in selected for result in each.split("|")}
    assert names <= proxy.metrics().keys()


def test_the_listener_of_metrics_takes_no_call(proxy: Proxy, receiver: Receiver) -> None:
    before = proxy.metrics()["foreign_total"]
    with Caller(proxy.port) as writer:
        message = writer.invite(call_id="metrics").replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
    address = ("127.0.0.1", proxy.metrics_port)
    with socket.create_connection(address, 10, source_address=("127.0.1.1", 0)) as connection:
        connection.send(message)
        wait_for(lambda: proxy.metrics()["foreign_total"] == before + 1)
    assert receiver.events("metrics") == []


def test_a_call_over_tcp_is_an_event(proxy: Proxy, receiver: Receiver) -> None:
    with Caller(proxy.port) as writer:
        message = writer.invite(call_id="over-tcp").replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
    address = ("127.0.0.1", proxy.port)
    with socket.create_connection(address, 10, source_address=("127.0.1.1", 0)) as connection:
        connection.send(message)
        assert receiver.event("over-tcp")


@pytest.mark.parametrize("trusted", [True, False])
def test_waitcalls_certificate_is_checked(tmp_path: Path, files: dict[str, str], trusted: bool) -> None:
    posts: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["server"], files["server-key"])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        proxy = Proxy(
            tmp_path,
            f"https://127.0.0.1:{server.server_port}",
            WAITCALL_SIP_CA=files["authority" if trusted else "foreign"],
        ).start()
        try:
            with Caller(proxy.port) as caller:
                caller.call()
            result = "events_total:" + ("posted" if trusted else "retried")
            wait_for(lambda: proxy.metrics()[result] == 1)
        finally:
            proxy.stop()
            server.shutdown()
    assert bool(posts) is trusted


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WAITCALL_SIP_SECRET": "short"}, "WAITCALL_SIP_SECRET must have at least 32 characters"),
        ({"WAITCALL_SIP_TRUNK": ""}, "Nobody may call"),
        ({"WAITCALL_SIP_ANSWER": "480"}, "WAITCALL_SIP_ANSWER must be 486 or 603"),
        ({"WAITCALL_SIP_QUEUE": "20001"}, "WAITCALL_SIP_QUEUE must be at most 20000"),
        ({"WAITCALL_URL": "http://127.0.0.1/"}, "WAITCALL_URL must not end with a slash"),
        ({"WAITCALL_SIP_TLS_CERTIFICATE": "x", "WAITCALL_SIP_TLS_CLIENTS": "y"}, "'x' cannot be read"),
        ({"WAITCALL_SIP_TLS_CERTIFICATE": "x"}, "WAITCALL_SIP_TLS_CLIENTS"),
        ({"WAITCALL_SIP_IDENTITY_HOSTS": "cr.example"}, "WAITCALL_SIP_IDENTITY_ROOTS cannot be read"),
        ({"WAITCALL_SIP_IDENTITY_ROOTS": "/dev/null"}, "WAITCALL_SIP_IDENTITY_HOSTS is empty"),
    ],
)
def test_a_wrong_setting_is_said_at_the_start(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    proxy = Proxy(tmp_path, "http://127.0.0.1:1", **settings)
    ended = subprocess.run(
        [ROOT / "sip" / "start.sh"],
        env=proxy.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
