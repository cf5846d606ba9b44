"""What is measured: the service on its stack, and beside it the floors, under the same gunicorn settings."""

import json
import os
import platform
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.load import Ask, Connection, closed_loop
from development.stack import ROOT, Ports, Stack, answers, development_settings

CONNECTIONS = 8
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
ONE_WORKER = {"WAITCALL_WORKERS": "1"}
PACKAGES = ("flask", "gunicorn", "gevent", "redis", "hiredis", "marshmallow", "prometheus-client")


class Measured(Stack):
    """The embedded stack under the shipped policy, whose limits of a country and in all leave room for a benchmark."""

    def __init__(self, ports: Ports, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(ports, environ)
        text = (ROOT / "config/policy.toml").read_text(encoding="utf-8")
        policy = self.directory / "policy.toml"
        policy.write_text(
            re.sub(r"^(country|global) = .*$", r'\1 = ["999999999/h"]', text, flags=re.MULTILINE),
            encoding="utf-8",
        )
        self.environ |= {"WAITCALL_POLICY": str(policy)}


class Subject:
    """The service under load, one worker process, at its shipped log level; and numbers that nobody has had yet."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ports = stack.ports
        self.pids = workers_of(stack, "service")
        self._secret = development_settings()["WAITCALL_CALLBACK_SECRETS"]
        self._numbers = count(79990000000)

    def create(self, port: int | None = None, path: str = "/v1/verifications") -> Ask:
        """For a fresh number, of the service unless a floor is named."""
        body = json.dumps({"phone_number": f"+{next(self._numbers)}", "purpose": "login"})
        return Ask.of(port or self.ports.api, "POST", path, 201, body)

    def read(self, made: Any, wait_seconds: int = 0) -> Ask:
        """Of one that was made; a long poll where it waits."""
        query = f"?wait={wait_seconds}" if wait_seconds else ""
        return Ask.of(self.ports.api, "GET", f"/v1/verifications/{made['id']}{query}", 200)

    def callback(self, made: Any) -> Ask:
        """The call that verifies it."""
        phone, ts = made["phone_number"].lstrip("+"), int(time.time())
        digest = sha1(f"{phone}:{ts}:{self._secret}".encode()).hexdigest()
        path = f"/callbacks/smsc?waitcall=1&phone={phone}&ts={ts}&sha1={digest}"
        return Ask.of(self.ports.callback, "GET", path, 200)

    def consume(self, made: Any) -> Ask:
        """Its redemption."""
        proof = json.dumps({"purpose": "login"})
        return Ask.of(self.ports.api, "POST", f"/v1/verifications/{made['id']}/consume", 200, proof)

    def make(self, number: int, port: int | None = None) -> list[Any]:
        """So many pending verifications, by the service unless another process is named."""
        asked = [self.create(port) for _ in range(number)]
        return [json.loads(body) for body in closed_loop(asked, 32).bodies]

    def provider(self, always: dict[str, Any] | None) -> None:
        """What the simulator does with each order from now on; None for answers at once."""
        faults = {"steps": [], "always": always} if always else {"steps": []}
        body = json.dumps(faults)
        connection = Connection(self.ports.control)
        connection.ask(Ask.of(self.ports.control, "POST", "/faults", 200, body))
        connection.close()

    def ledger(self) -> list[Any]:
        """What the simulator was asked."""
        with urllib.request.urlopen(f"{self.stack.control}/ledger", timeout=30) as response:
            entries: list[Any] = json.load(response)["ledger"]
        return entries


def start_floors(stack: Stack, name: str = "floors", options: Sequence[str] = ()) -> tuple[Ports, list[int]]:
    """Beside the service: the same gunicorn, configuration and Redis, but for ``options``. Ports and worker processes."""
    # Not as a part of the package, which patches gevent into whatever imports it.
    command = [*options, "--pythonpath", str(ROOT / "benchmarks"), "floors:app"]
    ports = _start_beside(stack, name, command, lambda ports: f"http://127.0.0.1:{ports.api}/f1")
    return ports, workers_of(stack, name)


def start_another(stack: Stack) -> Ports:
    """The service once more, over the same Redis: a process that has seen other requests."""
    command = ["service.wsgi:app"]
    return _start_beside(stack, "another", command, lambda ports: f"http://127.0.0.1:{ports.ops}/readyz")


def _start_beside(stack: Stack, name: str, options: Sequence[str], url: Callable[[Ports], str]) -> Ports:
    ports = Ports.free()
    environ = stack.environ_of_service() | {
        "WAITCALL_API_BIND": f"127.0.0.1:{ports.api}",
        "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{ports.callback}",
        "WAITCALL_OPS_BIND": f"127.0.0.1:{ports.ops}",
    }
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    command = [gunicorn, "--chdir", str(ROOT), "-c", "development/gunicorn.conf.py", *options]
    stack.processes.start(name, command, environ)
    stack.processes.wait_until(name, lambda: answers(url(ports)))
    return ports


def workers_of(stack: Stack, name: str) -> list[int]:
    """The processes that gunicorn's master has forked."""
    pid = stack.processes.pid(name)
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time that processes have used."""
    ticks = 0
    for pid in pids:
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(used[11]) + int(used[12])
    return ticks / TICKS_PER_SECOND


def resident_kb(pids: Sequence[int]) -> int:
    """Memory of processes."""
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude", "*"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "commit": commit,
        "cpu": model[0].partition(": ")[2] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }
