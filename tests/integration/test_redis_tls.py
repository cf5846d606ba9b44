"""Test TLS and client certificates for Redis in every topology, with an installed redis-server.

The embedded server has no TLS.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from redis import Redis
from redis.exceptions import RedisError

from tests.integration.conftest import Running
from tests.redis_servers import SLOTS, Server, binary, free_port, wait_for
from tests.worlds import redis_world

pytestmark = pytest.mark.skipif(binary("redis") is None, reason="redis-server is not installed")


class TlsServer:
    """Redis server that accepts only TLS, with a certificate for ``host``."""

    def __init__(
        self, directory: Path, authority: trustme.CA, host: str, *options: str, conf: str = ""
    ) -> None:
        self.port = free_port()
        home = directory / str(self.port)
        home.mkdir()
        issued = authority.issue_cert(host)
        issued.private_key_pem.write_to_path(home / "key.pem")
        issued.cert_chain_pems[0].write_to_path(home / "cert.pem")
        authority.cert_pem.write_to_path(directory / "ca.pem")
        tls = {
            "port": "0",
            "tls-port": str(self.port),
            "tls-cert-file": str(home / "cert.pem"),
            "tls-key-file": str(home / "key.pem"),
            "tls-ca-cert-file": str(directory / "ca.pem"),
            "tls-auth-clients": "no",
            "tls-replication": "yes",
        }
        lines = [f"{name} {value}" for name, value in tls.items()]
        (home / "redis.conf").write_text("\n".join([*lines, f"dir {home}", 'save ""', conf, ""]))
        self._process = subprocess.Popen(
            [binary("redis") or "", str(home / "redis.conf"), *options], stdout=subprocess.DEVNULL
        )
        self._ca, self._home = directory / "ca.pem", home
        wait_for(lambda: self.client().ping())

    def client(self) -> Redis:
        # The server may demand a client certificate, and its own is as good as any.
        pair = {
            "ssl_certfile": str(self._home / "cert.pem"),
            "ssl_keyfile": str(self._home / "key.pem"),
        }
        return Redis(port=self.port, ssl=True, ssl_ca_certs=str(self._ca), ssl_check_hostname=False, **pair)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


KINDS = ["rediss", "rediss+sentinel", "rediss+cluster"]
MUTUAL = "tls-auth-clients yes\n"
KEY_PASSWORD = "a-password-of-the-key"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the authority's certificate."""
    path = tmp_path_factory.mktemp("ca") / "trusted.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def trusted(ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca)


@contextmanager
def serving(kind: str, directory: Path, authority: trustme.CA, conf: str = "") -> Iterator[str]:
    """Start servers of a kind and return their URL."""
    start = partial(TlsServer, directory, authority, "127.0.0.1")
    servers = []
    if kind == "rediss":
        servers.append(start(conf=conf))
        url = f"rediss://127.0.0.1:{servers[0].port}/0"
    elif kind == "rediss+sentinel":
        servers.append(start(conf=conf))
        told = f"{conf}sentinel monitor mymaster 127.0.0.1 {servers[0].port} 1"
        servers.append(start("--sentinel", conf=told))
        url = f"rediss+sentinel://127.0.0.1:{servers[1].port}/mymaster/0"
    else:
        servers.append(start(conf=f"{conf}cluster-enabled yes\ncluster-port {free_port()}\ntls-cluster yes"))
        with servers[0].client() as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
            wait_for(lambda: b"cluster_state:ok" in info(client))
        url = f"rediss+cluster://127.0.0.1:{servers[0].port}"
    yield url
    for server in servers:
        server.close()


