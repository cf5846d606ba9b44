"""Counters of what happens on the way: fallbacks, codes sent, checked and delivered."""

from collections.abc import Callable

from prometheus_client import Counter

from service.domain.verification import Verification

Whose = Callable[[Verification], tuple[str, str, str]]
Counted = Callable[..., Counter]
"""Of label values the counter."""


class ChannelMetrics:
    """Defined through the registry of :class:`Metrics`."""

    def __init__(self, counter: Callable[[str, str, tuple[str, ...]], Counted], whose: Whose) -> None:
        """
        Args:
            counter: defines one by name, text and labels.
            whose: client, purpose and region of a verification, from closed sets.
        """
        labels = ("client", "purpose", "region")
        self._whose = whose
        self._orders = counter(
            "orders", "Times that a provider was asked for a number", ("provider", "outcome")
        )
        self._fallbacks = counter("fallbacks", "Verifications moved to another channel", (*labels, "channel"))
        self._sent = counter("codes_sent", "Codes that the provider took", labels)
        self._checks = counter("code_checks", "Codes that were typed", (*labels, "outcome"))
        self._reports = counter("code_reports", "What the provider told of codes", ("region", "delivery"))

    def ordered(self, provider: str, *, given: bool) -> None:
        """A provider was asked for a number to dial."""
        self._orders(provider, "given" if given else "failed").inc()

    def fell_back(self, verification: Verification) -> None:
        """Its client moved it to another channel."""
        self._fallbacks(*self._whose(verification), verification.channel).inc()

    def sent(self, verification: Verification) -> None:
        """The provider took a code."""
        self._sent(*self._whose(verification)).inc()

    def checked(self, verification: Verification, *, correct: bool) -> None:
        """A code was typed."""
        self._checks(*self._whose(verification), "correct" if correct else "incorrect").inc()

    def reported(self, verification: Verification) -> None:
        """The provider told where the latest code stands."""
        if verification.code is not None:
            self._reports(verification.region, verification.code.delivery).inc()
