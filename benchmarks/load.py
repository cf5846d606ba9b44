"""Load generator: keep-alive HTTP/1.1 over plain sockets, so that it costs little compared with the service.

The package patches the sockets with gevent, so that thousands of requests can be under way.
"""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import gevent
from gevent.pool import Pool
from gevent.queue import LifoQueue

from development.stack import API_KEY


@dataclass(frozen=True, slots=True)
class Ask:
    """Request in bytes, and the status that its answer must have."""

    port: int
    request: bytes
    status: int

    @classmethod
    def of(  # noqa: PLR0913  parts of a request
        cls, port: int, method: str, path: str, status: int, body: str | None = None, *, key: str = ""
    ) -> "Ask":
        """Create a request with the development API key; with a JSON body and an Idempotency-Key if they are given."""
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {API_KEY}\r\n"
        if key:
            head += f"Idempotency-Key: {key}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return cls(port, f"{head}\r\n{body or ''}".encode(), status)


class Connection:
    """Keep-alive connection. It connects again if the server closes it after an answer.

    ``transferred``: bytes sent and received so far, without those of TCP.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.transferred = 0
        self._open()

    def ask(self, ask: Ask) -> bytes:
        """Send a request. Return the body of the answer.

        Raises:
            RuntimeError: if the answer has another status than expected, or the connection ended.
        """
        status, body = self.exchange(ask)
        if status != ask.status:
            raise RuntimeError(f"{ask.request[:60]!r}: {status} {body[:200]!r}")
        return body

    def exchange(self, ask: Ask) -> tuple[int, bytes]:
        """Send a request. Return the status and the body of the answer, whatever the status is.

        Raises:
            RuntimeError: if the connection ended.
        """
        self._socket.sendall(ask.request)
        self.transferred += len(ask.request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head, body = received[:end].lower(), received[end + 4 :]
        at = head.find(b"content-length: ") + 16
        length = int(head[at : head.find(b"\r", at) if head.find(b"\r", at) > 0 else None])
        while len(body) < length:
            body += self._more()
        if b"connection: close" in head:
            self.close()
            self._open()
        return int(head[9:12]), body

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _more(self) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise RuntimeError("The connection ended.")
        self.transferred += len(piece)
        return piece


@dataclass(frozen=True, slots=True)
class Load:
    """Result of sending many requests: seconds for all of them, and for each its milliseconds and its answer."""

    seconds: float
    latencies: Sequence[float]
    bodies: Sequence[bytes]

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds


def closed_loop(asked: Iterable[Ask], connections: int) -> Load:
    """Send each request as soon as its connection has the previous answer, to measure the greatest throughput."""
    turn = iter(asked)
    latencies: list[float] = []
    bodies: list[bytes] = []

    def client() -> None:
        open_ones: dict[int, Connection] = {}
        for ask in turn:
            if ask.port not in open_ones:
                open_ones[ask.port] = Connection(ask.port)
            began = time.perf_counter()
            bodies.append(open_ones[ask.port].ask(ask))
            latencies.append((time.perf_counter() - began) * 1000)
        for connection in open_ones.values():
            connection.close()

    began = time.perf_counter()
    gevent.joinall([gevent.spawn(client) for _ in range(connections)], raise_error=True)
    return Load(time.perf_counter() - began, latencies, bodies)


def open_loop(asked: Sequence[Ask], per_second: float) -> Load:
    """Send requests at a fixed rate, even if earlier ones are not answered yet.

    Each latency is counted from the time at which the request was due. So a slow answer also counts for the requests that
    it delays (no coordinated omission).
    """

    def act(ask: Ask) -> bytes:
        if ask.port not in idle:
            idle[ask.port] = LifoQueue()
        free = idle[ask.port]
        connection = free.get_nowait() if free.qsize() else Connection(ask.port)
        body = connection.ask(ask)
        free.put_nowait(connection)
        return body

    idle: dict[int, LifoQueue] = {}
    load = at_rate([partial(act, ask) for ask in asked], per_second)
    for free in idle.values():
        while free.qsize():
            free.get_nowait().close()
    return load


def at_rate(acts: Sequence[Callable[[], bytes]], per_second: float) -> Load:
    """Run functions at a fixed rate, and measure each latency from the time at which the function was due."""
    pool, latencies, bodies = Pool(), [], []
    began = time.perf_counter() + 0.05

    def run(act: Callable[[], bytes], due: float) -> None:
        bodies.append(act())
        latencies.append((time.perf_counter() - due) * 1000)

    spawned = []
    for index, act in enumerate(acts):
        due = began + index / per_second
        time.sleep(max(due - time.perf_counter(), 0))
        spawned.append(pool.spawn(run, act, due))
    gevent.joinall(spawned, raise_error=True)
    return Load(time.perf_counter() - began, latencies, bodies)


def percentile(latencies: Sequence[float], share: float) -> float:
    """Return the latency below which ``share`` (0 to 1) of the latencies lie."""
    ordered = sorted(latencies)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
