"""One connection of gunicorn's: at which pace it is read, how it is answered, how it is accepted."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from time import monotonic, time
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import glogging, util
from gunicorn.http import wsgi
from gunicorn.http.unreader import SocketUnreader

from service.adapters.http.app import SECURITY_HEADERS
from service.adapters.http.body import JSON
from service.adapters.http.context import HEADER as REQUEST_ID_HEADER

STALLED_SECONDS = 5
"""Between two pieces of one request, or of one answer."""

REQUEST_SECONDS = 10
"""From the first byte of a request to the last of its body, however steadily they drip."""

MOST_PIECES = 64
"""Most pieces that one request's head may come in, because gunicorn looks at all of it again with each piece."""

MOST_BYTES = 10 * 1024 * 1024
"""Most bytes of one request's body: what is over the surface's limit is read away for a while, so that its sender sees the answer."""

MOST_BYTES_AROUND = 80 * 1024
"""Most bytes of a body in chunks that are not handed over yet, or never: marks and extensions of chunks cost more than what they carry."""

NEWCOMER_SECONDS = 1.0
"""For so long a connection is given the time to say what it wants."""

OUT_OF_FILES_PAUSE_SECONDS = 0.2
"""Others are closing theirs meanwhile; the connection waits in the kernel's queue."""

_PIECE_BYTES = 65536
_SOUND = frozenset({("Content-Type", JSON), *SECURITY_HEADERS.items()})
_LEFT = (errno.ECONNRESET, "The request took too long.")


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's, without its access log: ours is one line a request, with the route and not the path."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing. gunicorn's own would put its fields together before it finds that nobody wants them."""

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Leave out the words of a request that cannot be read: a number or a key may be among them."""
        text = str(msg)
        if text.startswith("Invalid request from "):
            msg = ": ".join(text.partition("'")[0].split(": ")[:2])
        super().warning(msg, *args, **kwargs)


_chunk = SocketUnreader.chunk


def write(sock: Any, data: bytes, chunked: bool = False) -> None:  # noqa: FBT001, FBT002  gunicorn's arguments
    """An answer, piece by piece, so that a slow reader of a long one is not taken for one that stalls."""
    if chunked:
        data = b"%X\r\n%s\r\n" % (len(data), data)
    sock.settimeout(STALLED_SECONDS)
    try:
        # Most answers leave at once; sendall would ask the kernel for its buffer's size first.
        sent = sock.send(data[:_PIECE_BYTES])
        for start in range(sent, len(data), _PIECE_BYTES):
            sock.sendall(data[start : start + _PIECE_BYTES])
    except TimeoutError as error:
        raise ConnectionResetError(*_LEFT) from error
    except OSError as error:
        # Ended to make room for another, by its own end() below.
        if error.errno == errno.EBADF:
            raise ConnectionResetError(*_LEFT) from error
        raise


def _date() -> str:
    return _date_at(int(time()))


@lru_cache(maxsize=1)
def _date_at(second: int) -> str:
    return f"Date: {util.http_date(second)}\r\n"


