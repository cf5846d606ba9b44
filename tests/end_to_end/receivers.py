"""Webhook receivers as clients run them: each verifies its events with the standardwebhooks library."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"


@dataclass
class Receiver:
    """Address of a receiver, the headers that it got, and the ids and bodies of the events that it accepted."""

    port: int = 0
    accepted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> set[str]:
        return {event_id for event_id, _ in self.accepted}


@contextmanager
def receiving(
    answer: Callable[[int], int] = lambda _: 204,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    secret: str = SECRET,
    refused: int = 401,
) -> Iterator[Receiver]:
    """Run a receiver. ``answer`` maps the number of a request, from 1 on, to the status of its answer.

    ``refused``: status of the answer to an event without a signature by ``secret``.
    """
    receiver, lock = Receiver(), threading.Lock()
    verifier = Webhook(secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = dict(self.headers.items())
            with lock:
                receiver.asked += 1
                number = receiver.asked
                receiver.headers.append(headers)
            status = answer(number)
            if 200 <= status < 300:
                try:
                    event = verifier.verify(body, headers)
                except WebhookVerificationError:
                    status = refused
                else:
                    with lock:
                        receiver.accepted.append((headers["webhook-id"], event))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", receiver.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = Server((host, port), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
