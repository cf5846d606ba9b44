"""What a provider reports of its orders, where it names the order and not the caller."""

from datetime import datetime, timedelta
from typing import Protocol

from service.application.admission import Admission
from service.application.effects import TransitionEffects
from service.application.leadership import Term
from service.application.observer import Observer
from service.application.ports import Change, Clock, OrderIndex, Stored, VerificationStore
from service.application.records import CHANGE_ATTEMPTS, announce
from service.domain.call import InboundCall, Kind, Outcome
from service.domain.channel import Channel
from service.domain.errors import RecordUnreadable, StoreUnavailable
from service.domain.matching import judge_order
from service.domain.order import OrderReport, OrderStatus, ProviderOrder
from service.domain.status import Status

SKEW = timedelta(seconds=5)
"""As for a call (contract, section 5.2)."""
SOONEST = timedelta(seconds=20)
"""Between two questions about one order; each later one waits twice as long."""
LAST_CALL = timedelta(seconds=5)
"""One question is kept for so long before the window's end."""
LONGEST_ROUND = timedelta(seconds=20)
UNREADABLE_AGAIN = timedelta(seconds=60)
"""An order whose record cannot be read is looked at again after this."""


class OrderReports:
    """The use case of the callback that names an order."""

    def __init__(  # noqa: PLR0913, PLR0917  its ports
        self,
        store: VerificationStore,
        index: OrderIndex,
        observer: Observer,
        clock: Clock,
        effects: TransitionEffects,
        admission: Admission,
    ) -> None:
        self._store = store
        self._index = index
        self._admission = admission
        self._observer = observer
        self._clock = clock
        self._effects = effects

    def record(self, report: OrderReport) -> Outcome:
        """Use an authentic report; the same again changes nothing.

        Raises:
            StoreUnavailable: it may not have been kept; the provider must send it again.
        """
        now = self._clock()
        outcome = self._used(report, now)
        first = report.at is not None and outcome not in (Outcome.REPEATED, Outcome.OTHER)
        lag = max((now - report.at).total_seconds(), 0.0) if first and report.at else None
        self._observer.callback(Kind.CALL, outcome, lag)
        return outcome

    def reconcile(self, report: OrderReport) -> Outcome:
        """Use what the provider answered when it was asked.

        Raises:
            StoreUnavailable: it may not have been kept.
        """
        outcome = self._used(report, self._clock())
        self._observer.reconciled(outcome)
        return outcome

    def _used(self, report: OrderReport, now: datetime) -> Outcome:
        if report.status is OrderStatus.WAITING:
            return Outcome.OTHER
        outcome = self._called(report, now) if report.status is OrderStatus.CALLED else Outcome.OTHER
        if outcome is not Outcome.EARLY:
            self._index.settle(report.order)
        return outcome

    def _called(self, report: OrderReport, now: datetime) -> Outcome:
        verification_id = self._index.verification_of(report.order)
        for _ in range(CHANGE_ATTEMPTS):
            if verification_id is None:
                return Outcome.UNMATCHED
            stored, directory = self._store.get_with_lists(verification_id)
            if stored is None:
                return Outcome.UNMATCHED
            before = stored.verification
            outcome, after = judge_order(before, report, now, SKEW)
            if outcome is Outcome.CONFIRMED and self._admission.blocking(before.phone_number, now, directory):
                outcome, after = Outcome.UNMATCHED, before.block(now)
            if after == before:
                # Sent again, perhaps because it was not safe yet: it is acknowledged once it is.
                if outcome is Outcome.REPEATED and not self._store.confirm(stored, now):
                    continue
                return outcome
            effects = self._effects.changed(before, after, now)
            holding = outcome is Outcome.CONFIRMED
            if self._store.commit(Change(stored, after, holding), now, effects):
                announce(self._observer, before, after, _as_a_call(before.phone_number.value, report, now))
                return outcome
        raise StoreUnavailable(retry_after=1)


class OrderInquiry(Protocol):
    """A provider that can be asked about its orders."""

    @property
    def name(self) -> str: ...

    def status(self, order: ProviderOrder) -> OrderStatus:
        """Where it stands. ProviderFailure."""
        ...


class OrderPoll:
    """The net under lost reports: asks about orders that nothing was heard of. For the leader alone."""

    def __init__(
        self,
        inquiry: OrderInquiry,
        index: OrderIndex,
        store: VerificationStore,
        reports: OrderReports,
        clock: Clock,
    ) -> None:
        self._inquiry = inquiry
        self._index = index
        self._store = store
        self._reports = reports
        self._clock = clock

    def run(self, _: Term) -> int:
        """Ask about those whose time has come.

        Returns:
            How many were called.

        Raises:
            ProviderFailure, StoreUnavailable: the rest is asked about later.
        """
        began, found = self._clock(), 0
        for order in self._index.to_ask(self._inquiry.name, began):
            now = self._clock()
            if now - began > LONGEST_ROUND:
                break
            verification_id = self._index.verification_of(order)
            try:
                stored = self._store.get(verification_id) if verification_id else None
            except RecordUnreadable:
                # Another version may be able to read it; the others have their turn.
                self._index.ask_again(order, now + UNREADABLE_AGAIN)
                continue
            if stored is None or not _is_open(stored, order, now):
                self._index.settle(order)
                continue
            # Before it is asked: one that always fails must not be asked again and again.
            self._index.ask_again(order, _next(stored, now))
            status = self._inquiry.status(order)
            if status is not OrderStatus.WAITING:
                outcome = self._reports.reconcile(OrderReport(order, status))
                found += outcome is Outcome.CONFIRMED
        return found


def _is_open(stored: Stored, order: ProviderOrder, now: datetime) -> bool:
    record = stored.verification.at(now)
    if record.status is Status.ORDERING:
        return True
    live = record.status in (Status.PENDING, Status.CONTESTED)
    return live and record.channel is Channel.CALL and record.order == order


def _next(stored: Stored, now: datetime) -> datetime:
    record = stored.verification
    following = now + max(now - record.channel_since, SOONEST)
    last = record.expires_at - LAST_CALL
    if following <= last:
        return following
    # At its end nothing is asked any more, only put away.
    return last if now < last else record.expires_at


def _as_a_call(number: str, report: OrderReport, now: datetime) -> InboundCall:
    return InboundCall(number, report.at or now)
