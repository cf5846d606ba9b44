"""Simulator as a running server: the providers' API and the control API, each in a thread.

The command line and the tests use it. Port 0 takes a free port. Both accept connections once the constructor returns.
"""

import logging
import random
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from flask import Flask, request
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app

from simulator.cabinet import Cabinet
from simulator.control import create_control
from simulator.dialler import Delivery, Dialler, Handler
from simulator.exchange import Account, Exchange
from simulator.faults import FaultPlan
from simulator.fixed import FixedOutcome, Subscribers
from simulator.front import create_front
from simulator.messages import PostOffice, Sent, status_fields
from simulator.own_numbers import Trunk
from simulator.smsru import Callcheck, SmsruAccount, add_callcheck

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Options:
    """Options of a simulator."""

    handler: Handler
    account: Account = field(default_factory=lambda: Account("sim", "sim-password", "sim-apikey"))
    host: str = "127.0.0.1"
    front_port: int = 0
    control_port: int = 0
    seed: int | None = None
    calm: bool = False
    expose: bool = False
    smsru: SmsruAccount = field(default_factory=SmsruAccount)
    deliver_after: float | None = None
    """Seconds after which each message is reported delivered; None: only ``POST /deliver`` reports it."""
    test_numbers: Mapping[str, FixedOutcome] = field(default_factory=dict)
    """Test numbers by their digits."""
    own: Sequence[Trunk] = ()
    """Numbers of the service's own, with the way in which their calls are reported."""
    rented: Sequence[str] = ()
    """Digits of the dedicated numbers that the account rents at the start."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """URLs of the examples to which the handset links, by their names."""


class _Handler(WSGIRequestHandler):
    # HTTP/1.1 keeps connections alive like the real provider, so that the service's pooled connections are tested.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def run_wsgi(self) -> None:
        """Answer the request and keep the connection. Werkzeug's own method ends it after each request."""
        try:
            self._answer(self.make_environ())
        except (ConnectionError, TimeoutError):
            # The fault plan wants a reset, or the peer has gone: end the connection without an answer.
            self.close_connection = True

    def _answer(self, environ: dict[str, Any]) -> None:
        pieces, status, headers = run_wsgi_app(self.server.app, environ)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        chunked = "Content-Length" not in headers and int(code) not in (204, 304)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%X\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ARG002  werkzeug's name
        logging.getLogger("simulator").debug(message, *args)


class _Server(ThreadedWSGIServer):
    daemon_threads = True
    # A request that hangs must not delay the shutdown.
    block_on_close = False

    def __init__(self, host: str, port: int, app: Flask) -> None:
        # Every address, on a machine whose kernel has no IPv6.
        if host == "::" and not socket.has_dualstack_ipv6():
            host = "0.0.0.0"  # nosec B104  # reached only with --expose
        super().__init__(host, port, app, handler=_Handler)
        self.open: set[socket.socket] = set()
        app.before_request(_read_whole)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def end(self) -> None:
        """Stop the server, and close the connections that are still open."""
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _read_whole() -> None:
    request.get_data()


class Simulator:
    """Running simulator. A ``with`` block stops it at its end."""

    def __init__(self, options: Options) -> None:
        if options.host not in LOOPBACK and not options.expose:
            raise ValueError("The simulator binds to loopback only, unless --expose is given.")
        if options.smsru.handler and not options.smsru.handler.startswith(("http://", "https://")):
            raise ValueError("The other provider's handler must be an http(s) URL.")
        self._offset = 0.0
        self._lock = threading.RLock()
        self._released = threading.Event()
        rng = random.Random(options.seed)
        self.exchange = Exchange(options.account, rng)
        self.office = PostOffice(rng)
        self.cabinet = Cabinet()
        for phone in options.rented:
            try:
                self.cabinet.rent(phone, "")
            except ValueError:
                raise ValueError(f"{phone} is not a number for rent.") from None
        self._deliver_after = options.deliver_after
        self.faults = FaultPlan()
        self.smsru_faults = FaultPlan()
        self.callcheck = Callcheck(options.smsru, rng)
        self.dialler = Dialler(options.handler, self._record, rng, calm=options.calm)
        subscribers = Subscribers(options.test_numbers)
        front = create_front(
            self.exchange,
            self.faults,
            self._lock,
            self._released,
            self.clock,
            self.office,
            self.cabinet,
            self._taken,
            subscribers,
        )
        add_callcheck(
            front,
            self.callcheck,
            self.smsru_faults,
            self._lock,
            self._released,
            self.clock,
            self.exchange.ledger,
            subscribers,
        )
        # Without this, Flask would answer 500 instead of the planned reset.
        front.config["PROPAGATE_EXCEPTIONS"] = True
        control = create_control(
            self.exchange,
            self.faults,
            self.dialler,
            self._lock,
            self._released,
            self.clock,
            self.advance,
            self.office,
            self.cabinet,
            self.deliver,
            self.callcheck,
            self.smsru_faults,
            subscribers,
            options.examples,
            {number: trunk for trunk in options.own for number in trunk.numbers},
        )
        self._servers = [
            _Server(options.host, options.front_port, front),
            _Server(options.host, options.control_port, control),
        ]
        host = f"[{options.host}]" if ":" in options.host else options.host
        self.base_url = f"http://{host}:{self._servers[0].server_port}/sys"
        self.smsru_url = f"http://{host}:{self._servers[0].server_port}/smsru"
        self.control_url = subscribers.control_url = f"http://{host}:{self._servers[1].server_port}"

    def clock(self) -> float:
        """Return the simulator's time in epoch seconds."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the simulator's clock by some seconds."""
        self._offset += seconds

    def deliver(self, sent: Sent, status: int = 1, err: int = 0) -> list[dict[str, Any]]:
        """Set the status of a message and report it to the handler. Return the ledger entries."""
        with self._lock:
            sent.status, sent.err, sent.status_at = status, err, self.clock()
            fields = status_fields(sent)
        return self.dialler.send(self.dialler.handler, Delivery(), "status", fields)

    def _taken(self, sent: Sent) -> None:
        if self._deliver_after is not None:
            timer = threading.Timer(self._deliver_after, self.deliver, (sent,))
            timer.daemon = True
            timer.start()

    @property
    def open(self) -> frozenset[socket.socket]:
        """Open connections of the providers' API."""
        return frozenset(self._servers[0].open)

    def release(self) -> None:
        """End the requests that hang because of a fault."""
        self._released.set()
        self._released.clear()

    def close(self) -> None:
        """Stop both servers."""
        self._released.set()
        for server in self._servers:
            server.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _record(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self.exchange.ledger.append({"at": self.clock()} | entry)
