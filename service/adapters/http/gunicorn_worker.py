"""gunicorn's threaded worker, with problem details for what never reaches the app, and a kinder end."""

import errno
import json
import selectors
import socket
import struct
import threading
from collections import deque
from functools import partial
from time import monotonic, sleep
from typing import Any

from gunicorn import util
from gunicorn.http.unreader import SocketUnreader
from gunicorn.http.wsgi import Response
from gunicorn.workers.gthread import TConn, ThreadWorker

from service.adapters.http.context import new_request_id
from service.adapters.http.lingering import Lingering
from service.adapters.http.problems import CONTENT_TYPE, STATUS_OF, document
from service.application.context import request_id

STALLED_SECONDS = 5
"""Between two pieces of one request, or of one answer."""

REQUEST_SECONDS = 10
"""From the first byte of a request to the last of its body, however steadily they drip."""

PUBLIC_CONNECTIONS = 900
"""Of the public listener, of a worker's 2000: a flood of it leaves room for callers and probes."""
PUBLIC_THREADS = 128
"""That answer the public listener at once, of a worker's 640; further requests wait without a thread."""

OUT_OF_FILES_PAUSE_SECONDS = 0.2
"""Others are closing theirs meanwhile; the connection waits in the kernel's queue."""

_REASONS = {400: "Bad Request", 500: "Internal Server Error"}


def problem_response(status: int) -> bytes:
    """A whole HTTP response that is one problem, for a connection that ends with it."""
    code = "internal_error" if status >= 500 else "invalid_request"  # noqa: PLR2004  the class of our own errors
    request_id.set(new_request_id())
    body = json.dumps(document(code, "The request cannot be read as HTTP.")).encode()
    head = (
        f"HTTP/1.1 {STATUS_OF[code]} {_REASONS[STATUS_OF[code]]}\r\n"
        "Connection: close\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Request-ID: {request_id.get()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request_id.set(None)
    return head.encode() + body


class _Reading(threading.local):
    """Until when the request of this thread must be read, by the monotonic clock."""

    until = float("inf")


_reading = _Reading()
_chunk = SocketUnreader.chunk
_default_headers = Response.default_headers


def _bounded_chunk(unreader: SocketUnreader, size_hint: int | None = None) -> bytes:
    # As a reset, which gunicorn takes for what it is: a client that left. Anything else it logs as an error
    # of ours, line after line under an attack.
    if monotonic() > _reading.until:
        raise ConnectionResetError(errno.ECONNRESET, "The request took too long.")
    try:
        return bytes(_chunk(unreader, size_hint))
    except BlockingIOError as error:
        raise ConnectionResetError(errno.ECONNRESET, "The request stalled.") from error


def _headers_without_banner(response: Response) -> list[str]:
    # What serves here, and in which version, is nobody's business.
    return [line for line in _default_headers(response) if not line.startswith("Server:")]


class _Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """One that knows whether the open network reaches it, and that it is closed."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any, public: bool) -> None:  # noqa: FBT001  gunicorn's arguments, and ours
        super().__init__(cfg, sock, client, server)
        self.public = public
        self.closed = False

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002  gunicorn's
        self.closed = True
        super().close(graceful)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """The worker class of config/gunicorn.conf.py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._public: list[_Connection] = []
        self._public_busy = 0
        self._draining = False
        self._public_waiting: deque[_Connection] = deque()

    def init_process(self) -> None:
        """Take over the error page, the banner and the pace of reading; gunicorn has no hooks for them."""
        util.write_error = self._write_error
        Response.default_headers = _headers_without_banner
        SocketUnreader.chunk = _bounded_chunk
        util.close_graceful = Lingering().close
        for listener in self.sockets:
            # Accepted sockets inherit it (Linux): a client that stops in the middle of a request gives its
            # thread back. Python's own timeouts do not help, gthread resets them.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALLED_SECONDS, 0))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", STALLED_SECONDS, 0))
        super().init_process()

    def accept(self, listener: Any) -> None:
        """One connection, which costs no thread until its first byte is there.

        gunicorn gives each new connection a thread for up to 5 s, so that a few hundred silent ones would
        keep every listener waiting; and running out of files ends its worker.
        """
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.log.warning("out of open files: connections wait (raise the limit of open files)")
                sleep(OUT_OF_FILES_PAUSE_SECONDS)
            elif error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                raise
            return
        server = listener.getsockname()
        conn = _Connection(self.cfg, client, address, server, str(server[1]) in self._public_ports())
        if conn.public:
            self._public = [each for each in self._public if not each.closed]
            if len(self._public) >= PUBLIC_CONNECTIONS and not self._close_idle_public():
                conn.close()
                return
            self._public.append(conn)
        self.nr_conns += 1
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def enqueue_req(self, conn: Any) -> None:
        """A request for a thread: of the public listener only so many at once."""
        if conn.public and self._public_busy >= PUBLIC_THREADS:
            self._public_waiting.append(conn)
            return
        self._public_busy += conn.public
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """A thread is free again."""
        super().finish_request(conn, fs)
        self._public_busy -= conn.public
        while self._public_waiting and self._public_busy < PUBLIC_THREADS:
            self.enqueue_req(self._public_waiting.popleft())

    def _close_idle_public(self) -> bool:
        """Make room for somebody who may have something to say: close the oldest that has not, or no more."""
        for waiting in (self.pending_conns, self.keepalived_conns):
            idle = next((conn for conn in waiting if conn.public), None)
            if idle is not None:
                waiting.remove(idle)
                self.poller.unregister(idle.sock)
                self.nr_conns -= 1
                idle.close()
                return True
        return False

    def _public_ports(self) -> frozenset[str]:
        return getattr(self.wsgi, "public_ports", frozenset())

    def _cap_keepalive(self, deadline: float) -> None:
        """On the way out: connections that have said nothing yet end as soon as idle ones."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def handle(self, conn: Any) -> Any:
        """One request on a connection, read within REQUEST_SECONDS."""
        _reading.until = monotonic() + REQUEST_SECONDS
        return super().handle(conn)

    def _write_error(self, sock: Any, status_int: int, _reason: str, _message: str) -> None:
        # gunicorn's message echoes the request, so it is dropped. Its 501 for an unknown transfer coding is
        # the request's fault like the others.
        status = 500 if status_int == 500 else 400  # noqa: PLR2004  ours or theirs
        unreadable = getattr(getattr(self, "wsgi", None), "unreadable", None)
        if unreadable is not None:
            unreadable(status)
        util.write_nonblock(sock, problem_response(status))

    def load_wsgi(self) -> None:
        """Load the app, then start what runs beside its requests."""
        super().load_wsgi()
        start = getattr(self.wsgi, "start", None)
        if start is not None:
            start()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: requests that wait for a change are answered with the current state, not cut off.

        Where the whole replica goes, ``/readyz`` says so and the listeners stay open for a while, so that a
        balancer can look elsewhere before a connection is refused.
        """
        # A worker may be told to leave before it has loaded the app.
        stop = getattr(getattr(self, "wsgi", None), "stop", None)
        seconds = stop() if stop is not None else 0
        if seconds and not self._draining:
            self._draining = True
            leaving = threading.Timer(seconds, super().handle_exit, (sig, frame))
            # A second SIGTERM ends the process at once.
            leaving.daemon = True
            leaving.start()
        else:
            super().handle_exit(sig, frame)
