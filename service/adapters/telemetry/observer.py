"""Observer → counters and the log: what happened to a verification stands in the line of its request."""

import logging
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from service.adapters.telemetry.metrics import UNPLACED, Metrics
from service.application.announcement import Delivery
from service.application.context import events
from service.application.push import Backlog, DeliveryOutcome
from service.domain.call import InboundCall, Kind, Outcome
from service.domain.conversion import Conversion
from service.domain.limits import Decision, Scope
from service.domain.verification import Verification

_NOTABLE = (Outcome.CONFIRMED, Outcome.OTHER, Outcome.WEAK)
"""Outcomes of the inbox that an operator should see: a lost callback, perhaps a text, a call that was not enough."""

_log = logging.getLogger("waitcall.events")


class BalanceTeller:
    """Balance → gauges, and a warning while it is low."""

    def __init__(self, metrics: Metrics, low: Decimal) -> None:
        self._metrics = metrics
        self._low = low

    def __call__(self, money: Decimal) -> None:
        """What is left, in the account's currency."""
        self._metrics.balance(money, self._low)
        if money < self._low:
            _log.warning("balance is low", extra={"balance": float(money), "low": float(self._low)})


class DeliveryTeller:
    """Teller → counters, gauges, and a line for what did not arrive."""

    def __init__(self, metrics: Metrics, endpoints: Collection[str]) -> None:
        self._metrics = metrics
        self._endpoints = endpoints

    def delivered(self, delivery: Delivery, outcome: DeliveryOutcome, *, dead: bool) -> None:
        """One attempt ended."""
        # An endpoint may have left the policy; the labels stay a closed set.
        endpoint = delivery.endpoint if delivery.endpoint in self._endpoints else "other"
        self._metrics.delivered(endpoint, outcome)
        if outcome is DeliveryOutcome.ACCEPTED:
            return
        _log.log(
            logging.ERROR if dead else logging.WARNING,
            "not delivered",
            extra={
                "event": delivery.event_id,
                "endpoint": endpoint,
                "outcome": outcome.value,
                "attempt": delivery.attempt,
                "dead": dead,
            },
        )

    def backlog(self, backlog: Backlog, now: datetime) -> None:
        """What is left."""
        counts = {"waiting": backlog.waiting, "retrying": backlog.retrying, "dead": backlog.dead}
        oldest = (now - backlog.oldest_at).total_seconds() if backlog.oldest_at else 0.0
        self._metrics.backlog(counts, max(oldest, 0.0))


class LoggingObserver:
    """Counts by :class:`Metrics`; numbers in its lines are masked, ids shown by their end."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def started(self, verification: Verification) -> None:
        """A number was shown."""
        self._metrics.started(verification)
        self._tell("started", verification)

    def contested(self, verification: Verification) -> None:
        """Another requester asked for the number."""
        self._metrics.contested(verification)
        self._tell("contested", verification)

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        """It was proven."""
        self._metrics.verified(verification, call)
        self._tell("verified", verification)

    def finished(self, verification: Verification) -> None:
        """A record reached a final status."""
        self._metrics.finished(verification)
        self._tell("finished", verification)

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """A callback was read; the request's own line says what it brought."""
        self._metrics.callback(kind, outcome, lag_seconds)

    def reconciled(self, outcome: Outcome | None) -> None:
        """Count what the provider's inbox named; a call that it alone reported, or that it cannot prove, is a warning."""
        self._metrics.reconciled(outcome)
        level = logging.WARNING if outcome in _NOTABLE else logging.INFO
        _log.log(level, "reconciled", extra={"outcome": outcome.value if outcome else UNPLACED})

    def ordered(self, provider: str, *, given: bool) -> None:
        """A provider was asked for a number; the adapter's own lines say why there is none."""
        self._metrics.channels.ordered(provider, given=given)
        if not given:
            _log.warning("no number given", extra={"provider": provider})

    def fell_back(self, verification: Verification) -> None:
        """Its client moved it to another channel."""
        self._metrics.channels.fell_back(verification)
        self._tell("fell back", verification)

    def code_sent(self, verification: Verification) -> None:
        """The provider took a code."""
        self._metrics.channels.sent(verification)
        self._tell("code sent", verification)

    def code_checked(self, verification: Verification, *, correct: bool) -> None:
        """A code was typed."""
        self._metrics.channels.checked(verification, correct=correct)
        self._tell("code checked", verification)

    def code_reported(self, verification: Verification) -> None:
        """The provider told where the latest code stands."""
        self._metrics.channels.reported(verification)
        self._tell("code reported", verification)

    def refused(self, client: str, code: str) -> None:
        """A known client was answered 4xx; the access line tells it too."""
        self._metrics.refused(client, code)

    def limited(self, scope: Scope, decision: Decision) -> None:
        """A limit was asked; the line tells of those that said no, or would have."""
        self._metrics.limited(scope, decision)
        if decision is not Decision.ALLOW:
            _log.info("limited", extra={"scope": scope.value, "decision": decision.value})

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """The conversion guard was asked."""
        self._metrics.guarded(conversion, region, decision, now)
        if decision is not Decision.ALLOW:
            _log.warning(
                "conversion",
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
