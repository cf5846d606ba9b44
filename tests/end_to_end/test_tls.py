"""Test TLS to Redis, with a client certificate, and to the provider under the production command, where gevent replaces the ssl module."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from simulator.server import Simulator
from tests.end_to_end.conftest import Starting
from tests.integration.test_redis_tls import TlsServer
from tests.redis_servers import binary, free_port, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binary("redis") is None, reason="redis-server is not installed"),
]


@pytest.fixture
def tls_provider(simulator: Simulator, authority: trustme.CA) -> Iterator[str]:
    """Address of a TLS proxy in front of the simulator."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    inner = int(simulator.base_url.split(":")[2].split("/")[0])
    door = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                outer = context.wrap_socket(door.accept()[0], server_side=True)
                behind = socket.create_connection(("127.0.0.1", inner))
                for pair in ((outer, behind), (behind, outer)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://localhost:{door.getsockname()[1]}/sys"
    door.close()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_redis(tmp_path: Path, authority: trustme.CA) -> Iterator[TlsServer]:
    server = TlsServer(tmp_path, authority, "127.0.0.1", conf="tls-auth-clients yes")
    yield server
    server.close()


def test_a_verification_over_tls_on_both_sides(
    starting: Starting, tmp_path: Path, authority: trustme.CA, tls_redis: TlsServer, tls_provider: str
) -> None:
    trusted = tmp_path / "trusted.pem"
    authority.cert_pem.write_to_path(trusted)
    authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "client.pem"
    )
    service = starting(
        callback_port=str(free_port()),
        WAITCALL_REDIS_CERT=str(tmp_path / "client.pem"),
        WAITCALL_REDIS_URL=f"rediss://127.0.0.1:{tls_redis.port}/0",
        WAITCALL_SMSC_URLS=tls_provider,
        SSL_CERT_FILE=str(trusted),
    )
    made = service.create("+79991234567").json
    with ThreadPoolExecutor(1) as threads:
        url = f"{service.api}/v1/verifications/{made['id']}?wait=30"
        poll = threads.submit(service.ask, "GET", url, timeout=40)
        wait_for(lambda: tls_redis.client().execute_command("PUBSUB SHARDCHANNELS") != [])
        assert service.call("79991234567", int(time.time())).status == 200
        assert poll.result().json["status"] == "verified"
    assert service.consume(made["id"]).status == 200
    assert "MonkeyPatchWarning" not in service.log.read_text()
