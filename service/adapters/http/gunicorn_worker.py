"""gunicorn's gevent worker, with bounds on slow and endless requests, and long polls that end when the worker is told to leave.

Each connection is a greenlet: it costs memory while it waits, and no thread.
"""

import gc
import signal
import socket
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any

import gevent
from gevent import Timeout
from gevent.socket import socket as GeventSocket  # noqa: N812  gevent's own spelling is the standard library's
from gunicorn import glogging
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

HEAD_SECONDS = 10
"""Seconds from the first byte of a request's head to its last, however steadily they drip."""

MOST_PIECES = 64
"""Most pieces that one request's head may come in, because gunicorn looks at all of it again with each piece."""

STALLED_SECONDS = 30
"""Seconds that one answer, or one piece of a body, may take to pass the socket."""

TURN_BYTES = 16 * 1024
"""Bytes of one body after which every other connection has a turn."""

MOST_UNREAD_BYTES = 64 * 1024
"""Longest rest of a body that is read so that its connection can go on; behind a longer one it ends."""

MOST_LINGERING_BYTES = 8 * 1024 * 1024
"""Most bytes that are thrown away before a connection closes. Many clients look for an answer only after they have sent everything."""

LINGER_SECONDS = 2.0
"""Seconds after the last answer for the other side to close (RFC 9112, 9.6), and for idle connections on the way out."""

COLLECTED_AFTER = 20_000
"""Objects after which the garbage collector looks: those of a hundred requests, if nothing of them had gone by itself."""


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's logger without its access log: ours is one line a request, with the route and not the path."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Log nothing."""

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Leave out the words of a request that cannot be read: a number or a key may be among them."""
        text = str(msg)
        if text.startswith("Invalid request from "):
            msg = ": ".join(text.partition("'")[0].split(": ")[:2])
        super().warning(msg, *args, **kwargs)


class Connection(GeventSocket):  # type: ignore[misc]  # gevent ships no types for it
    """Socket of one client that bounds how slowly a request may come, and lets the last answer arrive before it closes."""

    def __init__(self, accepted: Any) -> None:
        """``accepted``: the socket to take over."""
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.await_request()

    def await_request(self) -> None:
        """Expect the head of a request next."""
        self._is_in_head, self._pieces, self._head_ends = True, 0, inf
        self.settimeout(None)

    def begin_answer(self) -> None:
        """Expect a body, and an answer to be taken."""
        self._is_in_head, self._received = False, 0
        self.settimeout(STALLED_SECONDS)

    def recv(self, *args: Any) -> bytes:
        """Receive a piece of a request.

        gevent turns to another connection only where there is nothing to read, so a sender that is faster than we are
        would keep everybody else waiting.
        """
        if self._is_in_head:
            return self._recv_head(*args)
        data: bytes = super().recv(*args)
        self._received += len(data)
        if self._received >= TURN_BYTES:
            self._received = 0
            gevent.sleep(0)
        return data

    def _recv_head(self, *args: Any) -> bytes:
        """Receive a piece of a head, or nothing, as if the client had left, where it takes too long."""
        left = self._head_ends - monotonic()
        if left <= 0 or self._pieces == MOST_PIECES:
            return b""
        data: bytes = b""
        with Timeout(None if left == inf else left, False):
            data = super().recv(*args)
        if not self._pieces:
            self._head_ends = monotonic() + HEAD_SECONDS
        self._pieces += 1
        return data

    def close(self) -> None:
        """Close our half, wait a while until the other side closes its own (RFC 9112, 9.6), and close.

        A socket that is closed with bytes unread resets the connection, and the client may lose the answer.
        """
        with suppress(OSError), Timeout(LINGER_SECONDS, False):
            self.settimeout(None)
            self.shutdown(socket.SHUT_WR)
            left = MOST_LINGERING_BYTES
            while left > 0 and (data := super().recv(TURN_BYTES)):
                left -= len(data)
                gevent.sleep(0)
        super().close()

    def end(self) -> None:
        """Make whoever reads from it believe that the client has left."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RD)


def is_read_to_its_end(body: Any) -> bool:
    """Read what an app has left of a body. False where that is too much, takes too long or cannot be read."""
    try:
        with Timeout(LINGER_SECONDS):
            return len(body.read(MOST_UNREAD_BYTES + 1)) <= MOST_UNREAD_BYTES
    except (Timeout, OSError, ParseException):
        return False


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn ships no types
    """The worker class of config/gunicorn.conf.py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wsgi: Any = None
        self._idle: set[Connection] = set()
        self._draining = False

    def init_process(self) -> None:
        """Start the process. A worker that is told to leave before it has loaded the app has nothing to finish."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the app, then start what runs beside its requests."""
        super().load_wsgi()
        start = getattr(self.wsgi, "start", None)
        if start is not None:
            start()
        # What is there now stays: the collector need not walk over it again and again. And what requests make goes without
        # it, so it may come seldom.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECTED_AFTER)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection, from its first byte to its end."""
        connection = Connection(client)
        self._idle.add(connection)
        try:
            super().handle(listener, connection, addr)
        finally:
            self._idle.discard(connection)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Answer one request, whose head has been read. StopIteration ends its connection."""
        self._idle.discard(sock)
        sock.begin_answer()
        try:
            goes_on = super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            # gunicorn would log a traceback for each client that does not take its answer.
            raise StopIteration from error
        # What was not read must not be taken for the next request.
        if not is_read_to_its_end(req.body):
            raise StopIteration
        sock.await_request()
        self._idle.add(sock)
        return goes_on

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what reached no app, and count it."""
        unreadable = getattr(self.wsgi, "unreadable", None)
        if unreadable is not None:
            unreadable(400 if isinstance(exc, ParseException) else 500)
        super().handle_error(req, client, addr, exc)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002  gunicorn's
        """Leave, on SIGTERM. A signal's handler may not wait for anything."""
        gevent.spawn(self._leave)

    def _leave(self) -> None:
        """Answer requests that wait for a change with the current state, and end idle connections.

        Where the whole replica goes, ``/readyz`` says so and the listeners stay open for a while, so that a
        balancer can look elsewhere before a connection is refused. A worker that is told twice leaves at once.
        """
        stop = getattr(self.wsgi, "stop", None)
        seconds = stop() if stop is not None else 0
        if seconds and not self._draining:
            self._draining = True
            gevent.sleep(seconds)
        self.alive = False
        while True:
            gevent.sleep(LINGER_SECONDS)
            for connection in list(self._idle):
                connection.end()
