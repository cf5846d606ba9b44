"""What an observed call does to the verification of its number."""

from datetime import datetime, timedelta

from service.application.admission import Admission
from service.application.chronicle import NOTHING, Chronicle
from service.application.observer import Observer
from service.application.ports import Claim, Clock, VerificationStore
from service.application.records import CHANGE_ATTEMPTS, announce
from service.domain.call import InboundCall, Kind, Outcome
from service.domain.errors import StoreUnavailable
from service.domain.matching import judge_call
from service.domain.policy import LONGEST_WINDOW_SECONDS

SKEW = timedelta(seconds=5)
"""How far the provider's clock and ours may be apart (contract, section 5.2)."""


class Calls:
    """The use case of the callback."""

    def __init__(
        self,
        store: VerificationStore,
        observer: Observer,
        clock: Clock,
        chronicle: Chronicle,
        admission: Admission,
    ) -> None:
        self._store = store
        self._admission = admission
        self._observer = observer
        self._clock = clock
        self._chronicle = chronicle

    def record(self, call: InboundCall) -> Outcome:
        """Use an authentic call, once, whatever it meets.

        Raises:
            StoreUnavailable: the call may not have been kept; the provider must send it again.
        """
        now = self._clock()
        outcome = self._record(call, now)
        lag = max((now - call.at).total_seconds(), 0.0)
        self._observer.callback(Kind.CALL, outcome, None if outcome is Outcome.REPEATED else lag)
        return outcome

    def reconcile(self, call: InboundCall) -> Outcome:
        """Use a call that the provider's inbox names, unless its callback was here first.

        Raises:
            StoreUnavailable: the call may not have been kept.
        """
        # The inbox may place a call a few seconds from where its callback did. It is used again there: what a server
        # says was used may be lost with that server, and the inbox will not be asked again.
        outcome = self._record(self._store.use_of(call, SKEW) or call, self._clock())
        self._observer.reconciled(outcome)
        return outcome

    def unplaced(self) -> None:
        """The inbox names a call whose time cannot be told: it proves nothing."""
        self._observer.reconciled(None)

    def _record(self, call: InboundCall, now: datetime) -> Outcome:
        for _ in range(CHANGE_ATTEMPTS):
            survey = self._store.survey(call.cli, ())
            stored = survey.latest
            before = after = stored.verification if stored else None
            outcome = Outcome.EARLY if call.at > now + SKEW else Outcome.UNMATCHED
            if before is not None:
                outcome, after = judge_call(before, call, now, SKEW)
                if outcome is Outcome.CONFIRMED and self._admission.blocking(
                    before.phone_number, now, survey.directory
                ):
                    outcome, after = Outcome.UNMATCHED, before.block(now)
            if stored is None or before is None or after is None or after == before:
                change, consequences = None, NOTHING
            else:
                change, consequences = (stored, after), self._chronicle.changed(before, after, now)
            claim = self._store.claim(call, _keep_until(call, now), change, now, consequences)
            if claim is Claim.REPEATED:
                return Outcome.REPEATED
            if claim is Claim.DONE:
                if change is not None and before is not None:
                    announce(self._observer, before, change[1], call)
                return outcome
        raise StoreUnavailable(retry_after=1)


def _keep_until(call: InboundCall, now: datetime) -> datetime:
    # The last verification that this call could match is created at `at + SKEW` and lives one longest
    # window. One more SKEW covers replicas whose clocks differ.
    longest = timedelta(seconds=LONGEST_WINDOW_SECONDS) + 2 * SKEW
    return max(call.at, now) + longest
