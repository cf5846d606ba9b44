"""The process beside the requests: one leader at a time for what must be done once, loops for what anyone may do."""

import logging
import random
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from socketserver import ThreadingMixIn
from time import monotonic
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from service.application.leadership import Leadership, Term
from service.domain.errors import ProviderFailure, StoreUnavailable

RENEW_SECONDS = 2.0
LOOK_SECONDS = 0.5
"""How often the leader looks whether one of its duties is due."""
STUCK_SECONDS = 120.0
"""Longer than anything that a thread here may wait for: one that said nothing for so long is lost."""
STOP_SECONDS = 25.0
_SOCKET_SECONDS = 10
_LOOK_FOR_SIGNALS_SECONDS = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """What the leader alone does, again and again. ``run`` gets the term that it writes under."""

    name: str
    run: Callable[[Term], object]
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Loop:
    """What every worker does, again and again, jittered so that replicas spread."""

    name: str
    run: Callable[[], object]
    every_seconds: float


class Lease:
    """Our term, renewed by a thread of its own, so that a slow duty does not end it.

    The lease is over for us before it is over for Redis: it is counted from before it was asked for, by a clock
    that goes on while the process is stopped.
    """

    def __init__(self, leadership: Leadership, lease_seconds: float) -> None:
        self._leadership = leadership
        self._lease_seconds = lease_seconds
        # A restarted process is another holder.
        self._holder = f"{socket.gethostname()}-{token_hex(8)}"
        self._held: tuple[Term, float] | None = None

    def renew(self) -> None:
        """Take the lease, or renew it. StoreUnavailable leaves it as it is, until it is over."""
        asked = monotonic()
        before = self.term()
        term = self._leadership.take(self._holder)
        self._held = (term, asked + self._lease_seconds) if term else None
        if term != before:
            fence = (term or before or Term(0, "")).fence
            _log.info("leading" if term else "no longer leading", extra={"fence": fence})

    def term(self) -> Term | None:
        """The term, while it surely lasts."""
        held = self._held
        return held[0] if held and monotonic() < held[1] else None

    def resign(self) -> None:
        """Let the next one begin at once."""
        term, self._held = self.term(), None
        if term is not None:
            self._leadership.resign(term)


class Worker:
    """Threads around a lease. ``run`` returns after SIGTERM or SIGINT, when all of them have ended."""

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
            leadership: the lease.
            lease_seconds: how long it lasts unless renewed.
            duties: of the leader.
            loops: of every worker.
            close: gives sockets back, when nothing runs any more.
            looped: told the name of each loop that went well, each time.
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
        """Of the term that this process leads; 0 for none."""
        term = self._lease.term()
        return term.fence if term else 0

    def is_alive(self) -> bool:
        """Whether every thread has shown itself lately."""
        return all(monotonic() - beat < STUCK_SECONDS for beat in self._beats.values())

    def serve(self, app: Any, bind: str) -> None:
        """Listen for probes and scrapes from now on; answers begin with ``run``."""
        host, _, port = bind.rpartition(":")
        self._server = make_server(host.strip("[]"), int(port), app, _Server, _Handler)

    def run(self) -> None:
        """Work until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        threads = [
            threading.Thread(target=self._repeat, args=(loop,), name=loop.name, daemon=True)
            for loop in self._loops
        ]
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="ops", daemon=True).start()
        for thread in threads:
            thread.start()
        _log.info("working")
        # Python runs a handler in the main thread, but the kernel may give the signal to another one (it does after
        # a pause), and that wakes nobody here.
        while not self._stopping.wait(_LOOK_FOR_SIGNALS_SECONDS):
            pass
        _log.info("stopping")
        until = monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(until - monotonic(), 0.0))
        try:
            self._lease.resign()
        except StoreUnavailable:
            _log.warning("not resigned: the lease ends by itself")
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
                _log.warning("the store is away", extra={"loop": loop.name})
            except Exception:  # noqa: BLE001  the last line of defence of a thread
                _log.exception("failed", extra={"loop": loop.name})
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
                _log.warning("the store is away", extra={"duty": duty.name})
            except Exception:  # noqa: BLE001  the other duties must be done
                _log.exception("failed", extra={"duty": duty.name})


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = _SOCKET_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """The surface writes its own line."""
