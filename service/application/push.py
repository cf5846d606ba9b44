"""Outcomes are pushed to the clients' endpoints: at least once, until they are taken or given up.

A transition and its announcement are two steps in two cluster slots. The second follows at once; should the
process die between them, the sweep finds what the record has to tell and was not told (docs/adr/0018).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from threading import BoundedSemaphore
from typing import Protocol

from service.application.announcement import Announcement, Announcer, Delivery
from service.application.leadership import Term
from service.application.ports import Clock
from service.domain.errors import StoreUnavailable
from service.domain.event import events_of
from service.domain.policy import Endpoint, Policy
from service.domain.verification import Verification

MOST_ATTEMPTS = 20
FIRST_DELAY_SECONDS = 1
LONGEST_DELAY_SECONDS = 3600
"""Doubling from one second to an hour: the last of 20 attempts comes some eight hours after the first."""
BUSY_DELAY_SECONDS = 1
MOST_ROUNDS = 50
SLOTS = 32
"""Deliveries at once, of one worker."""
SLOTS_OF_ENDPOINT = 4
"""So that an endpoint that hangs leaves room for the others."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that is ours for now, and the store's own word for it."""

    delivery: Delivery
    receipt: tuple[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What has not arrived yet."""

    waiting: int
    retrying: int
    dead: int
    oldest_at: datetime | None


class Outbox(Protocol):
    """Deliveries, kept until they are settled. Every method may raise StoreUnavailable."""

    def announce(self, number: str, announcement: Announcement) -> None:
        """Keep the deliveries of an event, unless it was announced before."""
        ...

    def take(self, consumer: str, most: int) -> list[Taken]:
        """Deliveries that are nobody's, or whose worker died with them; at most ``most``, perhaps fewer."""
        ...

    def arrived(self, taken: Taken) -> None:
        """It was accepted."""
        ...

    def defer(self, taken: Taken, delivery: Delivery, until: datetime) -> None:
        """Try again then."""
        ...

    def bury(self, taken: Taken, delivery: Delivery) -> None:
        """Given up: a dead letter, for an operator."""
        ...

    def wake(self, now: datetime) -> int:
        """Give back what was deferred until now."""
        ...

    def backlog(self) -> Backlog:
        """How much there is."""
        ...

    def dead(self) -> Iterator[Delivery]:
        """The dead letters."""
        ...

    def replay(self, event_id: str, endpoint: str) -> bool:
        """Deliver a dead letter again, from the first attempt on; False where there is none."""
        ...


class DeliveryOutcome(StrEnum):
    """How one attempt ended; the metric's closed set."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """Any status but 2xx, redirects among them."""
    GONE = "gone"
    """410: the endpoint asks for no more."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    """It resolves to an address that is not to be reached."""
    UNKNOWN_ENDPOINT = "unknown_endpoint"
    """It is in the policy no more."""


class Sender(Protocol):
    """Signs and sends."""

    def send(self, endpoint: Endpoint, delivery: Delivery, now: datetime) -> DeliveryOutcome:
        """One attempt. Never raises."""
        ...


class Teller(Protocol):
    """Told of every attempt, and of the backlog. Never raises."""

    def delivered(self, delivery: Delivery, outcome: DeliveryOutcome, *, dead: bool) -> None:
        """One attempt ended; ``dead``: it was the last."""
        ...

    def backlog(self, backlog: Backlog, now: datetime) -> None:
        """What is left."""
        ...


class Reminder:
    """Announces what a record has to tell, as often as it is asked; each event is announced once."""

    def __init__(self, outbox: Outbox, announcer: Announcer) -> None:
        self._outbox = outbox
        self._announcer = announcer

    def remind(self, record: Verification, now: datetime) -> None:
        """Raises StoreUnavailable when an event may not have been announced."""
        for event in events_of(record, now):
            announcement = self._announcer.of(event, now)
            if announcement is not None:
                self._outbox.announce(record.phone_number.value, announcement)


class Push:
    """Delivers. Any number of workers, each with a name of its own as ``consumer``."""

    def __init__(  # noqa: PLR0913  its ports
        self,
        *,
        outbox: Outbox,
        sender: Sender,
        teller: Teller,
        clock: Clock,
        policy: Policy,
        consumer: str,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._teller = teller
        self._clock = clock
        self._consumer = consumer
        self._endpoints: Mapping[str, Endpoint] = {
            endpoint.name: endpoint for client in policy.clients.values() for endpoint in client.webhooks
        }
        self._threads = ThreadPoolExecutor(SLOTS, thread_name_prefix="push")
        self._free = BoundedSemaphore(SLOTS)
        self._free_of = {name: BoundedSemaphore(SLOTS_OF_ENDPOINT) for name in self._endpoints}

    def run(self) -> int:
        """Take what may be taken and begin to deliver it.

        Returns:
            How many deliveries were taken.
        """
        self._outbox.wake(self._clock())
        total = 0
        for _ in range(MOST_ROUNDS):
            taken = self._round()
            if not taken:
                break
            total += taken
        return total

    def _round(self) -> int:
        free = 0
        while free < SLOTS and self._free.acquire(blocking=False):
            free += 1
        taken: Sequence[Taken] = ()
        try:
            taken = self._outbox.take(self._consumer, free)
        finally:
            for _ in range(free - len(taken)):
                self._free.release()
        for each in taken:
            self._threads.submit(self._deliver, each)
        return len(taken)

    def measure(self, _term: Term) -> None:
        """Tell of the backlog. For the leader alone."""
        self._teller.backlog(self._outbox.backlog(), self._clock())

    def close(self) -> None:
        """Finish what was begun. What was only taken is taken over by others."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _deliver(self, taken: Taken) -> None:
        try:
            self.deliver(taken)
        except StoreUnavailable:
            # It stays ours until it is taken over, and then comes a second time.
            pass
        finally:
            self._free.release()

    def deliver(self, taken: Taken) -> None:
        """One attempt, settled. Raises StoreUnavailable when it may not have been."""
        delivery = replace(taken.delivery, attempt=taken.delivery.attempt + 1)
        endpoint, now = self._endpoints.get(delivery.endpoint), self._clock()
        if endpoint is None:
            outcome = DeliveryOutcome.UNKNOWN_ENDPOINT
        else:
            free = self._free_of[endpoint.name]
            if not free.acquire(blocking=False):
                self._outbox.defer(taken, taken.delivery, now + timedelta(seconds=BUSY_DELAY_SECONDS))
                return
            try:
                outcome = self._sender.send(endpoint, delivery, now)
            finally:
                free.release()
        self._settle(taken, delivery, outcome)

    def _settle(self, taken: Taken, delivery: Delivery, outcome: DeliveryOutcome) -> None:
        hopeless = outcome in (DeliveryOutcome.GONE, DeliveryOutcome.UNKNOWN_ENDPOINT)
        dead = outcome is not DeliveryOutcome.ACCEPTED and (hopeless or delivery.attempt >= MOST_ATTEMPTS)
        if outcome is DeliveryOutcome.ACCEPTED:
            self._outbox.arrived(taken)
        elif dead:
            self._outbox.bury(taken, delivery)
        else:
            self._outbox.defer(taken, delivery, self._clock() + delay(delivery.attempt))
        self._teller.delivered(delivery, outcome, dead=dead)


def delay(attempt: int) -> timedelta:
    """How long to wait after an attempt that failed: doubling, with up to a quarter of jitter."""
    seconds = min(FIRST_DELAY_SECONDS * 2 ** (attempt - 1), LONGEST_DELAY_SECONDS)
    return timedelta(seconds=seconds * random.uniform(1.0, 1.25))  # noqa: S311  # nosec B311  # jitter, no secret
