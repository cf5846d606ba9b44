"""Wakes waiting requests when their record changes, by sharded publish/subscribe.

A waiting request has an entry here, and no connection or command of its own. For each Redis server there is one
subscription to all records that requests wait for: a thread (under gevent a greenlet) with one connection. A message may
be lost, or be published before the subscription begins. So records are also read again: when Redis has confirmed the
subscription, and every few seconds.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from time import monotonic

from redis import Redis
from redis.client import PubSub

from waitcall.adapters.redis.connection import OUTAGES, Connection
from waitcall.adapters.redis.keys import Keys
from waitcall.application.ports import Stored
from waitcall.domain.errors import StoreUnavailable

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
    """Follows keys of records at one server, by a thread that alone uses the connection.

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


class _Waiter:
    """A waiting request. Thousands may wait, so it uses a lock and not an Event, which consists of eight objects."""

    __slots__ = ("_asleep", "failure", "version")

    def __init__(self, version: bytes) -> None:
        self.version = version
        self.failure: StoreUnavailable | None = None
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def sleep(self, seconds: float) -> None:
        """Sleep until woken, at most ``seconds``."""
        self._asleep.acquire(timeout=max(seconds, 0))

    def wake(self) -> None:
        """Wake the request. A second call does nothing."""
        with suppress(RuntimeError):
            self._asleep.release()


class RedisChangeNotifier:
    """ChangeNotifier over Redis."""

    def __init__(self, connection: Connection, keys: Keys, max_waiting: int) -> None:
        """``max_waiting``: requests of this process that may wait at the same time."""
        self._keys = keys
        self._connection = connection
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, set[_Waiter]] = defaultdict(set)
        self._count = 0
        self._subscriptions: dict[str, Subscription] = {}
        self._closing = False

    def wait_for_change(self, stored: Stored, seconds: float) -> bool:
        """Wait until the stored document differs from ``stored``, or ``seconds`` have passed.

        Returns:
            False at once if ``max_waiting`` requests of this process wait already, or the process is shutting down; else
            True.

        Raises:
            StoreUnavailable: Redis failed meanwhile.
        """
        key = self._keys.record(stored.verification.id)
        if key is None:
            return False
        waiter = _Waiter(stored.version)
        with self._lock:
            if self._count >= self._max_waiting or self._closing:
                return False
            self._count += 1
            self._waiting[key].add(waiter)
        try:
            self._subscription_of(key).follow(key)
            waiter.sleep(seconds)
        finally:
            self._remove(key, waiter)
        if waiter.failure is not None:
            raise waiter.failure
        return not self._closing

    def close(self) -> None:
        """Wake all requests, because the process is shutting down. Each answers with the record that it read last."""
        with self._lock:
            self._closing = True
            waiters = [waiter for waiters in self._waiting.values() for waiter in waiters]
            subscriptions = list(self._subscriptions.values())
        for waiter in waiters:
            waiter.wake()
        for subscription in subscriptions:
            subscription.close()

    def _remove(self, key: str, waiter: _Waiter) -> None:
        with self._lock:
            self._count -= 1
            self._waiting[key].discard(waiter)
            if self._waiting[key]:
                return
            del self._waiting[key]
            subscriptions = list(self._subscriptions.values())
        for subscription in subscriptions:
            subscription.leave(key)

    def _subscription_of(self, key: str) -> Subscription:
        """Return the subscription at the server that has the record now."""
        topology = self._connection.topology
        with self._connection.using("watch") as client:
            name, _ = topology.server_of(client, key)
            with self._lock:
                if name not in self._subscriptions:
                    self._subscriptions[name] = Subscription(
                        partial(topology.subscriber, client, key),
                        told=self._wake,
                        check=self._check,
                        one_by_one=not topology.one_server,
                    )
                return self._subscriptions[name]

    def _wake(self, key: str) -> None:
        """Wake the requests that wait for a record, because it has changed."""
        for waiter in self._of([key]):
            waiter.wake()

    def _of(self, keys: Iterable[str]) -> list[_Waiter]:
        with self._lock:
            return [waiter for key in keys for waiter in self._waiting.get(key, ())]

    def _check(self, keys: Iterable[str]) -> None:
        """Read records again, and wake the requests whose record has changed."""
        asked = list(keys)
        try:
            documents = self._read(asked)
        except StoreUnavailable as error:
            for waiter in self._of(asked):
                waiter.failure = error
                waiter.wake()
            return
        except Exception:  # noqa: BLE001  the subscription's thread must go on, because all waiting requests need it
            _log.exception("reading of awaited records failed")
            return
        for key, document in zip(asked, documents, strict=True):
            for waiter in self._of([key]):
                if document != waiter.version:
                    waiter.wake()

    def _read(self, keys: list[str]) -> list[bytes | None]:
        return self._connection.read_all("watch", keys)
