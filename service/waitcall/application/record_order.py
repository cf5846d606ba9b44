"""Use cases for providers that report on orders instead of callers: use a report, and ask about orders without one."""

from datetime import datetime, timedelta
from typing import Protocol

from waitcall.application.admission import AdmissionControl
from waitcall.application.ports import Clock, OrderIndex, Stored, Term, VerificationStore
from waitcall.application.record_call import SKEW
from waitcall.application.records import CHANGE_ATTEMPTS, Records
from waitcall.domain.channel import Channel, ProviderOrder
from waitcall.domain.errors import RecordUnreadable, StoreUnavailable
from waitcall.domain.matching import InboundCall, Kind, OrderReport, OrderStatus, Outcome, judge_order
from waitcall.domain.status import Status

SOONEST = timedelta(seconds=20)
"""Shortest time between two status queries of one order. The time doubles with each further query."""
LAST_CALL = timedelta(seconds=5)
"""The last status query of an order comes this long before the window's end."""
LONGEST_ROUND = timedelta(seconds=20)
"""After this time a round of status queries ends. The rest follows in the next round."""
UNREADABLE_AGAIN = timedelta(seconds=60)
"""Time until an order whose record cannot be read is tried again."""


class RecordOrderReport:
    """The use cases for a report on an order, from a callback or a status query."""

    def __init__(
        self, records: Records, index: OrderIndex, admission: AdmissionControl, clock: Clock
    ) -> None:
        self._records = records
        self._store = records.store
        self._observer = records.observer
        self._index = index
        self._admission = admission
        self._clock = clock

    def record(self, report: OrderReport) -> Outcome:
        """Use an authentic report. A repeated one changes nothing.

        Raises:
            StoreUnavailable: the report may not have been stored; the provider must send it again.
        """
        now = self._clock()
        outcome = self._used(report, now)
        first = report.at is not None and outcome not in (Outcome.REPEATED, Outcome.OTHER)
        lag = max((now - report.at).total_seconds(), 0.0) if first and report.at else None
        self._observer.callback(Kind.CALL, outcome, lag)
        return outcome

    def reconcile(self, report: OrderReport) -> Outcome:
        """Use the provider's answer to a status query.

        Raises:
            StoreUnavailable: the answer may not have been stored.
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
                # A repeated report may mean that the first answer was 503, because the record was not replicated yet.
                # Acknowledge it only once the record is.
                if outcome is Outcome.REPEATED and not self._store.confirm(stored, now):
                    continue
                return outcome
            call = InboundCall(before.phone_number.value, report.at or now)
            if self._records.commit(stored, after, now, holding=outcome is Outcome.CONFIRMED, call=call):
                return outcome
        raise StoreUnavailable(retry_after=1)


class ProviderOrderQuery(Protocol):
    """A provider that answers status queries about its orders."""

    @property
    def name(self) -> str: ...

    def status(self, order: ProviderOrder) -> OrderStatus:
        """Return the status of an order.

        Raises:
            ProviderFailure
        """


class PollOrders:
    """Recovery of lost reports: asks the provider about open orders. Only the leading worker runs it."""

    def __init__(
        self,
        query: ProviderOrderQuery,
        index: OrderIndex,
        store: VerificationStore,
        reports: RecordOrderReport,
        clock: Clock,
    ) -> None:
        self._query = query
        self._index = index
        self._store = store
        self._reports = reports
        self._clock = clock

    def run(self, _: Term) -> int:
        """Ask about the orders whose status query is due.

        Returns:
            Number of orders whose call verified a number.

        Raises:
            ProviderFailure, StoreUnavailable: the remaining orders are asked about later.
        """
        began, found = self._clock(), 0
        for order in self._index.to_ask(self._query.name, began):
            now = self._clock()
            if now - began > LONGEST_ROUND:
                break
            verification_id = self._index.verification_of(order)
            try:
                stored = self._store.get(verification_id) if verification_id else None
            except RecordUnreadable:
                # Another version of the service may be able to read it. Go on with the other orders.
                self._index.ask_again(order, now + UNREADABLE_AGAIN)
                continue
            if stored is None or not _is_open(stored, order, now):
                self._index.settle(order)
                continue
            # Plan the next query before asking, so that an order whose query always fails is not asked at every round.
            self._index.ask_again(order, _next(stored, now))
            status = self._query.status(order)
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
    # After the last query the order comes up once more, at the window's end, and is then settled without a query.
    return last if now < last else record.expires_at
