"""Closing connections whose other side takes its time, beside the worker's one accepting thread.

RFC 9112 section 9.6: after the last answer a server closes its half, and reads on until the client has closed
its own, or the answer may be lost. gunicorn does that for up to 2 s within the thread that accepts: a few
clients that never close would keep it from everybody else.
"""

import selectors
import socket
import threading
from queue import Empty, SimpleQueue
from time import monotonic

LINGER_SECONDS = 2.0
MOST_LINGERING = 1000
"""More than this are closed at once: a flood loses its answers, nobody else does."""
_TICK_SECONDS = 0.1
_MOST_DRAINED = 65536


class Lingering:
    """One thread for all half-closed connections of a process."""

    def __init__(self) -> None:
        self._arriving: SimpleQueue[socket.socket] = SimpleQueue()
        self._closing: dict[socket.socket, tuple[float, int]] = {}
        self._selector = selectors.DefaultSelector()
        self._started = threading.Lock()

    def close(self, connection: socket.socket) -> None:
        """Half-close now, and the rest when the other side has, within LINGER_SECONDS. Never blocks."""
        try:
            connection.setblocking(False)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            connection.close()
            return
        if len(self._closing) + self._arriving.qsize() >= MOST_LINGERING:
            connection.close()
            return
        # At the first use, because a thread does not survive the worker's fork.
        if self._started.acquire(blocking=False):
            threading.Thread(target=self._run, name="lingering", daemon=True).start()
        self._arriving.put(connection)

    def _run(self) -> None:
        while True:
            self._admit()
            for key, _ in self._selector.select(_TICK_SECONDS):
                self._drain(key.fileobj)  # type: ignore[arg-type]  # only sockets are registered
            now = monotonic()
            for connection, (deadline, _drained) in list(self._closing.items()):
                if now >= deadline:
                    self._end(connection)

    def _admit(self) -> None:
        while True:
            try:
                connection = self._arriving.get(block=not self._closing)
            except Empty:
                return
            self._closing[connection] = (monotonic() + LINGER_SECONDS, 0)
            try:
                self._selector.register(connection, selectors.EVENT_READ)
            except (OSError, ValueError, KeyError):
                del self._closing[connection]
                connection.close()

    def _drain(self, connection: socket.socket) -> None:
        deadline, drained = self._closing[connection]
        try:
            data = connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        drained += len(data)
        if not data or drained > _MOST_DRAINED:
            self._end(connection)
        else:
            self._closing[connection] = (deadline, drained)

    def _end(self, connection: socket.socket) -> None:
        del self._closing[connection]
        self._selector.unregister(connection)
        connection.close()
