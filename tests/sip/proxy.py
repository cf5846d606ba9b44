"""A real Kamailio with the shipped configuration, a receiver of its events, and callers over UDP."""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from development.ports import free_port
from development.processes import Processes
from development.stack import ROOT
from tests.redis_servers import wait_for

MODULES = ("secsipid", "db_sqlite", "tls", "http_client", "jansson", "uuid", "xhttp_prom")
SECRET = "a secret of $the tests that is 'quoted' and % long"
POOL, CALLER = "+15551230001", "+12025550123"
STRANGER = "127.0.0.9"
"""Source address that the proxy does not know. Every address of 127.0.0.0/8 is this machine's."""


def missing() -> list[str]:
    """Return what is not installed; `make sip-tools` installs it."""
    lost = [tool for tool in ("kamailio", "sipp", "sqlite3", "eatmydata") if shutil.which(tool) is None]
    folders = list(Path("/usr/lib").glob("*/kamailio/modules"))
    return lost + [name for name in MODULES if not any((each / f"{name}.so").exists() for each in folders)]


needs_kamailio = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"make sip-tools installs: {', '.join(missing())}"),
]


@dataclass
class Receiver:
    """Posts in their order: signature and body. ``elsewhere`` has the paths of other requests. ``answer`` gives the status of each, or 0 to answer only at the end."""

    port: int = 0
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    answer: Callable[[int], int] = lambda _: 204
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self, call_id: str | None = None) -> list[dict[str, Any]]:
        """Return the events of a call, without repeats. Each post must be signed and a repeat equal."""
        bodies: dict[str, tuple[str, bytes]] = {}
        for signature, body in list(self.posts):
            assert signature == sign(body)
            nonce = json.loads(body, object_pairs_hook=without_duplicates)["nonce"]
            assert bodies.setdefault(nonce, (signature, body)) == (signature, body)
        found = [json.loads(body) for _, body in bodies.values()]
        return [each for each in found if call_id in (None, each["call_id"])]

    def event(self, call_id: str) -> dict[str, Any]:
        """Wait for the only event of a call."""
        wait_for(lambda: self.events(call_id))
        (found,) = self.events(call_id)
        return found


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def sign(body: bytes) -> str:
    digest = hmac.digest(SECRET.encode(), body, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[Receiver]:
    """Listen for events, on any port or on a given one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.path != "/callbacks/sip":
                receiver.elsewhere.append(self.path)
                self.send_error(404)
                return
            receiver.headers.append(dict(self.headers.items()))
            receiver.posts.append((self.headers["X-Waitcall-Signature"], body))
            status = receiver.answer(len(receiver.posts))
            if not status:
                receiver.ended.wait()
            self.send_response(status or 503)
            if 300 <= status < 400:
                self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *args: Any) -> None:
            pass

    with Server(("127.0.0.1", port), Handler) as server:
        receiver.port = server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.ended.set()
            server.shutdown()


class Proxy:
    """Kamailio as ``sip/start.sh`` starts it. Its folder of state outlives a restart."""

    def __init__(self, folder: Path, url: str, **settings: str) -> None:
        self.port, self.tls_port, self.metrics_port = free_port(), free_port(), free_port()
        self.state = folder / "state"
        folder.mkdir(exist_ok=True)
        self._processes = Processes(folder)
        here = "127.0.0.1"
        self.environ = {
            "PATH": os.environ["PATH"],
            "WAITCALL_URL": url,
            "WAITCALL_SIP_SECRET": f"{SECRET},the previous one",
            "WAITCALL_SIP_TRUNK": "127.0.0.1 127.0.1.0/24",
            "WAITCALL_SIP_STATE": str(self.state),
            "WAITCALL_SIP_UDP": f"udp:{here}:{self.port}",
            "WAITCALL_SIP_TCP": f"tcp:{here}:{self.port}",
            "WAITCALL_SIP_TLS": f"tls:{here}:{self.tls_port}",
            "WAITCALL_SIP_METRICS": f"tcp:{here}:{self.metrics_port}",
            "WAITCALL_SIP_WORKERS": "2",
        } | settings

    def start(self) -> Self:
        self._processes.start("kamailio", [str(ROOT / "sip" / "start.sh")], self.environ)
        self._processes.wait_until("kamailio", self._is_ready)
        return self

    def stop(self) -> None:
        """Stop Kamailio by SIGTERM."""
        self._processes.stop()

    @property
    def output(self) -> str:
        return self._processes.output("kamailio")

    @property
    def pid(self) -> int:
        return self._processes.pid("kamailio")

    def pids(self) -> list[int]:
        """Return the ids of all processes of Kamailio."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def metrics(self) -> dict[str, float]:
        """Return the samples without the prefix of their names, by name and label's value: ``calls_total:queued``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        pattern = r'^waitcall_sip_(\w+)\s*(?:\{\w+="(\w+)"\})? (\S+) \d+$'
        return {
            name + (f":{label}" if label else ""): float(value)
            for name, label, value in re.findall(pattern, text, re.MULTILINE)
        }

    def settle(self) -> None:
        """Wait until waitcall has every event for good."""
        wait_for(lambda: self._waiting(self.metrics()) == 0)

    @staticmethod
    def _waiting(found: Mapping[str, float]) -> float:
        ended = sum(found[f"events_total:{result}"] for result in ("posted", "refused", "expired"))
        return found["calls_total:queued"] - ended

    def _is_ready(self) -> bool:
        try:
            return bool(self.metrics())
        except OSError:
            return False


@dataclass
class Caller:
    """Caller over UDP, who sends exactly the bytes that a test gives."""

    port: int
    address: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 0))
        self.socket.connect(("127.0.0.1", self.port))
        self.socket.settimeout(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def invite(self, *headers: str, **changes: str) -> bytes:
        """Build an INVITE from ``CALLER`` to ``POOL``, or any other request."""
        local = self.socket.getsockname()[1]
        method = changes.get("method", "INVITE")
        given = {
            "uri": f"sip:{POOL}@127.0.0.1:{self.port}",
            "from_": f"<sip:{CALLER}@carrier.example>;tag=1",
            "to": f"<sip:{POOL}@127.0.0.1>",
            "call_id": new_id(),
            "branch": new_id(),
        } | changes
        lines = (
            f"{method} {given['uri']} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address}:{local};branch=z9hG4bK{given['branch']}",
            f"From: {given['from_']}",
            f"To: {given['to']}",
            f"Call-ID: {given['call_id']}",
            f"CSeq: 1 {method}",
            "Max-Forwards: 70",
            *headers,
            "Content-Length: 0",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def send(self, message: bytes) -> None:
        self.socket.send(message)

    def status(self) -> int:
        """Return the status of the next final answer."""
        return int(self.answer().split()[1])

    def answer(self) -> str:
        """Return the next final answer."""
        while True:
            answer = self.socket.recv(65535).decode("latin-1")
            if not answer.startswith("SIP/2.0 1"):
                return answer

    def call(self, *headers: str, **changes: str) -> str:
        """Make a call that must end busy, and return its Call-ID."""
        given = {"call_id": new_id(), "branch": new_id()} | changes
        self.send(self.invite(*headers, **given))
        answer = self.answer()
        assert answer.startswith("SIP/2.0 486")
        to = re.search(r"^To: (.*)\r$", answer, re.MULTILINE | re.IGNORECASE)
        assert to is not None
        self.send(self.invite(**given | {"method": "ACK", "to": to[1]}))
        return given["call_id"]


def new_id() -> str:
    return uuid.uuid4().hex


def sipp(proxy: Proxy, folder: Path, scenario: Path, rows: list[str], **options: object) -> None:
    """Run SIPp with one call for each row of fields, and check that each call ended as the scenario says."""
    table = folder / f"{new_id()}.csv"
    table.write_text("SEQUENTIAL\n" + "".join(row + "\n" for row in rows))
    given = {"r": 200, "m": len(rows), "l": 4000, "timeout": 120} | options
    command = [
        "sipp",
        "-sf",
        str(scenario),
        "-inf",
        str(table),
        "-i",
        "127.0.0.1",
        "-nostdin",
        "-timeout_error",
    ]
    command += [word for name, value in given.items() for word in (f"-{name}", str(value))]
    ran = subprocess.run(
        [*command, f"127.0.0.1:{proxy.port}"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
