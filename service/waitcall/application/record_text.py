"""Use cases for the provider's reports on text messages: a text that a person sent, and the delivery of our codes."""

from datetime import datetime, timedelta

from waitcall.application.admission import AdmissionControl
from waitcall.application.ports import Change, Clock, UsedCalls
from waitcall.application.records import CHANGE_ATTEMPTS, Records
from waitcall.domain.code import DeliveryReport
from waitcall.domain.errors import StoreUnavailable
from waitcall.domain.matching import InboundText, Kind, Outcome, judge_text
from waitcall.domain.verification import Verification

TEXT_KEPT = timedelta(hours=2)
"""Time for which a text that looks like a call is remembered. It is longer than the hour that the inbox covers."""


class RecordInboundText:
    """The use cases for incoming texts and delivery reports, from callbacks or the provider's inbox."""

    def __init__(
        self,
        records: Records,
        used_calls: UsedCalls,
        admission: AdmissionControl,
        clock: Clock,
    ) -> None:
        self._records = records
        self._store = records.store
        self._observer = records.observer
        self._used_calls = used_calls
        self._admission = admission
        self._clock = clock

    def record_text(self, message: InboundText) -> Outcome:
        """Use an authentic text. A repeated one changes nothing.

        Raises:
            StoreUnavailable: the text may not have been stored; the provider must send it again.
        """
        now = self._clock()
        if message.like_call:
            # Remember it first. If that fails the text is not acknowledged, and the provider sends it again.
            self._used_calls.remember_text(message.cli, message.text, now + TEXT_KEPT, now)
        outcome = self._text(message, now)
        self._observer.callback(Kind.SMS, outcome)
        return outcome

    def reconcile_text(self, message: InboundText) -> Outcome:
        """Use a text from the provider's inbox, unless its callback was used already.

        Raises:
            StoreUnavailable: the text may not have been stored.
        """
        outcome = self._text(message, self._clock())
        if outcome is not Outcome.OTHER:
            self._observer.reconciled(outcome)
        return outcome

    def record_report(self, report: DeliveryReport) -> None:
        """Store the delivery status of a code that was sent.

        Raises:
            StoreUnavailable: the report may not have been stored; the provider must send it again.
        """
        now = self._clock()
        for _ in range(CHANGE_ATTEMPTS):
            stored = self._store.latest_of(report.cli)
            before = stored.verification if stored else None
            after = before.with_report(report) if before else None
            if stored is None or after is None or after == before:
                break
            if self._store.commit(Change(stored, after), now):
                self._observer.code_reported(after)
                break
        else:
            raise StoreUnavailable(retry_after=1)
        self._observer.callback(Kind.STATUS, Outcome.OTHER)

    def _text(self, message: InboundText, now: datetime) -> Outcome:
        for _ in range(CHANGE_ATTEMPTS):
            context = self._store.creation_context(message.cli)
            stored = context.latest
            if stored is None:
                return Outcome.OTHER
            before: Verification = stored.verification
            outcome, after = judge_text(before, message, now)
            if outcome is Outcome.CONFIRMED and self._admission.blocking(
                before.phone_number, now, context.directory
            ):
                outcome, after = Outcome.UNMATCHED, before.block(now)
            if after == before:
                # A repeated text may mean that the first answer was 503, because the record was not replicated yet.
                # Acknowledge it only once the record is.
                if outcome is Outcome.REPEATED and not self._store.confirm(stored, now):
                    continue
                return outcome
            if self._records.commit(stored, after, now, holding=True):
                return outcome
        raise StoreUnavailable(retry_after=1)
