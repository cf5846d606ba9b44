"""Delivery of events to the clients' webhook endpoints: at least once, until accepted or given up.

On a cluster a transition and its announcement are stored in two steps. The second follows at once. If the process dies
between them, the sweep finds the record and announces its event (docs/adr/0018).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from threading import BoundedSemaphore
from typing import Protocol

from waitcall.application.effects import Announcement, AuditEntry, Delivery, announcement_of
from waitcall.application.operate import check_reason
from waitcall.application.ports import AuditLog, Clock, Term
from waitcall.domain.errors import StoreUnavailable
from waitcall.domain.event import events_of
from waitcall.domain.policy import Endpoint, Policy
from waitcall.domain.verification import Verification

MOST_ATTEMPTS = 20
FIRST_DELAY_SECONDS = 1
LONGEST_DELAY_SECONDS = 3600
"""The delay doubles from one second up to an hour, so the last of 20 attempts comes about eight hours after the first."""
BUSY_DELAY_SECONDS = 1
MOST_ROUNDS = 50
SLOTS = 32
"""Deliveries that one worker makes at the same time."""
SLOTS_OF_ENDPOINT = 4
"""Deliveries that one worker makes to one endpoint at the same time, so that a hanging endpoint leaves room for others."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that this worker has taken from the outbox.

    Attributes:
        delivery: the delivery.
        receipt: the outbox's reference to it, needed to settle it.
    """

    delivery: Delivery
    receipt: tuple[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeliveryBacklog:
    """Deliveries that were not accepted yet.

    Attributes:
        waiting: number of deliveries that wait for an attempt or are in one.
        retrying: number of deliveries that wait for their next attempt after a failed one.
        dead: number of dead letters.
        oldest_at: when the oldest waiting delivery was announced (UTC); None without one.
    """

    waiting: int
    retrying: int
    dead: int
    oldest_at: datetime | None


class Outbox(Protocol):
    """Store of deliveries until they are settled. Every method may raise StoreUnavailable."""

    def announce(self, number: str, announcement: Announcement) -> None:
        """Store the deliveries of an event, unless the event was announced before. ``number``: E.164."""

    def take(self, consumer: str, most: int) -> list[Taken]:
        """Take at most ``most`` deliveries for a worker: new ones, and those of workers that seem to have died.

        It may take fewer, or none, although there are more.
        """

    def arrived(self, taken: Taken) -> None:
        """Settle a delivery that the endpoint accepted."""

    def defer(self, taken: Taken, delivery: Delivery, until: datetime) -> None:
        """Keep a delivery for another attempt at ``until`` (UTC). ``delivery``: with the attempt counted."""

    def bury(self, taken: Taken, delivery: Delivery) -> None:
        """Give a delivery up and keep it as a dead letter for an operator. If those are full, drop it."""

    def wake(self, now: datetime) -> int:
        """Make deliveries available again whose time to retry has come. Return their number."""

    def backlog(self) -> DeliveryBacklog:
        """Count the deliveries that were not accepted yet."""

    def dead(self) -> Iterator[Delivery]:
        """Return all dead letters."""

    def replay(self, event_id: str, endpoint: str) -> bool:
        """Deliver a dead letter again, from the first attempt on. Return False if there is none."""


class DeliveryOutcome(StrEnum):
    """Outcome of one attempt. The values are labels of a metric."""

    ACCEPTED = "accepted"
    """The status was 2xx."""
    REFUSED = "refused"
    """The status was not 2xx; redirects count too."""
    GONE = "gone"
    """The status was 410: the endpoint wants no more deliveries."""
    TIMEOUT = "timeout"
    """There was no answer in time."""
    UNREACHABLE = "unreachable"
    """The name was not found, or the connection failed."""
    FORBIDDEN = "forbidden"
    """The endpoint's name resolves to an address that must not be reached, such as a private one."""
    UNKNOWN_ENDPOINT = "unknown_endpoint"
    """The endpoint is no longer in the policy."""


class Sender(Protocol):
    """Signs a delivery and sends it to its endpoint."""

    def send(self, endpoint: Endpoint, delivery: Delivery, now: datetime) -> DeliveryOutcome:
        """Make one attempt to deliver, and return its outcome. Never raises."""