@pytest.fixture(params=KINDS, scope="module")
def url(
    request: pytest.FixtureRequest, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with serving(request.param, tmp_path_factory.mktemp("servers"), authority) as made:
        yield made


@pytest.fixture(params=KINDS, scope="module")
def mutual_url(
    request: pytest.FixtureRequest, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of servers, and of a sentinel, that demand a client certificate."""
    with serving(request.param, tmp_path_factory.mktemp("servers"), authority, MUTUAL) as made:
        yield made


def certificate(authority: trustme.CA, directory: Path) -> dict[str, str]:
    """Settings of a client certificate with an encrypted key."""
    directory.mkdir()
    issued = authority.issue_cert("client.example")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(KEY_PASSWORD.encode())
    )
    (directory / "key.pem").write_bytes(encrypted)
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    return {
        "WAITCALL_REDIS_CERT": str(directory / "cert.pem"),
        "WAITCALL_REDIS_KEY": str(directory / "key.pem"),
        "WAITCALL_REDIS_KEY_PASSWORD": KEY_PASSWORD,
    }


def readiness(running: Running) -> tuple[int, str]:
    answer = running.ops.test_client().get("/readyz")
    return answer.status_code, answer.get_json().get("detail", "")


def info(client: Any) -> bytes:
    with suppress(RedisError):
        client.response_callbacks.pop("CLUSTER INFO", None)
        return bytes(client.execute_command("CLUSTER INFO"))
    return b""


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_a_trusted_authority_is_accepted(url: str) -> None:
    with redis_world(url) as world:
        world.probe.ping()


def test_an_authority_of_the_settings_is_trusted(starting: Callable[..., Running], url: str, ca: str) -> None:
    running = starting(WAITCALL_REDIS_URL=url, WAITCALL_REDIS_CA=ca)

    assert readiness(running) == (200, "")
    assert running.create().status_code == 201


def test_a_certificate_of_an_unknown_authority_is_refused(starting: Callable[..., Running], url: str) -> None:
    status, told = readiness(starting(WAITCALL_REDIS_URL=url))

    assert status == 503
    assert "CERTIFICATE_VERIFY_FAILED" in told
    assert "set WAITCALL_REDIS_CA" in told


def test_a_certificate_for_another_host_is_refused(
    starting: Callable[..., Running], ca: str, authority: trustme.CA, tmp_path: Path
) -> None:
    server = TlsServer(tmp_path, authority, "another.example")

    url = f"rediss://127.0.0.1:{server.port}/0"
    status, told = readiness(starting(WAITCALL_REDIS_URL=url, WAITCALL_REDIS_CA=ca))

    server.close()
    assert status == 503
    assert "IP address mismatch" in told
    assert "the server's certificate is not for the host that we connect to" in told


@pytest.mark.parametrize("announced", ["localhost", "127.0.0.1"])
def test_certificates_for_names_need_a_sentinel_that_announces_names(
    starting: Callable[..., Running], ca: str, authority: trustme.CA, tmp_path: Path, announced: str
) -> None:
    start = partial(TlsServer, tmp_path, authority, "localhost")
    master = start()
    names = "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
    told = f"{names}sentinel monitor mymaster {announced} {master.port} 1"
    sentinel = start("--sentinel", conf=told)

    url = f"rediss+sentinel://localhost:{sentinel.port}/mymaster"
    status, cause = readiness(starting(WAITCALL_REDIS_URL=url, WAITCALL_REDIS_CA=ca))

    master.close()
    sentinel.close()
    assert status == (200 if announced == "localhost" else 503)
    assert ("IP address mismatch" in cause) == (announced != "localhost")


def test_a_client_certificate_is_shown_to_servers_and_sentinels(
    starting: Callable[..., Running], mutual_url: str, ca: str, authority: trustme.CA, tmp_path: Path
) -> None:
    settings = certificate(authority, tmp_path / "client")

    running = starting(WAITCALL_REDIS_URL=mutual_url, WAITCALL_REDIS_CA=ca, **settings)

    assert readiness(running) == (200, "")
    made = running.create(phone_number="+79991234568")
    assert made.status_code == 201
    assert running.call("79991234568").status_code == 200
    assert running.get(made.headers["Location"]).get_json()["status"] == "verified"


def test_certificates_may_be_named_by_variables_with_file(
    starting: Callable[..., Running], mutual_url: str, ca: str, authority: trustme.CA, tmp_path: Path
) -> None:
    """A key in the file of the certificate needs no setting of its own."""
    authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")

    running = starting(
        WAITCALL_REDIS_URL=mutual_url,
        WAITCALL_REDIS_CA_FILE=ca,
        WAITCALL_REDIS_CERT_FILE=str(tmp_path / "both.pem"),
    )

    assert readiness(running) == (200, "")


def test_a_missing_client_certificate_is_named(
    starting: Callable[..., Running], mutual_url: str, ca: str
) -> None:
    status, told = readiness(starting(WAITCALL_REDIS_URL=mutual_url, WAITCALL_REDIS_CA=ca))

    assert status == 503
    # The server may end the connection before its reason is read.
    assert "demand" in told
    assert "a client certificate" in told
    assert "WAITCALL_REDIS_CERT" in told


def test_a_refused_client_certificate_is_named(
    starting: Callable[..., Running], mutual_url: str, ca: str, tmp_path: Path
) -> None:
    strange = certificate(trustme.CA(), tmp_path / "client")

    status, told = readiness(starting(WAITCALL_REDIS_URL=mutual_url, WAITCALL_REDIS_CA=ca, **strange))

    assert status == 503
    assert "WAITCALL_REDIS_CERT" in told


def test_a_url_without_tls_for_a_server_with_tls_is_named(starting: Callable[..., Running], url: str) -> None:
    status, told = readiness(starting(WAITCALL_REDIS_URL=url.replace("rediss", "redis")))

    assert status == 503
    assert "if it accepts only TLS, WAITCALL_REDIS_URL begins with rediss" in told


def test_a_url_with_tls_for_a_server_without_tls_is_named(starting: Callable[..., Running]) -> None:
    server = Server("redis").start()

    status, told = readiness(starting(WAITCALL_REDIS_URL=server.url.replace("redis", "rediss")))

    server.close()
    assert status == 503
    assert "without TLS, WAITCALL_REDIS_URL begins with redis, not rediss" in told
