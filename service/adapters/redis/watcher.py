"""One place of waiting per process: a single thread asks Redis about every record that somebody waits for.

A waiting request costs a thread of the worker and an entry here, but no connection and no command of its
own: all records are read in one pipeline, ten times a second, and only while anybody waits.
"""

import logging
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from time import monotonic

from service.adapters.redis.connection import Connection
from service.domain.errors import StoreUnavailable

INTERVAL_SECONDS = 0.1
"""A change is seen within this and a round trip; the contract allows 250 ms."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Waiter:
    version: bytes
    woken: threading.Event = field(default_factory=threading.Event)
    failure: StoreUnavailable | None = None


class Watcher:
    """Wakes waiting requests when their record changes. Its thread lives only while somebody waits."""

    def __init__(self, connection: Connection, max_waiting: int) -> None:
        self._connection = connection
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, set[_Waiter]] = defaultdict(set)
        self._count = 0
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def wait(self, key: str, version: bytes, seconds: float) -> bool:
        """Hold until the document at ``key`` is not ``version``, or ``seconds`` pass.

        Returns:
            False at once when ``max_waiting`` requests of this process wait already, or it is closing.

        Raises:
            StoreUnavailable: Redis went away meanwhile.
        """
        waiter = _Waiter(version)
        with self._lock:
            if self._count >= self._max_waiting or self._closing.is_set():
                return False
            if self._thread is None:
                # It waits for this lock before it looks who is waiting.
                thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
                thread.start()
                self._thread = thread
            self._count += 1
            self._waiting[key].add(waiter)
        try:
            waiter.woken.wait(seconds)
        finally:
            self._remove(key, waiter)
        if waiter.failure is not None:
            raise waiter.failure
        return not self._closing.is_set()

    def close(self) -> None:
        """Wake everybody: the process is leaving, and each is answered with what is known."""
        self._closing.set()
        with self._lock:
            for waiters in self._waiting.values():
                for waiter in waiters:
                    waiter.woken.set()

    def _remove(self, key: str, waiter: _Waiter) -> None:
        with self._lock:
            self._count -= 1
            self._waiting[key].discard(waiter)
            if not self._waiting[key]:
                del self._waiting[key]

    def _watch(self) -> None:
        while True:
            began = monotonic()
            with self._lock:
                if not self._waiting or self._closing.is_set():
                    self._thread = None
                    return
                keys = list(self._waiting)
            try:
                self._wake(keys, self._read(keys))
            except StoreUnavailable as error:
                self._fail(keys, error)
            except Exception:  # noqa: BLE001  the last line of defence of a thread that all waiting hangs on
                _log.exception("watch failed")
            self._closing.wait(max(INTERVAL_SECONDS - (monotonic() - began), 0.01))

    def _read(self, keys: list[str]) -> list[bytes | None]:
        with self._connection.using("watch") as client:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            documents: list[bytes | None] = pipeline.execute()
        return documents

    def _wake(self, keys: list[str], documents: list[bytes | None]) -> None:
        with self._lock:
            for key, document in zip(keys, documents, strict=True):
                for waiter in self._waiting.get(key, ()):
                    if document != waiter.version:
                        waiter.woken.set()

    def _fail(self, keys: list[str], failure: StoreUnavailable) -> None:
        with self._lock:
            for key in keys:
                for waiter in self._waiting.get(key, ()):
                    waiter.failure = failure
                    waiter.woken.set()
