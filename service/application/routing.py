"""Which provider gives a number: by the subscriber's country, and by who can."""

from collections.abc import Mapping, Sequence

from service.application.observer import Observer
from service.application.providers import CallProvider
from service.domain.errors import NumberRefused, ProviderError, ProviderFailure
from service.domain.numbers import E164
from service.domain.order import Capability, PlacedOrder

NAME = "routing"


class Routing:
    """CallProvider over several. Their time budgets add up."""

    def __init__(
        self,
        providers: Sequence[CallProvider],
        default: Sequence[str],
        regions: Mapping[str, Sequence[str]],
        observer: Observer,
    ) -> None:
        """
        Args:
            providers: that are configured.
            default: their names, in the order in which they are asked.
            regions: the same for the numbers of one country.
            observer: told who gave a number, and who did not.
        """
        self._providers = {each.name: each for each in providers}
        self._default = default
        self._regions = regions
        self._observer = observer

    name = NAME

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What any of them can do."""
        return frozenset().union(*(each.capabilities for each in self._providers.values()))

    def order(self, subscriber: E164) -> PlacedOrder:
        """A number of the first that gives one. An order that its provider may have taken costs nothing uncalled.

        Raises:
            NumberRefused: the first that could be asked does not serve this number.
            ProviderFailure: of the first that was asked, where nobody gives a number.
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
