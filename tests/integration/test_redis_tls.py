"""Test TLS to Redis in every topology with an installed redis-server, because the embedded server has no TLS."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis import Redis
from redis.exceptions import RedisError

from tests.redis_servers import SLOTS, binary, free_port, wait_for
from tests.worlds import redis_world
from waitcall.domain.errors import StoreUnavailable

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
        self._ca = directory / "ca.pem"
        wait_for(lambda: self.client().ping())

    def client(self) -> Redis:
        return Redis(port=self.port, ssl=True, ssl_ca_certs=str(self._ca), ssl_check_hostname=False)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))


@pytest.fixture(params=["rediss", "rediss+sentinel", "rediss+cluster"])
def url(request: pytest.FixtureRequest, tmp_path: Path, authority: trustme.CA) -> Iterator[str]:
    serve = partial(TlsServer, tmp_path, authority, "127.0.0.1")
    servers = []
    if request.param == "rediss":
        servers.append(serve())
        address = f"rediss://127.0.0.1:{servers[0].port}/0"
    elif request.param == "rediss+sentinel":
        master = serve()
        told = f"sentinel monitor mymaster 127.0.0.1 {master.port} 1"
        servers += [master, serve("--sentinel", conf=told)]
        address = f"rediss+sentinel://127.0.0.1:{servers[1].port}/mymaster/0"
    else:
        servers.append(serve(conf=f"cluster-enabled yes\ncluster-port {free_port()}\ntls-cluster yes"))
        with servers[0].client() as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
            wait_for(lambda: b"cluster_state:ok" in info(client))
        address = f"rediss+cluster://127.0.0.1:{servers[0].port}"
    yield address
    for server in servers:
        server.close()


def info(client: Any) -> bytes:
    with suppress(RedisError):
        client.response_callbacks.pop("CLUSTER INFO", None)
        return bytes(client.execute_command("CLUSTER INFO"))
    return b""


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_a_trusted_authority_is_accepted(url: str) -> None:
    with redis_world(url) as world:
        world.probe.ping()


def test_a_certificate_of_an_unknown_authority_is_refused(url: str) -> None:
    with redis_world(url) as world, pytest.raises(StoreUnavailable) as refused:
        world.probe.ping()
    # Behind a sentinel, redis-py reports only that it found no master.
    told = "No master found" if "sentinel" in url else "CERTIFICATE_VERIFY_FAILED"
    assert told in "".join(causes(refused.value))


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_host_is_refused(tmp_path: Path, authority: trustme.CA) -> None:
    server = TlsServer(tmp_path, authority, "another.example")
    with (
        redis_world(f"rediss://127.0.0.1:{server.port}/0") as world,
        pytest.raises(StoreUnavailable) as refused,
    ):
        world.probe.ping()
    server.close()
    assert "IP address mismatch" in "".join(causes(refused.value))


def causes(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__
