"""One server's announcements of changed records, as far as somebody waits for them."""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

from redis import Redis
from redis.client import PubSub

from service.adapters.redis.connection import OUTAGES

REREAD_SECONDS = 5.0
"""Records are read again after this: an announcement may be lost with its connection."""
BLIND_SECONDS = 0.1
"""And after this while the server announces nothing to us, for whatever reason, as long as few wait; the contract
allows 250 ms."""
TICK_SECONDS = 0.02
"""A subscription is sent within this; what is announced is told at once."""
IDLE_SECONDS = 30.0
"""The connection is given back when nobody has waited for so long."""
_MOST_READ = 500

_log = logging.getLogger(__name__)


class Subscription:
    """Follows keys: ``told`` of each announced one, ``check`` given those that may have changed unannounced.

    One thread alone uses the connection; it lives while it has something to follow, and a while longer.
    """

    def __init__(
        self,
        connect: Callable[[], Redis],
        told: Callable[[str], None],
        check: Callable[[Iterable[str]], None],
        *,
        one_by_one: bool = False,
    ) -> None:
        """``one_by_one``: a cluster's node takes several channels at once only where they share a slot."""
        self._connect, self._one_by_one = connect, one_by_one
        self._told = told
        self._check = check
        self._lock = threading.Lock()
        self._followed: set[str] = set()
        self._fresh: set[str] = set()
        self._left: set[str] = set()
        self._round: list[str] = []
        self._subscribed: set[str] = set()
        self._changed = threading.Event()
        self._closed = False
        self._read_at = 0.0
        self._blind_until = 0.0
        self._thread: threading.Thread | None = None
        self._client: Redis | None = None
        self._pubsub: PubSub | None = None

    def follow(self, key: str) -> None:
        """From now on, until :meth:`leave`."""
        with self._lock:
            self._followed.add(key)
            self._fresh.add(key)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)
                self._thread.start()
        self._changed.set()

    def leave(self, key: str) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._followed.discard(key)
            self._left.add(key)

    def close(self) -> None:
        """End the thread soon."""
        self._closed = True
        self._changed.set()

    def _run(self) -> None:
        self._read_at = monotonic()
        while not self._closed:
            if not self._followed and not self._rest():
                return
            try:
                if monotonic() < self._blind_until:
                    self._look()
                else:
                    pubsub = self._subscribe()
                    self._reread()
                    self._listen(pubsub)
            except Exception as error:  # noqa: BLE001  the last line of defence of a thread that all waiting hangs on
                if self._is_over():
                    return
                # Also where this server may not announce to us, or has given the record to another.
                if not self._blind_until:
                    unexpected = None if isinstance(error, OUTAGES) else error
                    _log.warning("no announcements of changes: %s", type(error).__name__, exc_info=unexpected)
                self._blind_until = monotonic() + REREAD_SECONDS
                self._drop()
        self._drop()

    def _is_over(self) -> bool:
        """The client may be closed under us."""
        return self._closed

    def _rest(self) -> bool:
        """Wait for somebody to follow; False when nobody came, and the thread is to end."""
        self._changed.clear()
        if self._followed or self._changed.wait(IDLE_SECONDS):
            return True
        with self._lock:
            if not self._followed:
                self._drop()
                self._thread = None
                return False
        return True

    def _subscribe(self) -> PubSub:
        with self._lock:
            if self._pubsub is None:
                # Whatever was subscribed went with the connection.
                self._fresh |= self._followed
            fresh, self._fresh = self._fresh, set()
            gone, self._left = (self._left - self._followed) & self._subscribed, set()
        if self._pubsub is None:
            # Kept too, because a client that nobody has closes its pool.
            self._client = self._connect()
            self._pubsub = self._client.pubsub()
        # What changed just before somebody began to wait was announced to nobody; for new ones the confirmation
        # comes later than that.
        if known := fresh & self._subscribed:
            self._check(known)
        added = fresh - known
        for keys in self._commands(added):
            self._pubsub.ssubscribe(*keys)
        for keys in self._commands(gone):
            self._pubsub.sunsubscribe(*keys)
        self._subscribed = (self._subscribed | added) - gone
        return self._pubsub

    def _commands(self, keys: set[str]) -> Iterable[Iterable[str]]:
        if self._one_by_one:
            return [[key] for key in keys]
        return [keys] if keys else []

    def _listen(self, pubsub: PubSub) -> None:
        """Pass on what was announced, until nothing more comes for a tick.

        A connection that ended is opened again by the library, which subscribes anew: that is confirmed like the first.
        """
        confirmed: list[str] = []
        while (message := pubsub.get_message(timeout=0 if confirmed else TICK_SECONDS)) is not None:
            kind, key = message["type"], message["channel"].decode()
            if kind == "ssubscribe":
                confirmed.append(key)
            elif kind == "smessage":
                self._told(key)
            if len(confirmed) == _MOST_READ:
                break
        if confirmed:
            self._blind_until = 0.0
            self._check(confirmed)

    def _reread(self) -> None:
        """A few at a time, so that each has its turn within REREAD_SECONDS and nobody notices."""
        now = monotonic()
        few = int(len(self._followed) * (now - self._read_at) / REREAD_SECONDS)
        if few:
            self._read_at = now
            self._check_next(few)

    def _look(self) -> None:
        """Without announcements: read as many as may be read at once, and come back soon."""
        self._check_next(_MOST_READ)
        self._changed.clear()
        self._changed.wait(BLIND_SECONDS)

    def _check_next(self, few: int) -> None:
        self._round = self._round or list(self._copy())
        self._check(self._round[:few])
        self._round = self._round[few:]

    def _drop(self) -> None:
        pubsub, self._pubsub, self._subscribed = self._pubsub, None, set()
        if pubsub is not None:
            with suppress(*OUTAGES):
                pubsub.close()
        self._client = None

    def _copy(self) -> set[str]:
        with self._lock:
            return set(self._followed)
