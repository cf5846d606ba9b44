"""The hosted page: what it may show to whoever holds its token."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_hex

from service.application.ports import Clock, Limits, VerificationStore
from service.application.reading import Reading
from service.application.slots import Slots
from service.domain.channel import Channel
from service.domain.errors import NotFound, StoreUnavailable
from service.domain.hosted import PageSeals, place_of
from service.domain.limits import Limit, Scope, Spending, address_of
from service.domain.status import Status
from service.domain.verification import Verification

LEASE_SECONDS = 35
"""A waiting poll's place is free again after this time, also where its process died. The longest poll takes 30 s."""

WAITING_OF_A_PAGE = Limit(2, LEASE_SECONDS)
WAITING_OF_AN_ADDRESS = Limit(20, LEASE_SECONDS)
"""Polls that may wait at once, over all processes and replicas; the next is answered at once."""

WAITING_OF_A_PROCESS = 600
"""Well below the connections that a listener takes (``worker_connections``), whatever the number of addresses."""

PATIENCE_SECONDS = 2.0
"""Seconds that a request of a page waits for its turn to read. With its own read it is answered within 5 s where the store hangs."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page may show.

    Attributes:
        result: for the client to redeem; only while the verification is verified.
    """

    verification: Verification
    result: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Poll:
    """A place to wait that was taken."""

    name: str = field(repr=False)
    spendings: Sequence[Spending]


class Pages:
    """The page's use cases. It reads, and can do nothing else. Every method may raise StoreUnavailable."""

    def __init__(  # noqa: PLR0913  its ports
        self,
        *,
        store: VerificationStore,
        reading: Reading,
        seals: PageSeals,
        limits: Limits,
        clock: Clock,
        public_url: str,
        max_waiting: int,
        rest: Callable[[], None],
    ) -> None:
        """
        Args:
            store: where verifications are.
            reading: reads them, now or once they have changed.
            seals: opens tokens.
            limits: counts the polls that wait.
            clock: the time.
            public_url: of the public surface, as browsers reach it; without a slash behind.
            max_waiting: polls that may wait in this process.
            rest: called after each read, before the next may begin; leaves the process to everybody else for a moment.
        """
        self._store = store
        self._reading = reading
        self._seals = seals
        self._limits = limits
        self._clock = clock
        self._public_url = public_url
        self._places = Slots(max_waiting)
        # One request of a page reads at a time: a crowd of them waits in line, and everybody else passes it.
        self._reads = Slots(1)
        self._rest = rest

    def url_of(self, record: Verification) -> str | None:
        """The page's address; None for a verification that was made without one."""
        if record.return_url is None:
            return None
        return f"{self._public_url}/p/{self._seals.token(record.id)}"

    def look(
        self, token: str, address: str | None, wait_seconds: int = 0, seen: Channel | None = None
    ) -> Page:
        """Read what the page shows now, or, at the latest after ``wait_seconds``, once it has changed.

        Args:
            token: from the page's address.
            address: of whoever asks; polls that wait are counted for it.
            wait_seconds: 0 answers at once. So does a poll for which there is no place to wait.
            seen: the channel that the page shows; it answers at once where that has changed.

        Raises:
            NotFound: no such page: unknown, forgotten, or a later verification took its number.
        """
        with self._reading_turn():
            record = self._opened(token)
            poll = self._begun(record, address) if wait_seconds else None
            if poll is None:
                return self._page(record, 0, seen)
        try:
            return self._page(record, wait_seconds, seen)
        finally:
            self._ended(poll)

    @contextmanager
    def _reading_turn(self) -> Iterator[None]:
        if not self._reads.take(PATIENCE_SECONDS):
            raise StoreUnavailable(retry_after=1)
        try:
            yield
        finally:
            self._rest()
            self._reads.give_back()

    def _opened(self, token: str) -> Verification:
        place = place_of(token)
        stored = self._store.latest_at(place) if place else None
        record = stored.verification if stored else None
        if record is None or record.return_url is None or not self._seals.opens(token, record.id):
            raise NotFound("There is no such page.")
        return record

    def _page(self, record: Verification, wait_seconds: int, seen: Channel | None) -> Page:
        record = self._reading.read(record.requester.client, record.id, wait_seconds, seen)
        verified = record.status is Status.VERIFIED
        return Page(record, self._seals.result(record.id) if verified else None)

    def _begun(self, record: Verification, address: str | None) -> _Poll | None:
        """Take a place to wait: one of this process, of the page and of the address. None where one is full, or none is needed."""
        now = self._clock()
        if record.at(now).status is not Status.PENDING or not self._places.take():
            return None
        spendings = [Spending(Scope.PAGE, record.id, WAITING_OF_A_PAGE)]
        if address is not None:
            spendings.append(Spending(Scope.PAGE, address_of(address), WAITING_OF_AN_ADDRESS))
        poll = _Poll(token_hex(12), spendings)
        refused = True
        try:
            refused = self._limits.spend(spendings, poll.name, now).refusal is not None
        finally:
            if refused:
                self._places.give_back()
        return None if refused else poll

    def _ended(self, poll: _Poll) -> None:
        self._places.give_back()
        # What cannot be given back now is free after the lease.
        with suppress(StoreUnavailable):
            self._limits.give_back(poll.spendings, poll.name)
