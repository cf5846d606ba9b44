"""Use cases for an observed call: match it with the verification of its caller's number."""

from dataclasses import replace
from datetime import datetime, timedelta

from waitcall.application.admission import AdmissionControl
from waitcall.application.effects import NO_EFFECTS
from waitcall.application.ports import Change, Claim, Clock, UsedCalls
from waitcall.application.records import CHANGE_ATTEMPTS, Records
from waitcall.domain.channel import Provider
from waitcall.domain.errors import RateLimited, StoreUnavailable
from waitcall.domain.matching import InboundCall, InboxTrust, Kind, Outcome, Witness, judge_call
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS
from waitcall.domain.verification import Verification

SKEW = timedelta(seconds=5)
"""Largest difference that is tolerated between the provider's clock and ours (contract, section 5.2)."""

USED_KEPT = timedelta(seconds=LONGEST_WINDOW_SECONDS) + 2 * SKEW
"""Time for which a used call is remembered. The last verification that a call could match is created one ``SKEW`` after it
and lives as long as the longest window. One more ``SKEW`` covers replicas whose clocks differ."""

UNDATED_KEPT = timedelta(days=30)
"""Time for which a used call is remembered whose report does not say when it was made."""

_UNPROVEN = (Outcome.OTHER, Outcome.WEAK)


class RecordInboundCall:
    """The use cases for a call, reported by a callback or found in the provider's inbox."""

    def __init__(
        self,
        records: Records,
        used_calls: UsedCalls,
        admission: AdmissionControl,
        clock: Clock,
        trust: InboxTrust | None = None,
    ) -> None:
        """``trust``: how far records of the provider's inbox are trusted; None for the least trust."""
        self._records = records
        self._store = records.store
        self._observer = records.observer
        self._used_calls = used_calls
        self._admission = admission
        self._clock = clock
        self._trust = trust or InboxTrust()

    def record(self, call: InboundCall) -> Outcome:
        """Use an authentic call: verify with it if it matches, and mark it as used in any case, so that it counts once.

        Raises:
            StoreUnavailable: the call may not have been stored; the provider must send it again.
        """
        now = self._clock()
        outcome = self._record(call, now, is_call=True)
        lag = max((now - call.at).total_seconds(), 0.0)
        self._observer.callback(Kind.CALL, outcome, None if outcome is Outcome.REPEATED else lag)
        return outcome

    def reconcile(self, call: InboundCall) -> Outcome:
        """Use a call from the provider's inbox, unless its callback was used already.

        Raises:
            StoreUnavailable: the call may not have been stored.
        """
        call = replace(call, witness=Witness.INBOX, texted=self._used_calls.was_texted_by(call.cli))
        # The inbox may give a call a time that differs from its callback's by a few seconds. A call whose callback was
        # used is used again at the callback's time, which replicates its mark: a mark that one server holds may be lost
        # with that server, and the inbox is not asked again.
        used = self._used_calls.use_of(call, SKEW)
        outcome = self._record(used or call, self._clock(), is_call=used is not None)
        is_placed = call.dialled is not None or outcome is Outcome.REPEATED
        self._observer.reconciled(outcome if is_placed else None)
        return outcome

    def unplaced(self) -> None:
        """Count a record of the inbox whose time cannot be determined. It proves nothing."""
        self._observer.reconciled(None)

    def _record(self, call: InboundCall, now: datetime, *, is_call: bool) -> Outcome:
        """Judge a call and use it.

        ``is_call``: True if it surely is a call. It is then marked as used even if it matches nothing.
        """
        for _ in range(CHANGE_ATTEMPTS):
            context = self._store.creation_context(call.cli)
            stored = context.latest
            before = after = stored.verification if stored else None
            outcome = Outcome.EARLY if call.at > now + SKEW else Outcome.UNMATCHED
            if before is not None:
                outcome, after = self._judged(before, call, now)
                if outcome is Outcome.CONFIRMED and self._admission.blocking(
                    before.phone_number, now, context.directory
                ):
                    outcome, after = Outcome.UNMATCHED, before.block(now)
            if not is_call and (before is None or outcome in _UNPROVEN):
                # This may be a text. If it were marked as used, the callback of a call in the same second would not count.
                return outcome
            if stored is None or before is None or after is None or after == before:
                change, effects = None, NO_EFFECTS
            else:
                change, effects = Change(stored, after), self._records.effects.changed(before, after, now)
            keep_until = max(call.at, now) + (USED_KEPT if call.is_dated else UNDATED_KEPT)
            claim = self._store.claim(call, keep_until, change, now, effects)
            if claim is Claim.REPEATED:
                return Outcome.REPEATED
            if claim is Claim.DONE:
                if change is not None and before is not None:
                    self._records.announce(before, change.after, call)
                return outcome
        raise StoreUnavailable(retry_after=1)

    def _judged(self, before: Verification, call: InboundCall, now: datetime) -> tuple[Outcome, Verification]:
        """Judge a call. A forger of caller IDs may guess only a few times which of our own numbers was shown."""
        outcome, after = judge_call(before, call, now, SKEW, self._trust)
        guesses = call.provider is Provider.OWN and not call.is_vouched_for
        if not guesses or outcome not in (Outcome.CONFIRMED, Outcome.WRONG_NUMBER):
            return outcome, after
        if self._used_calls.is_used(call):
            # It counted at its first report. A report that proves no more than an earlier one changes nothing.
            return Outcome.REPEATED, before
        # Count each call before its outcome is stored, and give a right one back. Otherwise simultaneous calls could try
        # more numbers than the limit allows. A repeated report has the same id, so it counts once.
        limit_checks, token = (
            self._admission.applicable.of_wrong_number(before.phone_number),
            call.fingerprint,
        )
        try:
            counted = self._admission.count(limit_checks, token, now)
        except RateLimited:
            if outcome is Outcome.CONFIRMED:
                return Outcome.WEAK, before.note_weak_call(now, call.attestation)
            return outcome, before
        if outcome is Outcome.CONFIRMED and token is not None:
            self._admission.give_back(counted, token)
        return outcome, after
