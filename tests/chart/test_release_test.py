"""Test the script that ``helm test`` runs in a pod, as a process that asks a server on loopback."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO

from tests.redis_servers import free_port

SCRIPT = Path(__file__).resolve().parents[2] / "helm/waitcall/files/verification.py"
PROBLEM = {
    "title": "Cooling down",
    "status": 409,
    "detail": "This number was just verified.",
    "code": "cooldown",
}


class Api(BaseHTTPRequestHandler):
    """Answer creates as the service or the simulator would, and remember them. ``refuses``: answer 409 instead."""

    refuses = False
    numbers: list[str] = []  # noqa: RUF012  one list for the server of a test

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        asked = json.loads(self.rfile.read(length) or b"{}")
        if "phone_number" in asked:
            self.numbers.append(asked["phone_number"])
        status = {"GET": "verified", "DELETE": "canceled"}.get(self.command, "consumed")
        body = PROBLEM if self.refuses else {"id": "x", "status": status, "call": {"number": "+74950000000"}}
        self.send_response(409 if self.refuses else 200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  names of the base class

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(port: int, *, refuses: bool = False) -> Iterator[list[str]]:
    handler = type("Handler", (Api,), {"refuses": refuses, "numbers": []})
    server = HTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler.numbers
    server.shutdown()
    thread.join()
    server.server_close()


def started(port: int, *, simulated: bool) -> subprocess.Popen[str]:
    url = f"http://127.0.0.1:{port}"
    told = {
        "API": url,
        "SIMULATOR": url if simulated else "",
        "PHONE_NUMBER": "+79991234567",
        "PURPOSE": "login",
        "API_KEY": "k",
    }
    command = [sys.executable, str(SCRIPT)]
    return subprocess.Popen(
        command, env=os.environ | told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def said(script: subprocess.Popen[str]) -> str:
    text, _ = script.communicate(timeout=60)
    return text


def test_each_run_with_the_simulator_verifies_a_number_of_its_own() -> None:
    port = free_port()
    with serving(port) as numbers:
        for _ in range(3):
            script = started(port, simulated=True)
            assert "consumed: consumed" in said(script)
            assert script.returncode == 0
    assert len(set(numbers)) > 1
    assert all(len(number) == 12 and number.startswith("+7999123") for number in numbers)


def test_without_the_simulator_the_number_is_the_operators() -> None:
    port = free_port()
    with serving(port) as numbers:
        assert "created and canceled" in said(started(port, simulated=False))
    assert numbers == ["+79991234567"]


def test_a_refusal_is_told_with_its_problem_and_no_traceback() -> None:
    port = free_port()
    with serving(port, refuses=True):
        script = started(port, simulated=True)
        text = said(script)
    assert script.returncode == 1
    assert "answered 409" in text
    assert PROBLEM["detail"] in text
    assert "Traceback" not in text


def test_it_waits_until_the_servers_accept_its_connections() -> None:
    port = free_port()
    script = started(port, simulated=True)
    output: IO[str] | None = script.stdout
    assert output is not None
    assert "is not reached yet" in output.readline()
    with serving(port) as numbers:
        assert "consumed: consumed" in said(script)
    assert len(numbers) == 1
