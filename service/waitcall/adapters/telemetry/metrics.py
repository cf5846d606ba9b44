"""Metrics of the service, their labels, and the closed sets of label values (contract, section 8)."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from waitcall.adapters.telemetry.channel_metrics import ChannelMetrics
from waitcall.adapters.telemetry.store_metrics import StoreMetrics
from waitcall.domain.conversion import Conversion
from waitcall.domain.limits import Decision, Scope
from waitcall.domain.matching import InboundCall, Kind, Outcome
from waitcall.domain.verification import Verification

Mode = Literal["all", "max"]

PREFIX = "waitcall"
CONTENT_TYPE = CONTENT_TYPE_LATEST
UNPLACED = "unplaced"
"""Outcome of a call in the inbox whose time or dialled number is unknown."""

CALLBACK_OUTCOMES = [each for each in Outcome if each is not Outcome.WEAK]
FAILURES = ("internal_error", "provider_error", "provider_unavailable", "store_unavailable")

_TIME_TO_CALL = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900)
_LAG = (0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 900)
_REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All metrics of one process. The observer and the adapters report to it."""

    def __init__(
        self, version: str, clients: Iterable[str], purposes: Iterable[str], *, worker: bool = False
    ) -> None:
        """
        Args:
            version: version of the service.
            clients: closed set of values of the label ``client``.
            purposes: closed set of values of the label ``purpose``.
            worker: True in the background worker, which alone has the metrics of leader, webhooks and balance.
        """
        self._clients = frozenset(clients)
        self._purposes = frozenset(purposes)
        self.registry = CollectorRegistry()
        self.labels: dict[str, tuple[str, ...]] = {}
        """Names of each metric's labels, for the reference page."""
        self._define_funnel()
        self._define_edges()
        self._define_guards()
        self.store = StoreMetrics(self._counter)
        self.channels = ChannelMetrics(self._counter, self._whose)
        self._reconciled = self._counter(
            "inbox_calls",
            "Calls in the provider's inbox, counted by the background worker. docs/operating.md explains the outcomes",
            ("outcome",),
        )
        if worker:
            self._define_worker()
        build = self._gauge("build_info", "Constant 1, labelled with the version", ("version",), mode="max")
        build.labels(version).set(1)

        # Start these counters at 0, because alerts distinguish 0 from absent.
        for outcome in CALLBACK_OUTCOMES:
            self._callbacks(Kind.CALL, outcome)
        for code in FAILURES:
            self._failures(code)
        for scope in Scope:
            for decision in Decision:
                self._limited(scope, decision)

    def _define_funnel(self) -> None:
        whose = ("client", "purpose", "region")
        self._started = self._counter(
            "verifications_started",
            "Verifications that were started: the number was shown or the code was sent",
            whose,
        )
        self._verified = self._counter("verifications_verified", "Verifications that were proven", whose)
        self._contested = self._counter(
            "verifications_contested", "Verifications that another requester contested", whose
        )
        self._finished = self._counter(
            "verifications_finished",
            "Verifications that reached a final status",
            (*whose, "status", "reason"),
        )
        self._time_to_call = self._histogram(
            "time_to_call_seconds",
            "Seconds from showing the number to the call",
            ("purpose", "region"),
            _TIME_TO_CALL,
        )
        self._callbacks = self._counter(
            "callbacks",
            f"Callbacks of the provider. kind: {', '.join(Kind)}. outcome: {', '.join(CALLBACK_OUTCOMES)}",
            ("kind", "outcome"),
        )
        self._lag = self._histogram("callback_lag_seconds", "Seconds from a call to its callback", (), _LAG)

    def _define_edges(self) -> None:
        self._provider = self._counter(
            "provider_requests",
            "Requests to the provider",
            ("operation", "outcome"),
        )
        self._provider_seconds = self._histogram(
            "provider_request_duration_seconds",
            "Duration of requests to the provider",
            ("operation",),
            _REQUEST,
        )
        self._refusals = self._counter(
            "refusals",
            "4xx answers to known clients",
            ("client", "code"),
        )
        self._http = self._counter("http_requests", "HTTP requests", ("route", "method", "status"))
        self._http_seconds = self._histogram(
            "http_request_duration_seconds",
            "Duration of HTTP requests",
            ("route", "method"),
            _REQUEST,
        )
        self._failures = self._counter(
            "failures",
            "5xx answers, by problem code. provider_error and provider_unavailable are the provider's, "
            "internal_error and store_unavailable are ours",
            ("code",),
        )

    def _define_guards(self) -> None:
        self._limited = self._counter(
            "rate_limit_decisions",
            f"Checks of limits. scope: {', '.join(Scope)}. decision: {', '.join(Decision)}",
            ("scope", "decision"),
        )
        group = ("group", "region")
        self._guarded = self._counter(
            "conversion_guard_decisions",
            f"Checks of the conversion guard. decision: {', '.join(Decision)}",
            (*group, "decision"),
        )
        # A timestamp that queries compare with time(). A gauge of 0 or 1 would need a process to reset it.
        self._exceeded_at = self._gauge(
            "conversion_guard_exceeded_timestamp_seconds",
            "Time of the last create that found its conversion budget exceeded. Alert on time() - this < 600",
            group,
            mode="max",
        )

    def _define_worker(self) -> None:
        self._fence = self._gauge(
            "leader_fence",
            "Fence of the term that this worker leads; 0 if it does not lead. Alert on max(this) == 0",
        )
        self._balance = self._gauge(
            "provider_balance",
            "Balance at the provider, in the account's currency, as the leader last saw it",
        )
        self._balance_low = self._gauge(
            "provider_balance_low", "1 while the balance is below WAITCALL_LOW_BALANCE"
        )
        self._deliveries = self._counter(
            "webhook_deliveries", "Attempts to deliver an event", ("endpoint", "outcome")
        )
        self._backlog = self._gauge(
            "webhook_backlog",
            "Webhook deliveries that have not succeeded, as the leader counts them. state: waiting, retrying, dead",
            ("state",),
        )
        self._looped = self._gauge(
            "worker_loop_timestamp_seconds",
            "Time of the last successful run of a loop of this worker. loop: lease, duties, sweep, push",
            ("loop",),
        )
        self._oldest = self._gauge(
            "webhook_oldest_seconds", "Age of the oldest webhook delivery that waits for an attempt"
        )
        for outcome in (*Outcome, UNPLACED):
            self._reconciled(outcome)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Counter]:
        """Define a counter and return a function from label values to its child.

        Children are cached, because looking one up takes as long as counting.
        """
        self.labels[f"{PREFIX}_{name}"] = labels
        made = Counter(name, text + ".", labels, namespace=PREFIX, registry=self.registry)
        return cache(made.labels)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = (), mode: Mode = "all") -> Gauge:
        """Define a gauge. ``mode``: how the values of several processes are combined."""
        self.labels[f"{PREFIX}_{name}"] = labels
        return Gauge(
            name, text + ".", labels, namespace=PREFIX, registry=self.registry, multiprocess_mode=mode
        )

    def _histogram(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        buckets: tuple[float, ...],
    ) -> Callable[..., Histogram]:
        self.labels[f"{PREFIX}_{name}"] = labels
        made = Histogram(name, text + ".", labels, namespace=PREFIX, registry=self.registry, buckets=buckets)
        return cache(made.labels) if labels else lambda: made

    def started(self, verification: Verification) -> None:
        """Count a verification whose number was shown."""
        self._started(*self._whose(verification)).inc()

    def contested(self, verification: Verification) -> None:
        """Count a verification that another requester contested."""
        self._contested(*self._whose(verification)).inc()

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        """Count a verification that was proven, and observe the time to the call."""
        client, purpose, region = self._whose(verification)
        self._verified(client, purpose, region).inc()
        if call is None:
            return
        seconds = (call.at - verification.created_at).total_seconds()
        self._time_to_call(purpose, region).observe(max(seconds, 0.0))

    def finished(self, verification: Verification) -> None:
        """Count a verification that reached a final status."""
        reason = verification.reason or "none"
        self._finished(*self._whose(verification), verification.status, reason).inc()

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """Count a callback, and observe its lag."""
        self._callbacks(kind, outcome).inc()
        if lag_seconds is not None:
            self._lag().observe(lag_seconds)

    def reconciled(self, outcome: Outcome | None) -> None:
        """Count a call in the provider's inbox. None: its time or the dialled number is unknown."""
        self._reconciled(outcome or UNPLACED).inc()

    def refused(self, client: str, code: str) -> None:
        """Count a 4xx answer to a known client."""
        self._refusals(client, code).inc()

    def limited(self, scope: Scope, decision: Decision) -> None:
        """Count a check of a limit."""
        self._limited(scope, decision).inc()

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """Count a check of the conversion guard."""
        group = conversion.budget.group
        self._guarded(group, region, decision).inc()
        if conversion.exceeded:
            self._exceeded_at.labels(group, region).set(now.timestamp())

    def balance(self, money: Decimal, low: Decimal) -> None:
        """Set the balance at the provider, and whether it is below ``low``."""
        self._balance.set(float(money))
        self._balance_low.set(money < low)

    def lead(self, fence: Callable[[], int]) -> None:
        """Set the function that gives the fence of the term that this process leads; 0 for none."""
        self._fence.set_function(fence)

    def delivered(self, endpoint: str, outcome: str) -> None:
        """Count an attempt to deliver an event."""
        self._deliveries(endpoint, outcome).inc()

    def backlog(self, counts: Mapping[str, int], oldest_seconds: float) -> None:
        """Set the numbers of undelivered events by state, and the age of the oldest one that waits."""
        for state, count in counts.items():
            self._backlog.labels(state).set(count)
        self._oldest.set(oldest_seconds)

    def provider_request(self, operation: str, outcome: str, seconds: float) -> None:
        """Count a request to the provider, and observe its duration."""
        self._provider(operation, outcome).inc()
        self._provider_seconds(operation).observe(seconds)

    def http_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered HTTP request, and observe its duration."""
        self._http(route, method, status).inc()
        self._http_seconds(route, method).observe(seconds)

    def failed(self, code: str) -> None:
        """Count a 5xx answer."""
        self._failures(code).inc()

    def looped(self, loop: str) -> None:
        """Set the time of the last successful run of a worker's loop to now."""
        self._looped.labels(loop).set_to_current_time()

    def _whose(self, verification: Verification) -> tuple[str, str, str]:
        # A record's client or purpose may have left the policy. The labels must stay a closed set.
        client, purpose = verification.requester.client, verification.requester.purpose
        return (
            client if client in self._clients else "other",
            purpose if purpose in self._purposes else "other",
            verification.region,
        )


def exposition(collector: Collector | None, multiprocess_dir: str | None) -> bytes:
    """Return the metrics as text for Prometheus.

    ``multiprocess_dir``: directory in which processes share their metrics; None for the metrics of this process only.
    """
    registry = CollectorRegistry()
    if multiprocess_dir:
        MultiProcessCollector(registry, path=multiprocess_dir)
    elif collector is not None:
        registry.register(collector)
    return generate_latest(registry)
