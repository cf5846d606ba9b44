"""Choice of the provider that gives a number, by the subscriber's country and by which providers answer."""

from collections.abc import Mapping, Sequence

from waitcall.application.observer import Observer
from waitcall.application.providers import CallProvider
from waitcall.domain.channel import Capability, PlacedOrder
from waitcall.domain.errors import NumberRefused, ProviderError, ProviderFailure
from waitcall.domain.numbers import E164

NAME = "routing"


class Routing:
    """CallProvider that asks several providers in turn. Their time limits add up."""

    def __init__(
        self,
        providers: Sequence[CallProvider],
        default: Sequence[str],
        regions: Mapping[str, Sequence[str]],
        observer: Observer,
    ) -> None:
        """
        Args:
            providers: the configured providers.
            default: names of the providers, in the order in which they are asked.
            regions: names of the providers by country, for numbers of that country instead of ``default``.
            observer: told which provider gave a number and which did not.
        """
        self._providers = {each.name: each for each in providers}
        self._default = default
        self._regions = regions
        self._observer = observer

    name = NAME

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Capabilities that at least one of the providers has."""
        return frozenset().union(*(each.capabilities for each in self._providers.values()))

    def order(self, subscriber: E164) -> PlacedOrder:
        """Order a number from the first provider that gives one.

        Asking the next one is safe even if an earlier one took the order: an order without a call costs nothing.

        Raises:
            NumberRefused: the provider that was asked first does not serve this number. No other is asked.
            ProviderFailure: no provider gave a number. The error is that of the first one.
        """
        failed: ProviderFailure | None = None
        for name in self._regions.get(subscriber.region, self._default):
            try:
                placed = self._providers[name].order(subscriber)
            except ProviderFailure as failure:
                self._observer.ordered(name, given=False)
                if isinstance(failure, NumberRefused) and failed is None:
                    raise
                failed = failed or failure
            else:
                self._observer.ordered(name, given=True)
                return placed
        raise failed or ProviderError("No provider serves this country.")