class DeliveryMetrics(Protocol):
    """Metrics of deliveries. Methods never raise."""

    def delivered(self, delivery: Delivery, outcome: DeliveryOutcome, *, dead: bool) -> None:
        """Record the outcome of an attempt. ``dead``: whether the delivery was given up."""

    def backlog(self, backlog: DeliveryBacklog, now: datetime) -> None:
        """Record the size and age of the backlog."""


def remind(outbox: Outbox, policy: Policy, record: Verification, now: datetime) -> None:
    """Announce all events that a record has come to. The outbox ignores those that were announced before.

    Raises:
        StoreUnavailable: an event may not have been announced.
    """
    for event in events_of(record, now):
        announcement = announcement_of(event, policy, now)
        if announcement is not None:
            outbox.announce(record.phone_number.value, announcement)


class DeliverWebhooks:
    """Takes deliveries from the outbox and sends them in threads.

    Every worker process runs one. ``consumer`` is a name that no other process uses.
    """

    def __init__(  # noqa: PLR0913  one parameter per port
        self,
        *,
        outbox: Outbox,
        sender: Sender,
        delivery_metrics: DeliveryMetrics,
        clock: Clock,
        policy: Policy,
        consumer: str,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._delivery_metrics = delivery_metrics
        self._clock = clock
        self._consumer = consumer
        self._endpoints: Mapping[str, Endpoint] = {
            endpoint.name: endpoint for client in policy.clients.values() for endpoint in client.webhooks
        }
        self._threads = ThreadPoolExecutor(SLOTS, thread_name_prefix="push")
        self._free = BoundedSemaphore(SLOTS)
        self._free_of = {name: BoundedSemaphore(SLOTS_OF_ENDPOINT) for name in self._endpoints}

    def run(self) -> int:
        """Take the deliveries that are available, and start to send them in threads.

        Returns:
            Number of deliveries taken.
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
        """Record the backlog in the metrics. Only the leading worker does this."""
        self._delivery_metrics.backlog(self._outbox.backlog(), self._clock())

    def close(self) -> None:
        """Finish the attempts that have begun. Other workers take over the deliveries that were only taken."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _deliver(self, taken: Taken) -> None:
        try:
            self.deliver(taken)
        except StoreUnavailable:
            # The delivery is not settled, so another worker takes it over later. It may then arrive twice.
            pass
        finally:
            self._free.release()

    def deliver(self, taken: Taken) -> None:
        """Make one attempt and settle the delivery: accepted, deferred or given up.

        Raises:
            StoreUnavailable: the delivery may not have been settled.
        """
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
        self._delivery_metrics.delivered(delivery, outcome, dead=dead)


def delay(attempt: int) -> timedelta:
    """Return the time to wait after failed attempt number ``attempt``. It doubles, with up to a quarter of jitter."""
    seconds = min(FIRST_DELAY_SECONDS * 2 ** (attempt - 1), LONGEST_DELAY_SECONDS)
    return timedelta(seconds=seconds * random.uniform(1.0, 1.25))  # noqa: S311  # nosec B311  # jitter, no secret


class DeadLetters:
    """The operator's use cases for dead letters. Each writes an audit entry first, and may raise StoreUnavailable."""

    def __init__(self, outbox: Outbox, audit: AuditLog, clock: Clock) -> None:
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    def list(self, operator: str) -> list[Delivery]:
        """Return all dead letters."""
        self._audit.append(AuditEntry(self._clock(), "dead_letters", f"operator:{operator}"))
        return [*self._outbox.dead()]

    def replay(
        self, operator: str, reason: str, event_id: str | None = None, endpoint: str | None = None
    ) -> int:
        """Deliver dead letters again, from the first attempt on: all, or only those of one event or one endpoint.

        Returns:
            The number of dead letters that will be delivered again.

        Raises:
            ValidationFailed: the reason is empty or too long.
        """
        details = {"reason": check_reason(reason), "endpoint": endpoint or "every"}
        details |= {"event_id": event_id} if event_id else {}
        self._audit.append(AuditEntry(self._clock(), "replay", f"operator:{operator}", details=details))
        chosen = [
            each
            for each in self._outbox.dead()
            if event_id in (None, each.event_id) and endpoint in (None, each.endpoint)
        ]
        return sum(self._outbox.replay(each.event_id, each.endpoint) for each in chosen)