class Response(wsgi.Response):  # type: ignore[misc]  # gunicorn ships no types
    """One that leaves in one piece, says nothing of what serves here, and closes where the app says so."""

    head = b""
    headers_sent: bool
    response_length: int | None

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Check them, but for those that are always the same, and those whose values were checked or are ours."""
        given = []
        for header in headers:
            name, value = header
            if name == "Content-Length" and value.isdecimal():
                self.response_length = int(value)
            elif header not in _SOUND and name != REQUEST_ID_HEADER:
                given.append(header)
                continue
            self.headers.append(header)
        super().process_headers(given)
        if ("Connection", "close") in given:
            self.force_close()

    def default_headers(self) -> list[str]:
        connection = "close" if self.should_close() else "keep-alive"
        lines = [f"HTTP/1.{self.req.version[1]} {self.status}\r\n", _date(), f"Connection: {connection}\r\n"]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def send_headers(self) -> None:
        if not self.headers_sent:
            lines = [
                *self.default_headers(),
                *[f"{name}: {value}\r\n" for name, value in self.headers],
                "\r\n",
            ]
            self.head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        head, self.head = self.head, b""
        if self.chunked:
            data = b"%X\r\n%s\r\n" % (len(data), data)
        util.write(self.sock, head + data)

    def close(self) -> None:
        self.send_headers()
        tail = b"0\r\n\r\n" if self.chunked else b""
        if self.head or tail:
            util.write(self.sock, self.head + tail)
            self.head = b""


class Peer:
    """One open connection: its socket, and whether it is silent, sending a request, or being answered."""

    __slots__ = (
        "answering",
        "chunked",
        "ended",
        "handed_over",
        "next_turn",
        "pieces",
        "reading",
        "received",
        "since",
        "sock",
        "until",
        "urgent",
    )

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.answering = False
        self.reading = False
        self.ended = False
        self.urgent = False
        self.until: float | None = None
        self.since = monotonic()
        self.pieces = 0
        self.received = self.handed_over = 0
        self.next_turn = _PIECE_BYTES
        self.chunked = False

    def begin(self, req: Any, *, urgent: bool) -> None:
        """Begin to answer a request whose head has been read."""
        self.answering, self.urgent, self.since = True, urgent, monotonic()
        self.received = self.handed_over = 0
        self.next_turn = _PIECE_BYTES
        self.chunked = any(name == "TRANSFER-ENCODING" for name, _ in req.headers)
        req.body = CountedBody(req.body, self)

    def read(self, unreader: SocketUnreader, idle_seconds: float) -> bytes:
        """The next piece of a request, within the pace; of a silent connection its end.

        What is too slow ends as a reset, which gunicorn takes for what it is: a client that left. Anything else it
        logs as an error of ours, line after line under an attack.
        """
        until = self.until
        patience = idle_seconds if until is None else min(until - monotonic(), STALLED_SECONDS)
        if patience <= 0:
            raise ConnectionResetError(*_LEFT)
        self.sock.settimeout(patience)
        try:
            # Not as much as gunicorn would take at once: it copies all of that again for each kilobyte that is thrown away.
            piece = bytes(_chunk(unreader))
        except TimeoutError as error:
            if until is None:
                return b""
            raise ConnectionResetError(*_LEFT) from error
        except OSError:
            # gunicorn would log a traceback for each, under an attack thousands of them.
            if self.ended:
                return b""
            raise
        if until is None:
            self.since = monotonic()
            self.until = self.since + REQUEST_SECONDS
            self.pieces = 0
        if self.answering:
            self._count(len(piece))
        self.pieces += not self.answering
        if self.pieces > MOST_PIECES:
            raise ConnectionResetError(errno.ECONNRESET, "The request came in too many pieces.")
        return piece

    def _count(self, received: int) -> None:
        """Count bytes of a body. ConnectionResetError where they are too many."""
        self.received += received
        around = self.received - self.handed_over if self.chunked else 0
        if self.received > MOST_BYTES or around > MOST_BYTES_AROUND:
            raise ConnectionResetError(errno.ECONNRESET, "The body is too long.")
        if self.received >= self.next_turn:
            # A sender that is never waited for would keep everybody else waiting.
            self.next_turn = self.received + _PIECE_BYTES
            gevent.sleep(0)

    def worth(self) -> tuple[int, float]:
        """How much is lost if it ends: the least makes room for a newcomer.

        The longest silent first, then what has been sending a request, its body included, for the longest. Then whatever
        is being answered and is no callback, the latest first, because pages that wait for a call began long ago. Then
        those that have only just come, and last the callbacks that have arrived whole: each the oldest first, because a
        genuine one is read and answered in milliseconds.
        """
        if self.answering and not self.reading:
            return (4, self.since) if self.urgent else (2, -self.since)
        if monotonic() - self.since < NEWCOMER_SECONDS:
            return 3, self.since
        return (0 if self.until is None else 1), self.since

    def end(self) -> None:
        """As if the other side had closed: whoever reads from it finds nothing more."""
        self.ended = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class CountedBody:
    """gunicorn's body of a request, which also tells its connection what was handed over."""

    def __init__(self, body: Any, peer: Peer) -> None:
        self._body = body
        self._peer = peer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def read(self, size: int | None = None) -> bytes:
        """Read as gunicorn's does."""
        self._peer.reading = True
        try:
            data: bytes = self._body.read(size)
        finally:
            self._peer.reading = False
        self._peer.handed_over += len(data)
        return data


class Listener(StreamServer):  # type: ignore[misc]  # gevent ships no types for it
    """One that takes running out of files for a pause."""

    def __init__(self, listener: Any, handle: Callable[..., None], most: int, log: Any) -> None:
        super().__init__(listener, handle=handle, spawn=Pool(most))
        self._log = log

    def do_read(self) -> Any:
        try:
            return super().do_read()
        except OSError as error:
            if error.errno == errno.ECONNABORTED:
                return None
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self._log.warning("out of open files: connections wait (raise the limit of open files)")
        self.stop_accepting()
        self._timer = self.loop.timer(OUT_OF_FILES_PAUSE_SECONDS)
        self._timer.start(self._start_accepting_if_started)
        return None
