"""What an observed call does to the verification of its number."""

from dataclasses import replace
from datetime import datetime, timedelta

from service.application.admission import Admission
from service.application.effects import NO_EFFECTS, TransitionEffects
from service.application.observer import Observer
from service.application.ports import Change, Claim, Clock, UsedCalls, VerificationStore
from service.application.records import CHANGE_ATTEMPTS, announce
from service.domain.call import InboundCall, Kind, Outcome, Witness
from service.domain.errors import StoreUnavailable
from service.domain.evidence import InboxTrust
from service.domain.matching import judge_call
from service.domain.policy import LONGEST_WINDOW_SECONDS

SKEW = timedelta(seconds=5)
"""How far the provider's clock and ours may be apart (contract, section 5.2)."""

_UNPROVEN = (Outcome.OTHER, Outcome.WEAK)


class Calls:
    """The use case of the callback."""

    def __init__(  # noqa: PLR0913  its ports
        self,
        store: VerificationStore,
        used_calls: UsedCalls,
        observer: Observer,
        clock: Clock,
        effects: TransitionEffects,
        *,
        admission: Admission,
        trust: InboxTrust | None = None,
    ) -> None:
        """``trust``: in the provider's inbox; None for the least."""
        self._store = store
        self._used_calls = used_calls
        self._admission = admission
        self._observer = observer
        self._clock = clock
        self._effects = effects
        self._trust = trust or InboxTrust()

    def record(self, call: InboundCall) -> Outcome:
        """Use an authentic call, once, whatever it meets.

        Raises:
            StoreUnavailable: the call may not have been kept; the provider must send it again.
        """
        now = self._clock()
        outcome = self._record(call, now, is_call=True)
        lag = max((now - call.at).total_seconds(), 0.0)
        self._observer.callback(Kind.CALL, outcome, None if outcome is Outcome.REPEATED else lag)
        return outcome

    def reconcile(self, call: InboundCall) -> Outcome:
        """Use a call that the provider's inbox names, unless its callback was here first.

        Raises:
            StoreUnavailable: the call may not have been kept.
        """
        call = replace(call, witness=Witness.INBOX, texted=self._used_calls.was_texted_by(call.cli))
        # The inbox may place a call a few seconds from where its callback did. It is used again there: what a server
        # says was used may be lost with that server, and the inbox will not be asked again.
        used = self._used_calls.use_of(call, SKEW)
        outcome = self._record(used or call, self._clock(), is_call=used is not None)
        is_placed = call.dialled is not None or outcome is Outcome.REPEATED
        self._observer.reconciled(outcome if is_placed else None)
        return outcome

    def unplaced(self) -> None:
        """Count a record of the inbox whose time or dialled number cannot be told: it proves nothing."""
        self._observer.reconciled(None)

    def _record(self, call: InboundCall, now: datetime, *, is_call: bool) -> Outcome:
        """Judge a call and use it. ``is_call``: it is surely one, so it is used up whatever it meets."""
        for _ in range(CHANGE_ATTEMPTS):
            context = self._store.creation_context(call.cli)
            stored = context.latest
            before = after = stored.verification if stored else None
            outcome = Outcome.EARLY if call.at > now + SKEW else Outcome.UNMATCHED
            if before is not None:
                outcome, after = judge_call(before, call, now, SKEW, self._trust)
                if outcome is Outcome.CONFIRMED and self._admission.blocking(
                    before.phone_number, now, context.directory
                ):
                    outcome, after = Outcome.UNMATCHED, before.block(now)
            if not is_call and (before is None or outcome in _UNPROVEN):
                # Perhaps a text. Marked as used, it would keep the callback of a call in that second from counting.
                return outcome
            if stored is None or before is None or after is None or after == before:
                change, effects = None, NO_EFFECTS
            else:
                change, effects = Change(stored, after), self._effects.changed(before, after, now)
            claim = self._store.claim(call, _keep_until(call, now), change, now, effects)
            if claim is Claim.REPEATED:
                return Outcome.REPEATED
            if claim is Claim.DONE:
                if change is not None and before is not None:
                    announce(self._observer, before, change.after, call)
                return outcome
        raise StoreUnavailable(retry_after=1)


def _keep_until(call: InboundCall, now: datetime) -> datetime:
    # The last verification that this call could match is created at `at + SKEW` and lives one longest
    # window. One more SKEW covers replicas whose clocks differ.
    longest = timedelta(seconds=LONGEST_WINDOW_SECONDS) + 2 * SKEW
    return max(call.at, now) + longest
