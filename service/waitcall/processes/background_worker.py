"""The background worker: duties that only the leader performs, and loops that every worker runs.

Serving processes have a ``Sweeper``, so that overdue records are settled without a worker, too.
"""

import logging
import random
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from socketserver import ThreadingMixIn
from time import monotonic, sleep
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from waitcall.application.ports import Leadership, Term
from waitcall.domain.errors import ProviderFailure, StoreUnavailable
from waitcall.processes.listeners import family_of, listener

RENEW_SECONDS = 2.0
LOOK_SECONDS = 0.5
"""Seconds between two checks whether a duty of the leader is due."""
STUCK_SECONDS = 120.0
"""Seconds without progress after which a thread counts as stuck. No thread ever has to wait that long."""
STOP_SECONDS = 25.0
SWEEP_SECONDS = 2.0
"""Average seconds between two sweeps of a serving process; each interval is up to half of it shorter or longer."""
_SOCKET_SECONDS = 10
_LOOK_FOR_SIGNALS_SECONDS = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """Task that only the leader performs, repeatedly. ``run`` gets the leader's term, which fences its writes."""

    name: str
    run: Callable[[Term], object]
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Loop:
    """Task that every worker performs, repeatedly. The interval is jittered, so that replicas do not run at once."""

    name: str
    run: Callable[[], object]
    every_seconds: float


class Lease:
    """Lease of the leader, renewed by a thread of its own, so that a slow duty does not let it expire.

    It expires here before it expires in Redis: its time is counted from before the request, by a clock that goes on
    while the process is stopped.
    """

    def __init__(self, leadership: Leadership, lease_seconds: float) -> None:
        self._leadership = leadership
        self._lease_seconds = lease_seconds
        # A random part, because a restarted process must count as another holder.
        self._holder = f"{socket.gethostname()}-{token_hex(8)}"
        self._held: tuple[Term, float] | None = None

    def renew(self) -> None:
        """Take the lease or renew it. After StoreUnavailable the current lease stays valid until it expires."""
        asked = monotonic()
        before = self.term()
        term = self._leadership.take(self._holder)
        self._held = (term, asked + self._lease_seconds) if term else None
        if term != before:
            fence = (term or before or Term(0, "")).fence
            _log.info("became leader" if term else "no longer leader", extra={"fence": fence})

    def term(self) -> Term | None:
        """Return the current term; None if this process may no longer be the leader."""
        held = self._held
        return held[0] if held and monotonic() < held[1] else None

    def resign(self) -> None:
        """Give the lease up, so that another worker can lead at once."""
        term, self._held = self.term(), None
        if term is not None:
            self._leadership.resign(term)


class BackgroundWorker:
    """Threads that run the duties and loops. ``run`` returns after SIGTERM or SIGINT, when the threads have ended."""

    def __init__(  # noqa: PLR0913  one parameter per thing it is given
        self,
        *,
        leadership: Leadership,
        lease_seconds: float,
        duties: Sequence[Duty],
        loops: Sequence[Loop],
        close: Callable[[], None],
        looped: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            leadership: store of the lease.
            lease_seconds: time after which a lease expires that is not renewed.
            duties: tasks of the leader.
            loops: tasks of every worker.
            close: closes connections, after all threads have ended.
            looped: called with a loop's name after each successful run.
        """
        self._lease = Lease(leadership, lease_seconds)
        self._duties = duties
        self._close = close
        self._looped = looped
        self._stopping = threading.Event()
        self._beats: dict[str, float] = {}
        self._server: WSGIServer | None = None
        self._loops = [
            Loop("lease", self._lease.renew, RENEW_SECONDS),
            Loop("duties", self._lead, LOOK_SECONDS),
            *loops,
        ]
        self._due = {duty.name: 0.0 for duty in duties}

    def fence(self) -> int:
        """Return the fence of the term that this process leads; 0 if it does not lead."""
        term = self._lease.term()
        return term.fence if term else 0

    def is_alive(self) -> bool:
        """Tell whether every thread has made progress recently."""
        return all(monotonic() - beat < STUCK_SECONDS for beat in self._beats.values())

    def serve(self, app: Any, bind: str) -> None:
        """Open the socket for probes and scrapes. ``run`` begins to answer them."""
        address, port = listener(bind)
        server = _ServerOnIpv6 if family_of(address) is socket.AF_INET6 else _Server
        self._server = make_server(address, port, app, server, _Handler)

    def run(self) -> None:
        """Run duties and loops until SIGTERM or SIGINT."""
        # The handlers only note the signal. Setting the event there could wait for ever, because Python may call them while
        # this thread holds the event's lock.
        signals: list[int] = []
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda number, _: signals.append(number))
        threads = [
            threading.Thread(target=self._repeat, args=(loop,), name=loop.name, daemon=True)
            for loop in self._loops
        ]
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="ops", daemon=True).start()
        for thread in threads:
            thread.start()
        _log.info("worker started")
        # Python calls handlers in this thread only, so it must wake up, whichever thread received the signal.
        while not signals:
            sleep(_LOOK_FOR_SIGNALS_SECONDS)
        self._stopping.set()
        _log.info("worker stopping")
        until = monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(until - monotonic(), 0.0))
        try:
            self._lease.resign()
        except StoreUnavailable:
            _log.warning("lease not given up: it will expire")
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._close()

    def _repeat(self, loop: Loop) -> None:
        while not self._stopping.is_set():
            self._beats[loop.name] = monotonic()
            try:
                loop.run()
                self._looped(loop.name)
            except StoreUnavailable:
                _log.warning("the store is unavailable", extra={"loop": loop.name})
            except Exception:  # noqa: BLE001  any error, or the thread would end
                _log.exception("loop failed", extra={"loop": loop.name})
            self._stopping.wait(loop.every_seconds * random.uniform(0.7, 1.3))  # noqa: S311  # nosec B311  # jitter, no secret

    def _lead(self) -> None:
        for duty in self._duties:
            term = self._lease.term()
            if term is None or self._stopping.is_set():
                return
            if monotonic() < self._due[duty.name]:
                continue
            self._due[duty.name] = monotonic() + duty.every_seconds
            self._beats["duties"] = monotonic()
            try:
                duty.run(term)
            except ProviderFailure as failure:
                _log.warning("the provider failed", extra={"duty": duty.name, "code": failure.code})
            except StoreUnavailable:
                _log.warning("the store is unavailable", extra={"duty": duty.name})
            except Exception:  # noqa: BLE001  any error, or the other duties would not run
                _log.exception("duty failed", extra={"duty": duty.name})


class Sweeper:
    """Thread that runs ``sweep`` periodically. The interval is jittered, so that replicas do not sweep at once."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        self._sweep = sweep
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Start the thread. Call it in the process that is to sweep, because threads do not survive a fork."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sweeping after the current sweep."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(SWEEP_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311  # nosec B311  # jitter, no secret
            try:
                self._sweep()
            except StoreUnavailable:
                _log.debug("sweep skipped: the store is unavailable")
            except Exception:  # noqa: BLE001  any error, or the thread would end
                # The records stay due, so the next sweep tries them again.
                _log.exception("sweep failed")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerOnIpv6(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Bind the socket, also for IPv4 if the address is ``::``, whatever the kernel's default says."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(WSGIRequestHandler):
    timeout = _SOCKET_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Write nothing: the Flask app logs each request itself."""
