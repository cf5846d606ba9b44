"""Whoever is told what happens: counters and log lines."""

from datetime import datetime
from typing import Protocol

from service.domain.call import InboundCall, Kind, Outcome
from service.domain.conversion import Conversion
from service.domain.limits import Decision, Scope
from service.domain.verification import Verification


class Observer(Protocol):
    """Told what happened. Never raises."""

    def started(self, verification: Verification) -> None:
        """A number was shown."""
        ...

    def contested(self, verification: Verification) -> None:
        """Another requester asked for the number; a call no longer verifies it."""
        ...

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        """It was proven; ``call`` where a call did it."""
        ...

    def finished(self, verification: Verification) -> None:
        """A record reached a final status; told once per record."""
        ...

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """A callback was read; ``lag_seconds`` from the call to its record."""
        ...

    def reconciled(self, outcome: Outcome | None) -> None:
        """The provider's inbox named a call; None where its time or the dialled number could not be told."""
        ...

    def ordered(self, provider: str, *, given: bool) -> None:
        """A provider was asked for a number to dial, and gave one or did not."""
        ...

    def fell_back(self, verification: Verification) -> None:
        """Its client moved it to another channel."""
        ...

    def code_sent(self, verification: Verification) -> None:
        """The provider took a code."""
        ...

    def code_checked(self, verification: Verification, *, correct: bool) -> None:
        """A code was typed."""
        ...

    def code_reported(self, verification: Verification) -> None:
        """The provider told where the latest code stands."""
        ...

    def refused(self, client: str, code: str) -> None:
        """A known client was answered 4xx."""
        ...

    def limited(self, scope: Scope, decision: Decision) -> None:
        """A limit was asked."""
        ...

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """The conversion guard was asked."""
        ...
