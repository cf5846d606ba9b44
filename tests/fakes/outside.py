"""Fakes of the provider and the observer, which record what they are given."""

import re
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from waitcall.domain.channel import Attestation, Capability, Captcha, Dialect, PlacedOrder
from waitcall.domain.conversion import Conversion
from waitcall.domain.errors import ProviderFailure
from waitcall.domain.limits import Decision, Scope
from waitcall.domain.matching import InboundCall, Kind, Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.status import REASONS
from waitcall.domain.verification import Verification

SHOWN = E164("+79585551234")


class FakeProvider:
    """Gives ``SHOWN``, or raises what ``failures`` holds first. ``during`` runs inside each order."""

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, name: str = "smsc") -> None:
        self.name = name
        self.placed = PlacedOrder(SHOWN)
        self._lock = threading.Lock()
        self.orders: list[E164] = []
        self.failures: list[ProviderFailure] = []
        self.during: Callable[[], None] = lambda: None

    def order(self, subscriber: E164, *, attested: bool = False) -> PlacedOrder:
        with self._lock:
            self.orders.append(subscriber)
            failure = self.failures.pop(0) if self.failures else None
        self.during()
        if failure is not None:
            raise failure
        return self.placed


class FakeSender:
    """Keeps what it is given, or raises what ``failures`` holds first. ``during`` runs inside each send."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent: list[tuple[E164, str, int, Captcha | None]] = []
        self.failures: list[ProviderFailure] = []
        self.during: Callable[[], None] = lambda: None

    def send(self, subscriber: E164, text: str, message_id: int, captcha: Captcha | None = None) -> None:
        with self._lock:
            self.sent.append((subscriber, text, message_id, captcha))
            failure = self.failures.pop(0) if self.failures else None
        self.during()
        if failure is not None:
            raise failure

    @property
    def code(self) -> str:
        """Digits of the latest text."""
        return re.sub(r"[^0-9]", "", self.sent[-1][1])


class RecordingObserver:
    """Counts what it is told; also the adapters' metrics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.lags: list[float | None] = []
        """Delay of each callback in seconds; None where it is unknown."""
        self.matched: list[InboundCall | None] = []
        """Call that verified, each time; None for a text."""

    def _count(self, *words: str) -> None:
        with self._lock:
            self.counts[words] += 1

    def started(self, verification: Verification) -> None:
        self._count("started")

    def contested(self, verification: Verification) -> None:
        self._count("contested")

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        self.matched.append(call)
        self._count("verified")

    def finished(self, verification: Verification) -> None:
        assert verification.reason in REASONS[verification.status]
        self._count("finished", str(verification.status), str(verification.reason or "none"))

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        self.lags.append(lag_seconds)
        self._count("callback", str(kind), str(outcome))

    def own_call(self, dialect: Dialect, attestation: Attestation | None, outcome: Outcome) -> None:
        self._count("own_call", str(dialect), str(attestation or "none"), str(outcome))

    def reconciled(self, outcome: Outcome | None) -> None:
        self._count("reconciled", str(outcome or "unplaced"))

    def ordered(self, provider: str, *, given: bool) -> None:
        self._count("ordered", provider, str(given))

    def fell_back(self, verification: Verification) -> None:
        self._count("fell_back", verification.channel)

    def code_sent(self, verification: Verification) -> None:
        self._count("code_sent")

    def code_checked(self, verification: Verification, *, correct: bool) -> None:
        self._count("code_checked", str(correct))

    def code_reported(self, verification: Verification) -> None:
        self._count("code_reported", str(verification.code and verification.code.delivery))

    def refused(self, client: str, code: str) -> None:
        self._count("refused", client, code)

    def limited(self, scope: Scope, decision: Decision) -> None:
        self._count("limited", str(scope), str(decision))

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        self._count("guarded", str(conversion.budget.group), region, str(decision))

    def provider_request(self, operation: str, outcome: str, seconds: float) -> None:
        self._count("provider", operation, outcome)
