"""Fixtures that run the service with its production command, gunicorn -c config/gunicorn.conf.py waitcall.wsgi:app."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from simulator.dialler import Handler
from simulator.server import Options, Simulator
from simulator.smsru import SmsruAccount
from tests.redis_servers import Server, free_port, wait_for
from waitcall.adapters.redis.keys import INBOX
from waitcall.application.reconcile_inbox import SETTLING

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "a-key-of-web", "callback-secret-1"
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, [int(each) for each in sys.argv[1].split(":")])
os.execv(sys.argv[2], sys.argv[2:])
"""
RESOLVING = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
POLICY = """
dial_regions = ["RU"]
[purposes.login]
[clients.web]
purposes = ["login"]
[limits]
number = []
"""


@dataclass
class Answered:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """A running gunicorn with its three listeners."""

    process: subprocess.Popen[bytes]
    log: Path
    api: str
    callback: str
    ops: str
    environ: dict[str, str] = field(repr=False, default_factory=dict)

    def ask(self, method: str, url: str, body: Any = None, timeout: float = 40, **headers: str) -> Answered:
        data = json.dumps(body).encode() if body is not None else None
        sent = {"Authorization": f"Bearer {KEY}"} | ({"Content-Type": "application/json"} if data else {})
        request = urllib.request.Request(
            url, data=data, headers=sent | {n.replace("_", "-"): v for n, v in headers.items()}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answered(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, error.read(), dict(error.headers))

    def create(self, number: str = "+79991234567", **fields: Any) -> Answered:
        asked = {"phone_number": number, "purpose": "login", "reference": "flow"} | fields
        return self.ask("POST", f"{self.api}/v1/verifications", asked)

    def read(self, verification_id: str, wait: int = 0) -> Answered:
        return self.ask("GET", f"{self.api}/v1/verifications/{verification_id}?wait={wait}")

    def consume(self, verification_id: str) -> Answered:
        proof = {"purpose": "login", "reference": "flow"}
        return self.ask("POST", f"{self.api}/v1/verifications/{verification_id}/consume", proof)

    def call(self, phone: str, ts: int) -> Answered:
        digest = hashlib.sha1(f"{phone}:{ts}:{SECRET}".encode()).hexdigest()
        url = f"{self.callback}/callbacks/smsc?waitcall=1&phone={phone}&ts={ts}&sha1={digest}"
        return self.ask("GET", url)

    def metrics(self) -> dict[str, float]:
        text = self.ask("GET", f"{self.ops}/metrics").body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def total(self, name: str, *labels: str) -> float:
        """Return the sum of a metric over all series that have the labels."""
        return sum_of(self.metrics(), name, *labels)

    def workers(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def start_again(self) -> None:
        """Start the service again after its process died, as a supervisor would."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                production_command(), cwd=ROOT, env=self.environ, stdout=output, stderr=subprocess.STDOUT
            )


def sum_of(metrics: dict[str, float], name: str, *labels: str) -> float:
    return sum(
        value
        for series, value in metrics.items()
        if series.partition("{")[0] == name and all(label in series for label in labels)
    )


Starting = Callable[..., Service]


@dataclass
class Working:
    """A running `waitcall worker`."""

    process: subprocess.Popen[bytes]
    log: Path
    ops: str

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.ops}/metrics", timeout=5) as response:
            text = response.read().decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def fence(self) -> int:
        return int(self.metrics()["waitcall_leader_fence"])

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(40)


def launch_worker(service: Service, directory: Path, **environ: str) -> Working:
    """Start a worker with the settings of a service, and wait until it answers. `port` is that of its own bind, if it has one."""
    port = int(environ.pop("port", 0)) or free_port()
    log = directory / f"worker-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("waitcall")), "worker"],
            cwd=ROOT,
            env=service.environ | {"WAITCALL_WORKER_OPS_BIND": f"127.0.0.1:{port}"} | environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    bind = environ.get("WAITCALL_WORKER_OPS_BIND", "127.0.0.1").rpartition(":")[0] or "127.0.0.1"
    working = Working(process, log, f"http://{'[::1]' if bind == '[::]' else bind}:{port}")
    wait_for(working.metrics)
    return working


_POLL_IS_DUE = """
local kept = redis.call('GET', KEYS[1])
local progress = kept and cjson.decode(kept)
if progress and progress.asked_at < tonumber(ARGV[1]) then
  progress.asked_at = 0
  redis.call('SET', KEYS[1], cjson.encode(progress), 'KEEPTTL')
end
return kept
"""


def settle() -> None:
    """Wait until the worker may use every call that is in the inbox by now."""
    settled = time.monotonic() + SETTLING.total_seconds() + 1
    wait_for(lambda: time.monotonic() > settled)


def poll_inbox(client: Any) -> None:
    """Make the leading worker read the inbox now, and wait until it has.

    The provider refuses a fourth identical request within a minute.
    """
    began = time.time()

    def has_read() -> bool:
        kept = client.eval(_POLL_IS_DUE, 1, INBOX, began)
        return bool(kept) and (json.loads(kept)["read_at"] or 0) >= began

    wait_for(has_read)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    port = free_port()
    handler = Handler(f"http://127.0.0.1:{port}/callbacks/smsc", SECRET)
    other = SmsruAccount(handler=f"http://127.0.0.1:{port}/callbacks/smsru")
    with Simulator(Options(handler, calm=True, smsru=other)) as running:
        yield running


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Server]:
    server = Server("valkey").start()
    yield server
    if server.process is not None:
        server.process.send_signal(signal.SIGCONT)
    server.close()


@pytest.fixture
def starting(redis_server: Server, simulator: Simulator, tmp_path: Path) -> Iterator[Starting]:
    """Function that starts a service. The services end with the test, or they would disturb the next one's counts."""
    with ExitStack() as started:

        def start(*, ready: bool = True, policy: str = POLICY, **environ: str) -> Service:
            service = launch(tmp_path, redis_server, simulator, environ, policy)
            started.callback(service.stop)
            wait_for(lambda: answers(service, "readyz" if ready else "livez"))
            return service

        yield start


@pytest.fixture(scope="module")
def service(
    redis_server: Server, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    running = launch(tmp_path_factory.mktemp("service"), redis_server, simulator, {}, POLICY)
    wait_for(lambda: answers(running, "readyz"))
    yield running
    running.stop()


def launch(
    directory: Path, redis: Server, simulator: Simulator, environ: dict[str, str], policy: str
) -> Service:
    (directory / "policy.toml").write_text(policy)
    api, ops = free_port(), free_port()
    if "callback_port" in environ:
        callback = int(environ.pop("callback_port"))
    else:
        callback = int(simulator.dialler.handler.url.split(":")[2].split("/")[0])
    settings = sound_settings(directory, redis.url, simulator.base_url) | {
        "WAITCALL_API_BIND": f"127.0.0.1:{api}",
        "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{callback}",
        "WAITCALL_OPS_BIND": f"127.0.0.1:{ops}",
    }
    command = production_command()
    if "open_files" in environ:
        command = [sys.executable, "-c", LIMITED, environ.pop("open_files"), *command]
    if "resolv_conf" in environ:
        command = ["unshare", "--mount", "sh", "-c", RESOLVING, environ.pop("resolv_conf"), *command]
    log = directory / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=settings | environ, stdout=output, stderr=subprocess.STDOUT
        )
    urls = [f"http://127.0.0.1:{port}" for port in (api, callback, ops)]
    return Service(process, log, *urls, settings | environ)


def production_command() -> list[str]:
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    return [gunicorn, "-c", "config/gunicorn.conf.py", "waitcall.wsgi:app"]


def sound_settings(directory: Path, redis_url: str, smsc_url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAITCALL_")}
    return inherited | {
        "WAITCALL_REDIS_URL": redis_url,
        "WAITCALL_SMSC_URLS": smsc_url,
        "WAITCALL_SMSC_APIKEY": "sim-apikey",
        "WAITCALL_SMSC_TIMEOUT_SECONDS": "5",
        "WAITCALL_CALLBACK_SECRETS": SECRET,
        "WAITCALL_API_KEYS": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "WAITCALL_KEY_PEPPER": "p" * 32,
        "WAITCALL_POLICY": str(directory / "policy.toml"),
        "WAITCALL_WORKERS": "2",
        "WAITCALL_DRAIN_SECONDS": "0",
    }


def answers(service: Service, probe: str) -> bool:
    assert service.process.poll() is None, service.log.read_text()[-3000:]
    return service.ask("GET", f"{service.ops}/{probe}").status == 200


def connections(service: Service) -> int:
    """Count the established connections at the API's listener."""
    port = f":{int(service.api.rpartition(':')[2]):04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[1].endswith(port) and line.split()[3] == "01")
