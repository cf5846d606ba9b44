"""The hosted page: what it may show to whoever holds its token."""

from dataclasses import dataclass, field

from service.application.ports import Clock, Limits, VerificationStore
from service.application.reading import Reading
from service.domain.channel import Channel
from service.domain.errors import NotFound, RateLimited
from service.domain.hosted import PageSeals, place_of
from service.domain.limits import Limit, Scope, Spending, address_of
from service.domain.status import Status
from service.domain.verification import Verification

MISSES = Limit(30, 600)
"""Tokens that fit nothing, from one address; 128 bits are not guessed, but whoever tries is told to stop."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page may show.

    Attributes:
        result: for the client to redeem; only while the verification is verified.
    """

    verification: Verification
    result: str | None = field(repr=False)


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
    ) -> None:
        """``public_url``: of the public surface, as browsers reach it; without a slash behind."""
        self._store = store
        self._reading = reading
        self._seals = seals
        self._limits = limits
        self._clock = clock
        self._public_url = public_url

    def url_of(self, record: Verification) -> str | None:
        """The page's address; None for a verification that was made without one."""
        if record.return_url is None:
            return None
        return f"{self._public_url}/p/{self._seals.token(record.id)}"

    def look(
        self, token: str, address: str | None, wait_seconds: int = 0, seen: Channel | None = None
    ) -> Page:
        """What the page shows now, or, at the latest after ``wait_seconds``, once it has changed.

        Args:
            token: from the page's address.
            address: of whoever asks; misses are counted for it.
            wait_seconds: 0 answers at once.
            seen: the channel that the page shows; it answers at once where that has changed.

        Raises:
            NotFound: no such page: unknown, forgotten, or a later verification took its number.
            RateLimited: as well, too often.
        """
        place = place_of(token)
        stored = self._store.latest_at(place) if place else None
        record = stored.verification if stored else None
        if record is None or record.return_url is None or not self._seals.opens(token, record.id):
            self._miss(address)
            raise NotFound("There is no such page.")
        record = self._reading.read(record.requester.client, record.id, wait_seconds, seen)
        verified = record.status is Status.VERIFIED
        return Page(record, self._seals.result(record.id) if verified else None)

    def _miss(self, address: str | None) -> None:
        if address is None:
            return
        spending = Spending(Scope.PAGE, address_of(address), MISSES)
        spent = self._limits.spend([spending], None, self._clock())
        if spent.refusal is not None:
            raise RateLimited(retry_after=max(spent.refusal.reset_seconds, 1))
