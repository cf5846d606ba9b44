"""The provider ``own``: numbers of the operator's pool instead of numbers that another provider sells."""

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from math import ceil
from typing import Protocol

from waitcall.application.ports import Clock, Observer
from waitcall.application.record_call import RecordInboundCall
from waitcall.domain.channel import Capability, Dialect, PlacedOrder, Provider
from waitcall.domain.errors import ProviderError, ProviderUnavailable
from waitcall.domain.matching import InboundCall, Kind, Outcome
from waitcall.domain.numbers import E164, may_be_dialled, subscriber_of
from waitcall.domain.policy import OwnNumbers


class NumberPool(Protocol):
    """Memory of our own numbers that each subscriber was shown. The store remembers each with the change that shows it."""

    def shown(self, subscriber: E164, now: datetime) -> Mapping[E164, datetime]:
        """Return the numbers that the subscriber was shown, each with the time (UTC) until which it is not shown again.

        Raises:
            StoreUnavailable
        """


class OwnNumberProvider:
    """CallProvider that gives out the numbers of the pool.

    A subscriber is not shown the same number again until its cooldown ends, so a late call for one verification never counts for the
    next one. The verification that orders holds the subscriber's number, so no other order for this subscriber runs meanwhile.
    """

    name = Provider.OWN.value
    capabilities = frozenset({Capability.DIALLED_IN_CALLBACK, Capability.ATTESTED_CALLS})

    def __init__(
        self, own: OwnNumbers, pool: NumberPool, dial_regions: Collection[str], clock: Clock
    ) -> None:
        """``dial_regions``: only numbers of these regions are shown."""
        self._pool = pool
        self._clock = clock
        # A pool may have thousands of numbers, so what depends on the number alone is looked up here, and not for each order.
        self._numbers = frozenset(each for each in own.dialects if may_be_dialled(each, dial_regions))
        self._of_region = _grouped(self._numbers, lambda each: each.region)
        self._of_subscriber = _grouped(self._numbers, lambda each: each.subscriber)

    def order(self, subscriber: E164) -> PlacedOrder:
        """Choose a number at random that the subscriber was not shown lately, of the subscriber's country if possible.

        Raises:
            ProviderError, ProviderUnavailable, StoreUnavailable: as for ``usable``.
        """
        return PlacedOrder(secrets.choice(tuple(self.usable(subscriber))), provider=Provider.OWN)

    def usable(self, subscriber: E164) -> frozenset[E164]:
        """Return the numbers of which an order chooses one. There is at least one.

        Raises:
            ProviderError: no number of the pool may be shown to this subscriber.
            ProviderUnavailable: the subscriber was shown all of them lately. ``retry_after`` says when one is free again.
            StoreUnavailable
        """
        now = self._clock()
        shown = self._pool.shown(subscriber, now)
        themselves = self._of_subscriber.get(subscriber.subscriber, frozenset())
        for numbers in (self._of_region.get(subscriber.region, frozenset()), self._numbers):
            if usable := numbers.difference(shown, themselves):
                return usable
        ends = [shown[each] for each in self._numbers.intersection(shown) - themselves]
        if not ends:
            raise ProviderError("None of our own numbers may be shown to this number.")
        wait = max(ceil((min(ends) - now).total_seconds()), 1)
        raise ProviderUnavailable("This number was shown all of our own numbers lately.", retry_after=wait)


def _grouped(numbers: Iterable[E164], key: Callable[[E164], str]) -> dict[str, frozenset[E164]]:
    groups = defaultdict(set)
    for each in numbers:
        groups[key(each)].add(each)
    return {name: frozenset(group) for name, group in groups.items()}


class RecordOwnCall:
    """Use case for a call to one of our own numbers."""

    def __init__(self, own: OwnNumbers, calls: RecordInboundCall, observer: Observer) -> None:
        self._pool = {number.subscriber: (number.value, dialect) for number, dialect in own.dialects.items()}
        self._calls = calls
        self._observer = observer

    def record(self, call: InboundCall, dialect: Dialect) -> Outcome:
        """Use an authentic call, if its number is one whose calls are reported in ``dialect``.

        A call to any other number, and one from a number of the pool, proves nothing and is only counted.

        Raises:
            StoreUnavailable: the call may not have been stored; it must be reported again.
        """
        dialled, reported_in = self._pool.get(subscriber_of(call.dialled or ""), ("", None))
        if reported_in is dialect and subscriber_of(call.cli) not in self._pool:
            outcome = self._calls.record(replace(call, dialled=dialled))
        else:
            outcome = Outcome.UNMATCHED
            self._observer.callback(Kind.CALL, outcome)
        self._observer.own_call(dialect, call.attestation, outcome)
        return outcome
