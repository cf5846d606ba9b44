"""Wakes waiting requests when their record changes, by sharded publish/subscribe.

A waiting request has an entry here, and no connection or command of its own. For each Redis server there is one
subscription to all records that requests wait for: a thread (under gevent a greenlet) with one connection. A message may
be lost, or be published before the subscription begins. So records are also read again: when Redis has confirmed the
subscription, and every few seconds.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.script import read_all
from waitcall.adapters.redis.subscription import Subscription
from waitcall.application.ports import Stored
from waitcall.domain.errors import StoreUnavailable

_log = logging.getLogger(__name__)


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
        with self._connection.using("watch") as client:
            return read_all(client, keys)
