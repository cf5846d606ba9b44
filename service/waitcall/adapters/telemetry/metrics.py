"""Metrics of the service, their labels, and the closed sets of label values (contract, section 8)."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from waitcall.domain.channel import Attestation, Dialect, Provider
from waitcall.domain.code import CodeDelivery
from waitcall.domain.limits import Decision, Scope
from waitcall.domain.matching import Kind, Outcome
from waitcall.domain.verification import Verification

Mode = Literal["all", "max", "livemax"]

PREFIX = "waitcall"
CONTENT_TYPE = CONTENT_TYPE_LATEST
UNPLACED = "unplaced"
"""Outcome of a call in the inbox whose time or dialled number is unknown."""

UNREADABLE_ENTRIES = (
    *("answers", "audit", "conversions", "dead_letters", "deadlines", "deliveries"),
    *("inbox", "lease", "limits", "lists", "orders", "record"),
)
"""Closed set of the kinds of entries in Redis that may be unreadable."""

FAILURES = ("internal_error", "provider_error", "provider_unavailable", "store_unavailable")

TEST_EVENTS = (
    *("started", "verified", "contested", "consumed", "lapsed", "expired", "canceled", "failed"),
    *("fell back", "code sent", "code checked"),
)
"""Closed set of what a verification of a test number can do."""

_WHOSE = ("client", "purpose", "region")
_TIME_TO_CALL = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900)
_LAG = (0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 900)
_REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All metrics of one process. Each attribute of the observer's has the name of its metric; adapters call the methods."""

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
        self._define_store()
        self._define_channels()
        self.inbox_calls = self._counter(
            "inbox_calls",
            "Calls in the provider's inbox, counted by the background worker. docs/operating.md explains the outcomes",
            ("outcome",),
        )
        if worker:
            self._define_worker()
        build = self._gauge("build_info", "Constant 1, labelled with the version", ("version",), mode="max")
        build.labels(version).set(1)

        # Start these counters at 0, because alerts distinguish 0 from absent.
        for outcome in Outcome:
            self.callbacks(Kind.CALL, outcome)
        for code in FAILURES:
            self._failures(code)
        for scope in Scope:
            for decision in Decision:
                self.rate_limit_decisions(scope, decision)
        for where in UNREADABLE_ENTRIES:
            self._unreadable_entries(where)
        self.orders(Provider.OWN, "failed")

    def _define_funnel(self) -> None:
        self.verifications_started = self._counter(
            "verifications_started",
            "Verifications that were started: the number was shown or the code was sent",
            _WHOSE,
        )
        self.verifications_verified = self._counter(
            "verifications_verified", "Verifications that were proven", _WHOSE
        )
        self.verifications_contested = self._counter(
            "verifications_contested", "Verifications that another requester contested", _WHOSE
        )
        self.verifications_finished = self._counter(
            "verifications_finished",
            "Verifications that reached a final status",
            (*_WHOSE, "status", "reason"),
        )
        self._tests = self._counter(
            "test_verifications",
            "Verifications of the policy's test numbers, which no other counter of verifications counts. event: "
            + ", ".join(TEST_EVENTS),
            ("client", "purpose", "event"),
        )
        self.test_numbers = self._gauge(
            "test_numbers",
            "Test numbers that a purpose takes. They are verified without a call or a code. Expect 0 in production",
            ("purpose",),
            mode="livemax",
        )
        self.time_to_call_seconds = self._histogram(
            "time_to_call_seconds",
            "Seconds from showing the number to the call",
            ("purpose", "region"),
            _TIME_TO_CALL,
        )
        self.callbacks = self._counter(
            "callbacks",
            f"Callbacks of the provider. kind: {', '.join(Kind)}. outcome: {', '.join(Outcome)}",
            ("kind", "outcome"),
        )
        self.callback_lag_seconds = self._histogram(
            "callback_lag_seconds", "Seconds from a call to its callback", (), _LAG
        )

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
        self.refusals = self._counter(
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
        self.rate_limit_decisions = self._counter(
            "rate_limit_decisions",
            f"Checks of limits. scope: {', '.join(Scope)}. decision: {', '.join(Decision)}",
            ("scope", "decision"),
        )
        group = ("group", "region")
        self.conversion_guard_decisions = self._counter(
            "conversion_guard_decisions",
            f"Checks of the conversion guard. decision: {', '.join(Decision)}",
            (*group, "decision"),
        )
        # A timestamp that queries compare with time(). A gauge of 0 or 1 would need a process to reset it.
        self.conversion_guard_exceeded_timestamp_seconds = self._gauge(
            "conversion_guard_exceeded_timestamp_seconds",
            "Time of the last create that found its conversion budget exceeded. Alert on time() - this < 600",
            group,
            mode="max",
        )

    def _define_store(self) -> None:
        self._redis_errors = self._counter("redis_errors", "Failed steps at Redis", ("operation",))
        self._unreadable_entries = self._counter(
            "unreadable_entries",
            f"Entries in Redis that could not be read and were skipped. where: {', '.join(UNREADABLE_ENTRIES)}",
            ("where",),
        )

    def _define_channels(self) -> None:
        self.orders = self._counter(
            "orders", "Orders for a number to dial. outcome: given, failed", ("provider", "outcome")
        )
        self.own_calls = self._counter(
            "own_calls",
            f"Calls to our own numbers. dialect: {', '.join(Dialect)}. attestation: level at which the carrier signed the "
            f"call, {', '.join(Attestation)}. outcome: same values as waitcall_callbacks_total",
            ("dialect", "attestation", "outcome"),
        )
        self.fallbacks = self._counter(
            "fallbacks", "Verifications moved to another channel", (*_WHOSE, "channel")
        )
        self.codes_sent = self._counter(
            "codes_sent", "Codes that the provider accepted. Each costs money", _WHOSE
        )
        self.code_checks = self._counter(
            "code_checks", "Codes that were typed. outcome: correct, incorrect", (*_WHOSE, "outcome")
        )
        self.code_reports = self._counter(
            "code_reports",
            f"Delivery reports of the provider on codes. delivery: {', '.join(CodeDelivery)}",
            ("region", "delivery"),
        )

    def _define_worker(self) -> None:
        self._fence = self._gauge(
            "leader_fence",
            "Fence of the term that this worker leads; 0 if it does not lead. Alert on max(this) == 0",
        )
        self.provider_balance = self._gauge(
            "provider_balance",
            "Balance at the provider, in the account's currency, as the leader last saw it",
        )
        self.provider_balance_low = self._gauge(
            "provider_balance_low", "1 while the balance is below WAITCALL_LOW_BALANCE"
        )
        self.webhook_deliveries = self._counter(
            "webhook_deliveries", "Attempts to deliver an event", ("endpoint", "outcome")
        )
        self.webhook_backlog = self._gauge(
            "webhook_backlog",
            "Webhook deliveries that have not succeeded, as the leader counts them. state: waiting, retrying, dead",
            ("state",),
        )
        self._looped = self._gauge(
            "worker_loop_timestamp_seconds",
            "Time of the last successful run of a loop of this worker. loop: lease, duties, sweep, push",
            ("loop",),
        )
        self.webhook_oldest_seconds = self._gauge(
            "webhook_oldest_seconds", "Age of the oldest webhook delivery that waits for an attempt"
        )
        for outcome in (*Outcome, UNPLACED):
            self.inbox_calls(outcome)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Counter]:
        """Define a counter and return a function from label values to its child.

        Children are cached, because looking one up takes as long as counting.
        """
        self.labels[f"{PREFIX}_{name}"] = labels
        made = Counter(name, text + ".", labels, namespace=PREFIX, registry=self.registry)
        return cache(made.labels)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = (), mode: Mode = "all") -> Gauge:
        """Define a gauge. ``mode``: how the values of several processes are combined; ``livemax`` forgets dead ones."""
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

    def lead(self, fence: Callable[[], int]) -> None:
        """Set the function that gives the fence of the term that this process leads; 0 for none."""
        self._fence.set_function(fence)

    def provider_request(self, operation: str, outcome: str, seconds: float) -> None:
        """Count a request to the provider, and observe its duration."""
        self._provider(operation, outcome).inc()
        self._provider_seconds(operation).observe(seconds)

    def test(self, verification: Verification, event: str) -> None:
        """Count an event of a test number's verification."""
        client, purpose, _ = self.whose(verification)
        self._tests(client, purpose, event).inc()

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

    def redis_error(self, operation: str) -> None:
        """Count a failed step at Redis."""
        self._redis_errors(operation).inc()

    def unreadable(self, where: str) -> None:
        """Count an entry in Redis that could not be read."""
        self._unreadable_entries(where).inc()

    def whose(self, verification: Verification) -> tuple[str, str, str]:
        """Return client, purpose and region of a verification as labels."""
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
