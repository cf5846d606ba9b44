"""Use cases of the hosted page: read what the page shows to the holder of its token."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from secrets import token_hex

from waitcall.application.ports import Clock, Limits, VerificationStore
from waitcall.application.read import ReadVerification
from waitcall.domain.channel import Channel
from waitcall.domain.errors import NotFound, StoreUnavailable
from waitcall.domain.hosted_page import PageSeals, place_of
from waitcall.domain.limits import Limit, LimitCheck, Scope, address_of
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

LEASE_SECONDS = 35
"""The place of a waiting poll is free after this time even if its process died. The longest poll takes 30 s."""

WAITING_OF_A_PAGE = Limit(2, LEASE_SECONDS)
WAITING_OF_AN_ADDRESS = Limit(20, LEASE_SECONDS)
"""Polls that may wait at the same time, in all processes and replicas. Further polls are answered without waiting."""

WAITING_OF_A_PROCESS = 600
"""Polls that may wait in one process. They leave most of a listener's connections (``worker_connections``) to others."""

PATIENCE_SECONDS = 2.0
"""Longest wait of a page's request for its turn to read. If the store hangs, the request is still answered within 5 s."""


@dataclass(frozen=True, slots=True)
class Page:
    """Content of the page.

    Attributes:
        verification: the verification that the page shows.
        result: the result that the browser takes to the client, which redeems it; None unless the status is verified.
    """

    verification: Verification
    result: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Poll:
    """A place that a waiting poll has taken.

    Attributes:
        name: random token under which the limits count the poll.
        limit_checks: the limits that count it.
    """

    name: str = field(repr=False)
    limit_checks: Sequence[LimitCheck]


class FairSemaphore:
    """Semaphore that serves waiting requests in their order.

    A semaphore of ``threading`` does not work here: under gevent hundreds of waiting requests queue for its inner lock.
    Those that want to release it queue too, and nothing moves for seconds.
    """

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def acquire(self, seconds: float = 0) -> bool:
        """Acquire the semaphore. Return False if it was not free within ``seconds``."""
        try:
            self._free.get(block=seconds > 0, timeout=seconds or None)
        except Empty:
            return False
        return True

    def release(self) -> None:
        """Release the semaphore to the next in the queue."""
        self._free.put(None)


class ReadPage:
    """The hosted page's use cases. They only read. Every method may raise StoreUnavailable."""

    def __init__(  # noqa: PLR0913  one parameter per port
        self,
        *,
        store: VerificationStore,
        reading: ReadVerification,
        seals: PageSeals,
        limits: Limits,
        clock: Clock,
        public_url: str,
        max_waiting: int,
        rest: Callable[[], None],
    ) -> None:
        """``max_waiting``: polls that may wait in this process at the same time.

        ``public_url``: URL of the public surface as browsers reach it, without a slash at the end. ``rest``: called after
        each read, before the next one begins, to let other requests of the process run.
        """
        self._store = store
        self._reading = reading
        self._seals = seals
        self._limits = limits
        self._clock = clock
        self._public_url = public_url
        self._places = FairSemaphore(max_waiting)
        # Only one request of a page reads at a time, so that a flood of them does not delay other requests.
        self._reads = FairSemaphore(1)
        self._rest = rest

    def url_of(self, record: Verification) -> str | None:
        """Return the URL of a verification's page; None if it was created without a page."""
        if record.return_url is None:
            return None
        return f"{self._public_url}/p/{self._seals.token(record.id)}"

    def look(
        self,
        token: str,
        address: str | None,
        wait_seconds: int = 0,
        seen: Channel | None = None,
        *,
        seen_weak_call: bool | None = None,
    ) -> Page:
        """Read the content of the page, waiting up to ``wait_seconds`` for a change.

        Args:
            token: the token from the page's URL.
            address: the IP address of the browser, for which waiting polls are counted; None if unknown.
            wait_seconds: longest wait; 0 answers at once. A poll for which no place is free answers at once too.
            seen: the channel that the page shows now. If the channel has changed, the answer comes at once.
            seen_weak_call: whether the page says that a weak call came. If that has changed, the answer comes at once.

        Raises:
            NotFound: the token is unknown, the record was deleted, or a later verification has taken its number.
        """
        with self._reading_turn():
            record = self._opened(token)
            poll = self._begun(record, address) if wait_seconds else None
            if poll is None:
                return self._page(record, 0, seen, seen_weak_call=seen_weak_call)
        try:
            return self._page(record, wait_seconds, seen, seen_weak_call=seen_weak_call)
        finally:
            self._ended(poll)

    @contextmanager
    def _reading_turn(self) -> Iterator[None]:
        if not self._reads.acquire(PATIENCE_SECONDS):
            raise StoreUnavailable(retry_after=1)
        try:
            yield
        finally:
            self._rest()
            self._reads.release()

    def _opened(self, token: str) -> Verification:
        place = place_of(token)
        stored = self._store.latest_at(place) if place else None
        record = stored.verification if stored else None
        if record is None or record.return_url is None or not self._seals.opens(token, record.id):
            raise NotFound("There is no such page.")
        return record

    def _page(
        self,
        record: Verification,
        wait_seconds: int,
        seen: Channel | None,
        *,
        seen_weak_call: bool | None,
    ) -> Page:
        record = self._reading.look(
            record.requester.client, record.id, wait_seconds, seen, seen_weak_call=seen_weak_call
        )
        verified = record.status is Status.VERIFIED
        return Page(record, self._seals.result(record.id) if verified else None)

    def _begun(self, record: Verification, address: str | None) -> _Poll | None:
        """Take a place to wait, which the process, the page and the address must have free.

        Return None if one of them is full, or if the record is not pending, so that there is nothing to wait for.
        """
        now = self._clock()
        if record.at(now).status is not Status.PENDING or not self._places.acquire():
            return None
        limit_checks = [LimitCheck(Scope.PAGE, record.id, WAITING_OF_A_PAGE)]
        if address is not None:
            limit_checks.append(LimitCheck(Scope.PAGE, address_of(address), WAITING_OF_AN_ADDRESS))
        poll = _Poll(token_hex(12), limit_checks)
        refused = True
        try:
            refused = self._limits.take(limit_checks, poll.name, now).refusal is not None
        finally:
            if refused:
                self._places.release()
        return None if refused else poll

    def _ended(self, poll: _Poll) -> None:
        self._places.release()
        # A place that cannot be given back is free after LEASE_SECONDS.
        with suppress(StoreUnavailable):
            self._limits.give_back(poll.limit_checks, poll.name)
