"""Subscription to one server's messages about changed records, for the records that requests wait for."""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

from redis import Redis
from redis.client import PubSub

from waitcall.adapters.redis.connection import OUTAGES

REREAD_SECONDS = 5.0
"""Each record is read again within this time, because a message may be lost with its connection."""
BLIND_SECONDS = 0.1
"""Time between two reads of the awaited records, at most ``_MOST_READ``, while the subscription does not work.

The contract allows 250 ms from a change to the answer."""
TICK_SECONDS = 0.02
"""New subscriptions are sent within this time. Messages are passed on at once."""
IDLE_SECONDS = 30.0
"""The connection is closed if no request has waited for this time."""
_MOST_READ = 500
"""Records that are read at once."""

_log = logging.getLogger(__name__)


class Subscription:
    """Follows keys of records, by a thread that alone uses the connection.

    The thread runs while there are keys to follow, and IDLE_SECONDS longer.
    """

    def __init__(
        self,
        connect: Callable[[], Redis],
        told: Callable[[str], None],
        check: Callable[[Iterable[str]], None],
        *,
        one_by_one: bool = False,
    ) -> None:
        """
        Args:
            connect: makes the client whose connection is used.
            told: called with the key of each record that a message reports as changed.
            check: called with the keys of records that may have changed without a message; reads them again.
            one_by_one: True to send one command for each channel, because a cluster's node accepts several channels in a
                command only if they share a slot.
        """
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
        """Follow a key until :meth:`leave`."""
        with self._lock:
            self._followed.add(key)
            self._fresh.add(key)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)
                self._thread.start()
        self._changed.set()

    def leave(self, key: str) -> None:
        """Stop following a key."""
        with self._lock:
            self._followed.discard(key)
            self._left.add(key)

    def close(self) -> None:
        """Let the thread end soon."""
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
            except Exception as error:  # noqa: BLE001  this thread must go on, because all waiting requests need it
                if self._is_over():
                    return
                # This happens too if our user may not subscribe, or the record has moved to another server.
                if not self._blind_until:
                    unexpected = None if isinstance(error, OUTAGES) else error
                    _log.warning(
                        "subscription to changes failed: %s", type(error).__name__, exc_info=unexpected
                    )
                self._blind_until = monotonic() + REREAD_SECONDS
                self._drop()
        self._drop()

    def _is_over(self) -> bool:
        """Tell if the subscription was closed, which another thread may do at any time."""
        return self._closed

    def _rest(self) -> bool:
        """Wait for a key to follow. Return False if none came within IDLE_SECONDS, so that the thread must end."""
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
                # The earlier connection took its subscriptions with it, so subscribe to all keys again.
                self._fresh |= self._followed
            fresh, self._fresh = self._fresh, set()
            gone, self._left = (self._left - self._followed) & self._subscribed, set()
        if self._pubsub is None:
            # Keep a reference to the client, because it closes its pool when it is garbage-collected.
            self._client = self._connect()
            self._pubsub = self._client.pubsub()
        # A record may have changed just before a request began to wait for it. A new subscription is confirmed later, and
        # its records are read again then. Records with an older subscription must be read again now.
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
        """Pass messages on, until none has come for TICK_SECONDS.

        If the connection has ended, the library opens it again and repeats the subscriptions. Redis confirms those like
        the first ones.
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
        """Read a few of the records again, so that each has its turn within REREAD_SECONDS without a burst of reads."""
        now = monotonic()
        few = int(len(self._followed) * (now - self._read_at) / REREAD_SECONDS)
        if few:
            self._read_at = now
            self._check_next(few)

    def _look(self) -> None:
        """Read up to ``_MOST_READ`` records again and pause shortly. This replaces a subscription that does not work."""
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
