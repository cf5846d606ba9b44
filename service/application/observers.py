"""Several observers as one."""

from datetime import datetime

from service.application.ports import Observer
from service.domain.call import InboundCall, Kind, Outcome
from service.domain.conversion import Conversion
from service.domain.limits import Decision, Scope
from service.domain.verification import Verification


class Observers:
    """Tells each of them, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def started(self, verification: Verification) -> None:
        """A number was shown."""
        for each in self._observers:
            each.started(verification)

    def contested(self, verification: Verification) -> None:
        """Another requester asked for the number."""
        for each in self._observers:
            each.contested(verification)

    def verified(self, verification: Verification, call: InboundCall) -> None:
        """A call was matched."""
        for each in self._observers:
            each.verified(verification, call)

    def finished(self, verification: Verification) -> None:
        """A record reached a final status."""
        for each in self._observers:
            each.finished(verification)

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """A callback was read."""
        for each in self._observers:
            each.callback(kind, outcome, lag_seconds)

    def reconciled(self, outcome: Outcome | None) -> None:
        """The provider's inbox named a call."""
        for each in self._observers:
            each.reconciled(outcome)

    def refused(self, client: str, code: str) -> None:
        """A known client was answered 4xx."""
        for each in self._observers:
            each.refused(client, code)

    def limited(self, scope: Scope, decision: Decision) -> None:
        """A limit was asked."""
        for each in self._observers:
            each.limited(scope, decision)

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """The conversion guard was asked."""
        for each in self._observers:
            each.guarded(conversion, region, decision, now)
