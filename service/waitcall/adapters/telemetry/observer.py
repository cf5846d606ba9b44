"""Observer that writes metrics and the log. A verification's events are written in the log line of the request."""

import logging
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from waitcall.adapters.telemetry.metrics import UNPLACED, Metrics
from waitcall.application.announcement import Delivery
from waitcall.application.deliver_webhooks import Backlog, DeliveryOutcome
from waitcall.application.request_context import events
from waitcall.domain.conversion import Conversion
from waitcall.domain.limits import Decision, Scope
from waitcall.domain.matching import InboundCall, Kind, Outcome
from waitcall.domain.verification import Verification

_NOTABLE = (Outcome.CONFIRMED, Outcome.OTHER, Outcome.WEAK)
"""Outcomes of the inbox that operators should see: a lost callback, a possible text, a call that proves too little."""

_log = logging.getLogger("waitcall.events")


class BalanceMeter:
    """Reporter of the balance to metrics and log. It warns while the balance is low."""

    def __init__(self, metrics: Metrics, low: Decimal) -> None:
        self._metrics = metrics
        self._low = low

    def __call__(self, money: Decimal) -> None:
        """Report the balance, in the account's currency."""
        self._metrics.balance(money, self._low)
        if money < self._low:
            _log.warning("balance is low", extra={"balance": float(money), "low": float(self._low)})


class DeliveryMeter:
    """Reporter of webhook deliveries to metrics and log. It logs failed ones only."""

    def __init__(self, metrics: Metrics, endpoints: Collection[str]) -> None:
        self._metrics = metrics
        self._endpoints = endpoints

    def delivered(self, delivery: Delivery, outcome: DeliveryOutcome, *, dead: bool) -> None:
        """Count an attempt, and log it if it failed. ``dead``: there will be no further attempt."""
        # The endpoint may have left the policy. The labels must stay a closed set.
        endpoint = delivery.endpoint if delivery.endpoint in self._endpoints else "other"
        self._metrics.delivered(endpoint, outcome)
        if outcome is DeliveryOutcome.ACCEPTED:
            return
        _log.log(
            logging.ERROR if dead else logging.WARNING,
            "webhook not delivered",
            extra={
                "event": delivery.event_id,
                "endpoint": endpoint,
                "outcome": outcome.value,
                "attempt": delivery.attempt,
                "dead": dead,
            },
        )

    def backlog(self, backlog: Backlog, now: datetime) -> None:
        """Report the undelivered events."""
        counts = {"waiting": backlog.waiting, "retrying": backlog.retrying, "dead": backlog.dead}
        oldest = (now - backlog.oldest_at).total_seconds() if backlog.oldest_at else 0.0
        self._metrics.backlog(counts, max(oldest, 0.0))


class LoggingObserver:
    """Observer that counts events and logs them, with masked phone numbers and the last characters of ids."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def started(self, verification: Verification) -> None:
        """Count and log a verification whose number was shown."""
        self._metrics.started(verification)
        self._tell("started", verification)

    def contested(self, verification: Verification) -> None:
        """Count and log a verification that another requester contested."""
        self._metrics.contested(verification)
        self._tell("contested", verification)

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        """Count and log a verification that was proven."""
        self._metrics.verified(verification, call)
        self._tell("verified", verification)

    def finished(self, verification: Verification) -> None:
        """Count and log a verification that reached a final status."""
        self._metrics.finished(verification)
        self._tell("finished", verification)

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """Count a callback. The log line of its request shows the outcome."""
        self._metrics.callback(kind, outcome, lag_seconds)

    def reconciled(self, outcome: Outcome | None) -> None:
        """Count and log a call in the inbox. A call that only the inbox reported, or that it cannot prove, is a warning."""
        self._metrics.reconciled(outcome)
        level = logging.WARNING if outcome in _NOTABLE else logging.INFO
        _log.log(level, "reconciled", extra={"outcome": outcome.value if outcome else UNPLACED})

    def ordered(self, provider: str, *, given: bool) -> None:
        """Count an order, and log one that gave no number. The adapter logs the reason."""
        self._metrics.channels.ordered(provider, given=given)
        if not given:
            _log.warning("provider gave no number", extra={"provider": provider})

    def fell_back(self, verification: Verification) -> None:
        """Count and log a fallback to another channel."""
        self._metrics.channels.fell_back(verification)
        self._tell("fell back", verification)

    def code_sent(self, verification: Verification) -> None:
        """Count and log a code that the provider accepted."""
        self._metrics.channels.sent(verification)
        self._tell("code sent", verification)

    def code_checked(self, verification: Verification, *, correct: bool) -> None:
        """Count and log a typed code."""
        self._metrics.channels.checked(verification, correct=correct)
        self._tell("code checked", verification)

    def code_reported(self, verification: Verification) -> None:
        """Count and log a delivery report on the latest code."""
        self._metrics.channels.reported(verification)
        self._tell("code reported", verification)

    def refused(self, client: str, code: str) -> None:
        """Count a 4xx answer to a known client. The request's log line shows it, too."""
        self._metrics.refused(client, code)

    def limited(self, scope: Scope, decision: Decision) -> None:
        """Count a check of a limit, and log it if the limit is exceeded."""
        self._metrics.limited(scope, decision)
        if decision is not Decision.ALLOW:
            _log.info("limit exceeded", extra={"scope": scope.value, "decision": decision.value})

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """Count a check of the conversion guard, and log it if the budget is exceeded."""
        self._metrics.guarded(conversion, region, decision, now)
        if decision is not Decision.ALLOW:
            _log.warning(
                "conversion budget exceeded",
                extra={
                    "group": conversion.budget.group.value,
                    "region": region,
                    "decision": decision.value,
                    "started": conversion.started,
                    "called": conversion.called,
                },
            )

    def _tell(self, event: str, verification: Verification) -> None:
        happened = {
            "verification": verification.id[-6:],
            "client": verification.requester.client,
            "purpose": verification.requester.purpose,
            "phone_number": verification.phone_number.masked,
            "region": verification.region,
            "status": verification.status.value,
            "reason": verification.reason.value if verification.reason else None,
            "channel": verification.channel.value,
        }
        of_the_request = events.get()
        if of_the_request is None:
            _log.info(event, extra=happened)
        else:
            of_the_request.append({"event": event, **happened})
