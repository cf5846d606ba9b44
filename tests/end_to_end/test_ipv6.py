"""Run the service over IPv6 on real sockets: its listeners, Redis, the provider, callbacks and webhooks."""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.end_to_end.conftest import SECRET, Service, answers, launch, launch_worker
from tests.end_to_end.receivers import SECRET as WEBHOOK_SECRET
from tests.end_to_end.receivers import Receiver, receiving
from tests.redis_servers import Server, free_port, wait_for

pytestmark = pytest.mark.slow

POLICY = """
dial_regions = ["RU"]
[purposes.login]
[clients.web]
purposes = ["login"]
[clients.web.webhooks.main]
url = "http://[::1]:{port}/hook"
allow_private = true
"""


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Server]:
    server = Server("valkey", host="::1").start()
    yield server
    server.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(host="::1") as running:
        yield running


def start(directory: Path, redis: Server, simulator: Simulator, receiver: Receiver, host: str) -> Service:
    ports = {name: free_port() for name in ("api", "callback", "ops")}
    binds = {f"WAITCALL_{name.upper()}_BIND": f"{host}:{port}" for name, port in ports.items()}
    environ = binds | {
        "WAITCALL_WEBHOOK_SECRETS": f"web/main={WEBHOOK_SECRET}",
        "callback_port": str(ports["callback"]),
    }
    service = launch(directory, redis, simulator, environ, POLICY.format(port=receiver.port))
    reached = host if host == "localhost" else "[::1]"
    service.api, service.callback, service.ops = (f"http://{reached}:{port}" for port in ports.values())
    return service


@pytest.mark.parametrize("host", ["[::1]", "[::]", "localhost"])
def test_a_verification_and_its_webhook_over_ipv6(
    tmp_path: Path, redis_server: Server, receiver: Receiver, host: str
) -> None:
    redis_server.flush()
    # The simulator's own callbacks are not used here.
    with Simulator(Options(Handler("http://[::1]:9/", SECRET), calm=True, host="::1")) as simulator:
        service = start(tmp_path, redis_server, simulator, receiver, host)
        worker = None
        try:
            wait_for(lambda: answers(service, "readyz"))
            port = free_port()
            worker = launch_worker(
                service, tmp_path, WAITCALL_WORKER_OPS_BIND=f"{host}:{port}", port=str(port)
            )
            made = service.create()
            assert made.status == 201
            assert service.call("79991234567", int(time.time())).body == b"OK"
            assert service.read(made.json["id"]).json["status"] == "verified"
            assert service.consume(made.json["id"]).status == 200
            wait_for(lambda: receiver.accepted)
        finally:
            service.stop()
            if worker is not None:
                worker.stop()


def test_a_listener_on_every_address_takes_ipv4_too_and_logs_the_peer_as_ipv4(
    tmp_path: Path, redis_server: Server, receiver: Receiver
) -> None:
    with Simulator(Options(Handler("http://[::1]:9/", SECRET), calm=True)) as simulator:
        service = start(tmp_path, redis_server, simulator, receiver, "[::]")
        worker = None
        try:
            wait_for(lambda: answers(service, "readyz"))
            for name in ("api", "callback", "ops"):
                setattr(service, name, getattr(service, name).replace("[::1]", "127.0.0.1"))
            assert service.call("79991234567", int(time.time())).body == b"OK"
            assert '"remote":"127.0.0.1"' in service.log.read_text()
            port = free_port()
            worker = launch_worker(service, tmp_path, WAITCALL_WORKER_OPS_BIND=f"[::]:{port}", port=str(port))
            # A kubelet sends the pod's address as the Host.
            probe = urllib.request.Request(
                f"http://127.0.0.1:{port}/livez", headers={"Host": f"[fd00::1]:{port}"}
            )
            with urllib.request.urlopen(probe, timeout=5) as answer:
                assert answer.status == 200
        finally:
            service.stop()
            if worker is not None:
                worker.stop()
