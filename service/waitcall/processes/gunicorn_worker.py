"""gunicorn's gevent worker, with bounds on slow and endless requests. Long polls end when the worker is told to stop.

Each connection is a greenlet, so a waiting connection costs some memory but no thread.
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
from gevent.socket import socket as GeventSocket  # noqa: N812  gevent names the class like a function
from gunicorn import glogging
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

HEAD_SECONDS = 10
"""Seconds in which a request's head must arrive, counted from its first byte."""

MOST_PIECES = 64
"""Number of pieces in which a request's head may arrive. gunicorn parses the whole head again with each piece."""

STALLED_SECONDS = 30
"""Seconds that the socket may take to send one answer or to receive one piece of a body."""

TURN_BYTES = 16 * 1024
"""Bytes of one body after which other connections get a turn."""

MOST_UNREAD_BYTES = 64 * 1024
"""Longest rest of a body that is read and dropped to keep the connection. After a longer rest it is closed."""

MOST_LINGERING_BYTES = 8 * 1024 * 1024
"""Bytes that are read and dropped before a connection closes, because many clients send everything before they read."""

LINGER_SECONDS = 2.0
"""Seconds to wait for a client before its connection is closed (RFC 9112, 9.6)."""

COLLECTED_AFTER = 20_000
"""New objects after which the garbage collector runs: about as many as a hundred requests make."""


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's logger without its access log, because our own has one line for each request, with the route only."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Log nothing."""

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log a warning. Leave out the content of an unreadable request, which may contain a phone number or a key."""
        text = str(msg)
        if text.startswith("Invalid request from "):
            msg = ": ".join(text.partition("'")[0].split(": ")[:2])
        super().warning(msg, *args, **kwargs)


class Connection(GeventSocket):  # type: ignore[misc]  # gevent ships no types for it
    """Socket of one client. It limits how slowly requests may arrive, and lets the last answer arrive before it closes."""

    def __init__(self, accepted: Any) -> None:
        """``accepted``: the accepted socket, which this object takes over."""
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.await_request()

    def await_request(self) -> None:
        """Wait for the head of the next request."""
        self._is_in_head, self._pieces, self._head_ends = True, 0, inf
        self.settimeout(None)

    def begin_answer(self) -> None:
        """Begin to read a body and to send an answer."""
        self._is_in_head, self._received = False, 0
        self.settimeout(STALLED_SECONDS)

    def recv(self, *args: Any) -> bytes:
        """Receive a piece of a request.

        gevent switches to another connection only when there is nothing to read. Without the explicit switch here a fast
        sender would block all other connections.
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
        """Receive a piece of a head. If the head takes too long, return nothing, as if the client had closed."""
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
        """Close our direction, wait a short time for the client to close the other (RFC 9112, 9.6), and close.

        Closing a socket with unread bytes would reset the connection, and the client could lose the answer.
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
        """End reading: the reader sees the same as if the client had closed the connection."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RD)


def is_read_to_its_end(body: Any) -> bool:
    """Read the rest of a body that the app did not read. Return False if it is too long, too slow or unreadable."""
    try:
        with Timeout(LINGER_SECONDS):
            return len(body.read(MOST_UNREAD_BYTES + 1)) <= MOST_UNREAD_BYTES
    except (Timeout, OSError, ParseException):
        return False


class DrainingWorker(GeventWorker):  # type: ignore[misc]  # gunicorn ships no types
    """Worker class that gunicorn's configuration names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wsgi: Any = None
        self._idle: set[Connection] = set()
        self._draining = False

    def init_process(self) -> None:
        """Start the process. Until the app is loaded, SIGTERM ends it at once, because there is nothing to finish."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the app, and start its background thread."""
        super().load_wsgi()
        start = getattr(self.wsgi, "start", None)
        if start is not None:
            start()
        # The objects that exist now stay, so exempt them from garbage collection. Requests leave few reference cycles, so
        # the collector may run rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECTED_AFTER)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection until it ends."""
        connection = Connection(client)
        self._idle.add(connection)
        try:
            super().handle(listener, connection, addr)
        finally:
            self._idle.discard(connection)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Answer one request whose head has been read. StopIteration closes its connection."""
        self._idle.discard(sock)
        sock.begin_answer()
        try:
            goes_on = super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            # The client does not read its answer. Without this, gunicorn would log a traceback.
            raise StopIteration from error
        # The unread rest of a body must not be taken for the next request.
        if not is_read_to_its_end(req.body):
            raise StopIteration
        sock.await_request()
        self._idle.add(sock)
        return goes_on

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that reached no app, and count it."""
        unreadable = getattr(self.wsgi, "unreadable", None)
        if unreadable is not None:
            unreadable(400 if isinstance(exc, ParseException) else 500)
        super().handle_error(req, client, addr, exc)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002  gunicorn's parameters
        """Stop the worker on SIGTERM, in a greenlet, because a signal handler must not wait."""
        gevent.spawn(self._leave)

    def _leave(self) -> None:
        """End long polls with the current state, stop accepting connections, and close idle ones.

        If the whole replica stops, ``/readyz`` answers 503 and the listeners stay open for some seconds, so that load
        balancers stop sending requests before connections are refused. A second SIGTERM skips these seconds.
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
