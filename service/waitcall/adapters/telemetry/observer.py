"""Observer that writes metrics and the log. A verification's events are written in the log line of the request."""

import logging
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from waitcall.adapters.telemetry.metrics import UNPLACED, Metrics
from waitcall.application.deliver_webhooks import DeliveryBacklog, DeliveryOutcome
from waitcall.application.effects import Delivery
from waitcall.application.request_context import events
from waitcall.domain.channel import Attestation, Dialect
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
        self._metrics.provider_balance.set(float(money))
        self._metrics.provider_balance_low.set(money < self._low)
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
        self._metrics.webhook_deliveries(endpoint, outcome).inc()
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

    def backlog(self, backlog: DeliveryBacklog, now: datetime) -> None:
        """Report the undelivered events."""
        counts = {"waiting": backlog.waiting, "retrying": backlog.retrying, "dead": backlog.dead}
        for state, count in counts.items():
            self._metrics.webhook_backlog.labels(state).set(count)
        oldest = (now - backlog.oldest_at).total_seconds() if backlog.oldest_at else 0.0
        self._metrics.webhook_oldest_seconds.set(max(oldest, 0.0))


class LoggingObserver:
    """Observer that counts events and logs them, with masked phone numbers and the last characters of ids."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def started(self, verification: Verification) -> None:
        if self._is_test("started", verification):
            return
        self._metrics.verifications_started(*self._metrics.whose(verification)).inc()
        self._tell("started", verification)

    def contested(self, verification: Verification) -> None:
        if self._is_test("contested", verification):
            return
        self._metrics.verifications_contested(*self._metrics.whose(verification)).inc()
        self._tell("contested", verification)

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        """Count and log a verification that was proven, and observe the time to the call."""
        if self._is_test("verified", verification):
            return
        client, purpose, region = self._metrics.whose(verification)
        self._metrics.verifications_verified(client, purpose, region).inc()
        if call is not None:
            seconds = (call.at - verification.created_at).total_seconds()
            self._metrics.time_to_call_seconds(purpose, region).observe(max(seconds, 0.0))
        self._tell("verified", verification)

    def finished(self, verification: Verification) -> None:
        if self._is_test(verification.status, verification):
            return
        whose, reason = self._metrics.whose(verification), verification.reason or "none"
        self._metrics.verifications_finished(*whose, verification.status, reason).inc()
        self._tell("finished", verification)

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """Count a callback, and observe its lag. The log line of its request shows the outcome."""
        self._metrics.callbacks(kind, outcome).inc()
        if lag_seconds is not None:
            self._metrics.callback_lag_seconds().observe(lag_seconds)

    def own_call(self, dialect: Dialect, attestation: Attestation | None, outcome: Outcome) -> None:
        """Count a call to one of our own numbers. A report without an attestation counts as ``none``."""
        self._metrics.own_calls(dialect, attestation or Attestation.NONE, outcome).inc()

    def reconciled(self, outcome: Outcome | None) -> None:
        """Count and log a call in the inbox. A call that only the inbox reported, or that it cannot prove, is a warning."""
        told = outcome.value if outcome else UNPLACED
        self._metrics.inbox_calls(told).inc()
        level = logging.WARNING if outcome in _NOTABLE else logging.INFO
        _log.log(level, "reconciled", extra={"outcome": told})

    def ordered(self, provider: str, *, given: bool) -> None:
        """Count an order, and log one that gave no number. The adapter logs the reason."""
        self._metrics.orders(provider, "given" if given else "failed").inc()
        if not given:
            _log.warning("provider gave no number", extra={"provider": provider})

    def fell_back(self, verification: Verification) -> None:
        if self._is_test("fell back", verification):
            return
        self._metrics.fallbacks(*self._metrics.whose(verification), verification.channel).inc()
        self._tell("fell back", verification)

    def code_sent(self, verification: Verification) -> None:
        if self._is_test("code sent", verification):
            return
        self._metrics.codes_sent(*self._metrics.whose(verification)).inc()
        self._tell("code sent", verification)

    def code_checked(self, verification: Verification, *, correct: bool) -> None:
        if self._is_test("code checked", verification):
            return
        outcome = "correct" if correct else "incorrect"
        self._metrics.code_checks(*self._metrics.whose(verification), outcome).inc()
        self._tell("code checked", verification)

    def code_reported(self, verification: Verification) -> None:
        if verification.code is not None:
            self._metrics.code_reports(verification.region, verification.code.delivery).inc()
        self._tell("code reported", verification)

    def refused(self, client: str, code: str) -> None:
        """Count a 4xx answer to a known client. The request's log line shows it, too."""
        self._metrics.refusals(client, code).inc()

    def limited(self, scope: Scope, decision: Decision) -> None:
        """Count a check of a limit, and log it if the limit is exceeded."""
        self._metrics.rate_limit_decisions(scope, decision).inc()
        if decision is not Decision.ALLOW:
            _log.info("limit exceeded", extra={"scope": scope.value, "decision": decision.value})

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """Count a check of the conversion guard, and log it if the budget is exceeded."""
        group = conversion.budget.group
        self._metrics.conversion_guard_decisions(group, region, decision).inc()
        if conversion.exceeded:
            exceeded_at = self._metrics.conversion_guard_exceeded_timestamp_seconds
            exceeded_at.labels(group, region).set(now.timestamp())
        if decision is not Decision.ALLOW:
            _log.warning(
                "conversion budget exceeded",
                extra={
                    "group": group.value,
                    "region": region,
                    "decision": decision.value,
                    "started": conversion.started,
                    "called": conversion.called,
                },
            )

    def _is_test(self, event: str, verification: Verification) -> bool:
        """Tell whether the event is one of a test number. It is then a warning of its own, and counts nowhere else."""
        if verification.test is None:
            return False
        self._metrics.test(verification, event)
        self._tell(event, verification)
        told = {"event": event, "client": verification.requester.client}
        _log.warning("test number", extra=told | {"purpose": verification.requester.purpose})
        return True

    def _tell(self, event: str, verification: Verification) -> None:
        happened: dict[str, str | bool | None] = {
            "verification": verification.id[-6:],
            "client": verification.requester.client,
            "purpose": verification.requester.purpose,
            "phone_number": verification.phone_number.masked,
            "region": verification.region,
            "status": verification.status.value,
            "reason": verification.reason.value if verification.reason else None,
            "channel": verification.channel.value,
        }
        if verification.test is not None:
            happened["test"] = True
        of_the_request = events.get()
        if of_the_request is None:
            _log.info(event, extra=happened)
        else:
            of_the_request.append({"event": event, **happened})
