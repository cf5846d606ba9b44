"""The port to metrics and logs: an observer that is told what happens."""

from datetime import datetime
from typing import Protocol

from waitcall.domain.conversion import Conversion
from waitcall.domain.limits import Decision, Scope
from waitcall.domain.matching import InboundCall, Kind, Outcome
from waitcall.domain.verification import Verification


class Observer(Protocol):
    """Records what happened. Methods never raise."""

    def started(self, verification: Verification) -> None:
        """Record that a verification's window began: its client has what to show the person."""
        ...

    def contested(self, verification: Verification) -> None:
        """Record that another requester asked for the number, so that a call no longer verifies it."""
        ...

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        """Record that the number was verified. ``call``: the call that verified it, if one did."""
        ...

    def finished(self, verification: Verification) -> None:
        """Record that a verification reached a final status. Called once for each."""
        ...

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """Record the outcome of a callback. ``lag_seconds``: time from the call to its callback, if known."""
        ...

    def reconciled(self, outcome: Outcome | None) -> None:
        """Record the outcome of asking a provider for a call, text or order whose callback may be lost.

        None: the call's time or dialled number could not be determined.
        """
        ...

    def ordered(self, provider: str, *, given: bool) -> None:
        """Record an order at a provider. ``given``: whether the provider gave a number to dial."""
        ...

    def fell_back(self, verification: Verification) -> None:
        """Record that a client moved its verification to another channel."""
        ...

    def code_sent(self, verification: Verification) -> None:
        """Record that the provider accepted a code."""
        ...

    def code_checked(self, verification: Verification, *, correct: bool) -> None:
        """Record that a code was typed."""
        ...

    def code_reported(self, verification: Verification) -> None:
        """Record the delivery status that the provider reported for the latest code."""
        ...

    def refused(self, client: str, code: str) -> None:
        """Record that an authenticated client got a 4xx answer. ``code``: its problem code."""
        ...

    def limited(self, scope: Scope, decision: Decision) -> None:
        """Record the decision of a limit."""
        ...

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """Record the decision of the conversion guard."""
        ...
