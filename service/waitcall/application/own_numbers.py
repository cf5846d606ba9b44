"""The provider ``own``: numbers of the operator's pool instead of numbers that another provider sells."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from secrets import SystemRandom
from typing import Protocol

from waitcall.application.ports import Clock, Observer
from waitcall.application.record_call import RecordInboundCall
from waitcall.domain.channel import Capability, Dialect, PlacedOrder, Provider
from waitcall.domain.errors import ProviderError, ProviderUnavailable
from waitcall.domain.matching import InboundCall, Kind, Outcome
from waitcall.domain.numbers import E164, normal_form
from waitcall.domain.policy import OwnNumbers

_random = SystemRandom()


class NumberPool(Protocol):
    """Memory of the numbers that each subscriber was shown."""

    def show(
        self, subscriber: E164, numbers: Sequence[E164], until: datetime, now: datetime
    ) -> E164 | datetime:
        """Choose the first of ``numbers`` that the subscriber was not shown lately, and remember it, in one atomic step.

        Args:
            subscriber: the number that is being verified.
            numbers: at least one number of the pool, in the order of preference.
            until: the subscriber is not shown the chosen number again before this time (UTC).
            now: current time (UTC).

        Returns:
            The chosen number. If all were shown lately, the earliest time (UTC) at which one may be shown again.

        Raises:
            StoreUnavailable
        """

    def shown(self, subscriber: E164, now: datetime) -> Mapping[E164, datetime]:
        """Return the numbers that the subscriber was shown, each with the time (UTC) until which it is not shown again.

        Raises:
            StoreUnavailable
        """


class OwnNumberProvider:
    """CallProvider that gives out the numbers of the pool. Each verification shows the subscriber a number that is not
    known from another recent one, so a call counts only if both its caller and the number that was called match.
    """

    name = Provider.OWN.value
    capabilities = frozenset({Capability.DIALLED_IN_CALLBACK, Capability.ATTESTED_CALLS})

    def __init__(
        self,
        own: OwnNumbers,
        pool: NumberPool,
        may_be_shown: Callable[[E164, E164], bool],
        clock: Clock,
    ) -> None:
        """``may_be_shown``: tells whether its second argument may be asked to dial the first."""
        self._own = own
        self._pool = pool
        self._may_be_shown = may_be_shown
        self._clock = clock

    def order(self, subscriber: E164) -> PlacedOrder:
        """Choose a number at random: one of the subscriber's country if the pool has any, else any other.

        Raises:
            ProviderError: no number of the pool may be shown to this subscriber.
            ProviderUnavailable: the subscriber was shown all of them lately. ``retry_after`` says when one is free again.
            StoreUnavailable
        """
        usable = [each for each in self._own.dialects if self._may_be_shown(each, subscriber)]
        numbers = [each for each in usable if each.region == subscriber.region] or usable
        if not numbers:
            raise ProviderError("None of our own numbers may be shown to this number.")
        _random.shuffle(numbers)
        now = self._clock()
        until = now + timedelta(seconds=self._own.cooldown_seconds)
        shown = self._pool.show(subscriber, numbers, until, now)
        if isinstance(shown, datetime):
            wait = max(ceil((shown - now).total_seconds()), 1)
            raise ProviderUnavailable(
                "This number was shown all of our own numbers lately.", retry_after=wait
            )
        return PlacedOrder(shown, provider=Provider.OWN)


class RecordOwnCall:
    """Use case for a call to one of our own numbers."""

    def __init__(self, own: OwnNumbers, calls: RecordInboundCall, observer: Observer) -> None:
        self._own = own
        self._calls = calls
        self._observer = observer

    def record(self, call: InboundCall, dialect: Dialect) -> Outcome:
        """Use an authentic call, if its number is one whose calls are reported in ``dialect``.

        A call to any other number, and one from a number of the pool, proves nothing and is only counted.

        Raises:
            StoreUnavailable: the call may not have been stored; it must be reported again.
        """
        numbers = {number.value: each for number, each in self._own.dialects.items()}
        if numbers.get(call.dialled or "") is dialect and normal_form(call.cli) not in numbers:
            return self._calls.record(call)
        self._observer.callback(Kind.CALL, Outcome.UNMATCHED)
        return Outcome.UNMATCHED
