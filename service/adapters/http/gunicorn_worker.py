"""gunicorn's threaded worker, with problem details for what never reaches the app, and a kinder end."""

import errno
import json
import socket
import struct
import threading
from time import monotonic, sleep
from typing import Any

from gunicorn import util
from gunicorn.http.unreader import SocketUnreader
from gunicorn.http.wsgi import Response
from gunicorn.workers.gthread import ThreadWorker

from service.adapters.http.context import new_request_id
from service.adapters.http.lingering import Lingering
from service.adapters.http.problems import CONTENT_TYPE, STATUS_OF, document
from service.application.context import request_id

STALLED_SECONDS = 5
"""Between two pieces of one request, or of one answer."""

REQUEST_SECONDS = 10
"""From the first byte of a request to the last of its body, however steadily they drip."""

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


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """The worker class of config/gunicorn.conf.py."""

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
        """One connection; out of files is a moment to wait for, not an end. gunicorn would let the worker die."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.log.warning("out of open files: connections wait (raise the limit of open files)")
            sleep(OUT_OF_FILES_PAUSE_SECONDS)

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
        """SIGTERM: requests that wait for a change are answered with the current state, not cut off."""
        # A worker may be told to leave before it has loaded the app.
        stop = getattr(getattr(self, "wsgi", None), "stop", None)
        if stop is not None:
            stop()
        super().handle_exit(sig, frame)
