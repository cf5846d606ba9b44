"""Counters of orders, fallbacks, and codes that are sent, checked and delivered."""

from collections.abc import Callable

from prometheus_client import Counter

from waitcall.domain.code import CodeDelivery
from waitcall.domain.verification import Verification

Whose = Callable[[Verification], tuple[str, str, str]]
Counted = Callable[..., Counter]
"""Function from label values to the counter's child."""


class ChannelMetrics:
    """Counters of orders, fallbacks and codes, in the registry of :class:`Metrics`."""

    def __init__(self, counter: Callable[[str, str, tuple[str, ...]], Counted], whose: Whose) -> None:
        """
        Args:
            counter: defines a counter by name, help text and labels.
            whose: gives client, purpose and region of a verification, from closed sets.
        """
        labels = ("client", "purpose", "region")
        self._whose = whose
        self._orders = counter(
            "orders", "Orders for a number to dial. outcome: given, failed", ("provider", "outcome")
        )
        self._fallbacks = counter("fallbacks", "Verifications moved to another channel", (*labels, "channel"))
        self._sent = counter("codes_sent", "Codes that the provider accepted. Each costs money", labels)
        self._checks = counter(
            "code_checks", "Codes that were typed. outcome: correct, incorrect", (*labels, "outcome")
        )
        self._reports = counter(
            "code_reports",
            f"Delivery reports of the provider on codes. delivery: {', '.join(CodeDelivery)}",
            ("region", "delivery"),
        )

    def ordered(self, provider: str, *, given: bool) -> None:
        """Count an order for a number to dial."""
        self._orders(provider, "given" if given else "failed").inc()

    def fell_back(self, verification: Verification) -> None:
        """Count a fallback to another channel."""
        self._fallbacks(*self._whose(verification), verification.channel).inc()

    def sent(self, verification: Verification) -> None:
        """Count a code that the provider accepted."""
        self._sent(*self._whose(verification)).inc()

    def checked(self, verification: Verification, *, correct: bool) -> None:
        """Count a typed code."""
        self._checks(*self._whose(verification), "correct" if correct else "incorrect").inc()

    def reported(self, verification: Verification) -> None:
        """Count a delivery report on the latest code."""
        if verification.code is not None:
            self._reports(verification.region, verification.code.delivery).inc()
