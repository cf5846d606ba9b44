"""Service under measurement, on its embedded stack, and the floors with the same gunicorn settings."""

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
from development.ports import Ports
from development.stack import ROOT, Stack, answers, development_settings

CONNECTIONS = 8
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
ONE_WORKER = {"WAITCALL_WORKERS": "1"}
PACKAGES = ("flask", "gunicorn", "gevent", "redis", "hiredis", "marshmallow", "prometheus-client")


class Measured(Stack):
    """Embedded stack with the shipped policy, but without its limits by country and in total, which a benchmark exceeds."""

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
    """Service under load, and the requests to it. Each create is for a phone number that was not used before."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ports = stack.ports
        self.pids = workers_of(stack, "service")
        self._secret = development_settings()["WAITCALL_CALLBACK_SECRETS"]
        self._numbers = count(79990000000)

    def create(self, port: int | None = None, path: str = "/v1/verifications") -> Ask:
        """Return a create for a new phone number, to the service unless another port and path are given."""
        body = json.dumps({"phone_number": f"+{next(self._numbers)}", "purpose": "login"})
        return Ask.of(port or self.ports.api, "POST", path, 201, body)

    def read(self, made: Any, wait_seconds: int = 0) -> Ask:
        """Return a read of a verification; a long poll if ``wait_seconds`` is given."""
        query = f"?wait={wait_seconds}" if wait_seconds else ""
        return Ask.of(self.ports.api, "GET", f"/v1/verifications/{made['id']}{query}", 200)

    def callback(self, made: Any) -> Ask:
        """Return the signed callback of the call that verifies a verification."""
        phone, ts = made["phone_number"].lstrip("+"), int(time.time())
        digest = sha1(f"{phone}:{ts}:{self._secret}".encode()).hexdigest()
        path = f"/callbacks/smsc?waitcall=1&phone={phone}&ts={ts}&sha1={digest}"
        return Ask.of(self.ports.callback, "GET", path, 200)

    def consume(self, made: Any) -> Ask:
        """Return a consume of a verification."""
        proof = json.dumps({"purpose": "login"})
        return Ask.of(self.ports.api, "POST", f"/v1/verifications/{made['id']}/consume", 200, proof)

    def make(self, number: int, port: int | None = None) -> list[Any]:
        """Create ``number`` pending verifications, by the service unless another process's port is given."""
        asked = [self.create(port) for _ in range(number)]
        return [json.loads(body) for body in closed_loop(asked, 32).bodies]

    def provider(self, always: dict[str, Any] | None) -> None:
        """Set the fault that the simulator applies to each order from now on; None for no fault."""
        faults = {"steps": [], "always": always} if always else {"steps": []}
        body = json.dumps(faults)
        connection = Connection(self.ports.control)
        connection.ask(Ask.of(self.ports.control, "POST", "/faults", 200, body))
        connection.close()

    def ledger(self) -> list[Any]:
        """Return the simulator's ledger."""
        with urllib.request.urlopen(f"{self.stack.control}/ledger", timeout=30) as response:
            entries: list[Any] = json.load(response)["ledger"]
        return entries


def start_floors(stack: Stack, name: str = "floors", options: Sequence[str] = ()) -> tuple[Ports, list[int]]:
    """Start the floors next to the service, with more gunicorn ``options``. Return their ports and worker processes."""
    # Import them from the path and not from the package, because the package patches with gevent.
    command = [*options, "--pythonpath", str(ROOT / "benchmarks"), "floors:app"]
    ports = _start_beside(stack, name, command, lambda ports: f"http://127.0.0.1:{ports.api}/f1")
    return ports, workers_of(stack, name)


def start_another(
    stack: Stack, name: str = "another", on: Callable[..., Sequence[str]] | None = None
) -> Ports:
    """Start a second service with the same Redis, which answers some of a verification's requests.

    ``on`` turns the words of its command into the command that runs them on another Python.
    """
    command = ["waitcall.wsgi:app"]
    return _start_beside(stack, name, command, lambda ports: f"http://127.0.0.1:{ports.ops}/readyz", on)


def _start_beside(
    stack: Stack,
    name: str,
    options: Sequence[str],
    url: Callable[[Ports], str],
    on: Callable[..., Sequence[str]] | None = None,
) -> Ports:
    ports = Ports.free()
    environ = stack.environ_of_service() | {
        "WAITCALL_API_BIND": f"127.0.0.1:{ports.api}",
        "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{ports.callback}",
        "WAITCALL_OPS_BIND": f"127.0.0.1:{ports.ops}",
    }
    words = ["--chdir", str(ROOT), "-c", "development/gunicorn.conf.py", *options]
    if on is None:
        command = [str(Path(sys.executable).with_name("gunicorn")), *words]
    else:
        command = [*on("gunicorn", *words)]
    stack.processes.start(name, command, environ)
    stack.processes.wait_until(name, lambda: answers(url(ports)))
    return ports


def workers_of(stack: Stack, name: str) -> list[int]:
    """Return the process ids of the workers of a gunicorn master."""
    pid = stack.processes.pid(name)
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the user and system time that processes have used, in seconds."""
    ticks = 0
    for pid in pids:
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(used[11]) + int(used[12])
    return ticks / TICKS_PER_SECOND


def resident_kb(pids: Sequence[int]) -> int:
    """Return the resident memory of processes, in kB."""
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def machine() -> dict[str, Any]:
    """Describe the machine, the commit and the package versions of a measurement."""
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
