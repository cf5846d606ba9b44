"""Count the modules and functions that one request runs: `make walks`.

    python -m development.walk

It traces a create and a callback in this process, through the WSGI app, with a Valkey and a provider simulator of its own.
Other requests run first, to fill caches. It counts our modules and functions that ran (each once; a comprehension
belongs to the function around it), calls from one of our modules into another, and writes to the socket of Redis.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from urllib.parse import urlencode, urlsplit

from werkzeug.test import create_environ, run_wsgi_app

from development.stack import API_KEY, ROOT, development_settings, valkey_command
from simulator.dialler import Handler
from simulator.server import Options, Simulator
from waitcall.composition import build, configure_logging
from waitcall.configuration.settings import load_settings

OURS = str(ROOT / "service/waitcall") + os.sep
API_PORT, CALLBACK_PORT = "8080", "8081"
WARM = 5


class Walk:
    """Profile of one request.

    Attributes:
        functions: our functions that ran.
        switches: calls from one of our modules into another.
        trips: writes to the socket of Redis.
    """

    def __init__(self) -> None:
        self.functions: set[CodeType] = set()
        self.switches = 0
        self.trips = 0

    @property
    def modules(self) -> set[str]:
        """Our files that ran."""
        return {each.co_filename for each in self.functions}

    def of(self, act: Callable[[], Any]) -> Any:
        """Run ``act``, count, and return its result."""
        sys.setprofile(self._profile)
        try:
            return act()
        finally:
            sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and getattr(argument, "__name__", "") in {"send", "sendall"}:
            to = getattr(argument, "__self__", None)
            # Redis listens on a Unix socket here, and the provider on TCP.
            self.trips += isinstance(to, socket.socket) and to.family == socket.AF_UNIX
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            if not frame.f_code.co_name.endswith("comp>") and frame.f_code.co_name != "<genexpr>":
                self.functions.add(frame.f_code)
            caller = _caller(frame)
            self.switches += caller is not None and caller != frame.f_code.co_filename


def _caller(frame: FrameType) -> str | None:
    """Return the file of the nearest calling function that is ours, or None."""
    above = frame.f_back
    while above is not None and not above.f_code.co_filename.startswith(OURS):
        above = above.f_back
    return above.f_code.co_filename if above else None


def main() -> None:
    """Print the counts of a create and a callback."""
    with tempfile.TemporaryDirectory() as directory:
        redis_socket = Path(directory) / "valkey.sock"
        with subprocess.Popen(
            valkey_command(Path(directory), redis_socket), stdout=subprocess.DEVNULL
        ) as valkey:
            try:
                while not redis_socket.exists():
                    time.sleep(0.01)
                # The service logs as in production, because logging is part of a request.
                with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
                    walks = _walk(f"unix://{redis_socket}")
            finally:
                valkey.terminate()
    print(f"{'':10}{'modules':>10}{'functions':>12}{'switches':>10}{'trips':>8}")
    for name, walk in walks.items():
        print(f"{name:10}{len(walk.modules):10}{len(walk.functions):12}{walk.switches:10}{walk.trips:8}")


def _walk(redis_url: str) -> dict[str, Walk]:
    settings = development_settings()
    secret = settings["WAITCALL_CALLBACK_SECRETS"]
    walks: dict[str, Walk] = {}
    with Simulator(Options(Handler("http://127.0.0.1:9/", secret), calm=True)) as simulator:
        environ = settings | {
            "WAITCALL_REDIS_URL": redis_url,
            "WAITCALL_SMSC_URLS": simulator.base_url,
            "WAITCALL_SMSC_APIKEY": "sim-apikey",
        }
        loaded = load_settings(environ, development=True)
        configure_logging(loaded)
        app = build(loaded, multiprocess_dir=None)
        for index in range(WARM):
            number = f"7999123{index:04}"
            walks = {"create": Walk(), "callback": Walk()}
            walks["create"].of(partial(_create, app, number))
            walks["callback"].of(partial(_call, app, number, secret))
    return walks


def _create(app: Any, number: str) -> None:
    asked = {"phone_number": f"+{number}", "purpose": "login", "reference": "flow"}
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    _post(app, f"http://127.0.0.1:{API_PORT}/v1/verifications", json.dumps(asked), headers)


def _call(app: Any, number: str, secret: str) -> None:
    at = int(time.time())
    digest = hashlib.sha1(f"{number}:{at}:{secret}".encode(), usedforsecurity=False).hexdigest()
    fields = {"waitcall": "1", "phone": number, "ts": str(at), "sha1": digest}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    _post(app, f"http://127.0.0.1:{CALLBACK_PORT}/callbacks/smsc", urlencode(fields), headers)


def _post(app: Any, url: str, body: str, headers: dict[str, str]) -> None:
    parts = urlsplit(url)
    environ = create_environ(parts.path, f"http://{parts.netloc}", method="POST", data=body, headers=headers)
    answer, status, _ = run_wsgi_app(app, environ, buffered=True)
    if not status.startswith("20"):
        raise RuntimeError(f"{url}: {status} {b''.join(answer)!r}")


if __name__ == "__main__":
    main()
