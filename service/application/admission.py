"""What stands before an order: the lists, the conversion guard, the limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from service.application.applicable_limits import (
    OF_THE_ADDRESS,
    OF_THE_NUMBER,
    ApplicableLimits,
    subjects_with_the_address,
)
from service.application.observer import Observer
from service.application.ports import Limits, Lists
from service.domain.channel import Channel
from service.domain.conversion import Bucket, Budget, judge
from service.domain.errors import Blocked, RateLimited
from service.domain.limits import (
    Decision,
    Limit,
    LimitState,
    Mode,
    Scope,
    Spending,
    Spent,
)
from service.domain.lists import Directory, ListAction, ListEntry, ListKind, strongest
from service.domain.numbers import E164
from service.domain.policy import Policy
from service.domain.verification import Verification

_UNTOLD = (Scope.PROVIDER, Scope.CAPTCHA, Scope.NUMBER_TOTAL)
"""How often others asked is nobody's to read, unless it refuses."""

_DETAILS = {
    Scope.NUMBER: "Too many verifications of this number were started.",
    Scope.NUMBER_TOTAL: "Too many verifications of this number were started.",
    Scope.CODE_NUMBER: "Too many codes were sent to this number.",
    Scope.CODE_GLOBAL: "Too many codes were sent.",
    Scope.FAILED_CHECKS: "Too many wrong codes were typed for this number.",
    Scope.IP: "Too many verifications were started from this address.",
    Scope.NETWORK: "Too many verifications were started from this network.",
    Scope.CLIENT: "This client has started too many verifications.",
    Scope.COUNTRY: "Too many verifications were started in this country.",
    Scope.GLOBAL: "Too many verifications were started.",
    Scope.READ: "This client reads too often.",
    Scope.CONSUME: "This client consumes too often.",
    Scope.PROVIDER: "Too many orders for this number were placed at the provider.",
}


@dataclass(frozen=True, slots=True)
class Screened:
    """Who passed the lists, and what lets them past the rest.

    Attributes:
        number: the entry that decided for the number.
        address: the one that decided for the address.
    """

    number: ListEntry | None
    address: ListEntry | None

    @classmethod
    def of(cls, matches: Sequence[ListEntry]) -> "Screened":
        """Let the strongest entry decide for each of the two."""
        return cls(
            strongest(each for each in matches if each.kind is not ListKind.NETWORK),
            strongest(each for each in matches if each.kind is ListKind.NETWORK),
        )

    @property
    def exempt(self) -> tuple[Scope, ...]:
        """Limits that do not count what an operator vouches for."""
        of_number = OF_THE_NUMBER if self.number_allowed else ()
        return of_number + (OF_THE_ADDRESS if self.address_allowed else ())

    @property
    def blocking(self) -> ListEntry | None:
        """The entry that refuses."""
        return next(
            (each for each in (self.number, self.address) if each and each.action is ListAction.BLOCK), None
        )

    @property
    def number_allowed(self) -> bool:
        """Whether an operator vouches for the number."""
        return self.number is not None and self.number.action is ListAction.ALLOW

    @property
    def address_allowed(self) -> bool:
        """Whether an operator vouches for the address."""
        return self.address is not None and self.address.action is ListAction.ALLOW


@dataclass(frozen=True, slots=True)
class Admitted:
    """A create that may order: what to give back where nothing comes of it, and how its limits stand.

    Attributes:
        crowded: more codes are sent than the policy sends without a captcha.
    """

    spendings: tuple[Spending, ...]
    limits: tuple[LimitState, ...]
    crowded: bool = False


class Admission:
    """May this be started? Fails closed: every method may raise StoreUnavailable."""

    def __init__(
        self,
        *,
        limits: Limits,
        lists: Lists,
        observer: Observer,
        policy: Policy,
        provider_limit: Limit,
    ) -> None:
        """``provider_limit``: orders for one number that the provider tolerates, whatever the policy says."""
        self._limits = limits
        self._lists = lists
        self._observer = observer
        self._policy = policy
        self._of_policy = Directory(policy.lists)
        self.applicable = ApplicableLimits(policy, provider_limit)

    def matches(self, number: E164 | None, client_ip: str | None, now: datetime) -> list[ListEntry]:
        """Every live entry that names the number or the address."""
        return self._named(number, client_ip, self._lists.directory(), now)

    def _named(
        self, number: E164 | None, client_ip: str | None, operators: Directory, now: datetime
    ) -> list[ListEntry]:
        found: list[ListEntry] = []
        for directory in (self._of_policy, operators):
            found += directory.naming_number(number, now) if number else []
            found += directory.naming_address(client_ip, now) if client_ip else []
        return found

    def groups(self, number: E164) -> list[tuple[Budget, str]]:
        """What the conversion guard asks about a number."""
        return [(budget, budget.subject(number, number.region)) for budget in self._policy.conversion]

    def screen(self, number: E164, client_ip: str | None, operators: Directory, now: datetime) -> Screened:
        """Ask the policy's lists and the ``operators``', before anything else is touched.

        Raises:
            Blocked: with ``retry_after`` where the block ends.
        """
        screened = Screened.of(self._named(number, client_ip, operators, now))
        blocking = screened.blocking
        if blocking is not None:
            raise Blocked(retry_after=_seconds_until(blocking.expires_at, now))
        return screened

    def blocking(self, number: E164, now: datetime, operators: Directory | None = None) -> Blocked | None:
        """Say why a number may prove nothing now, whatever it was asked for before; None where it may.

        ``operators``: their lists as they were just read; they are read where none are given.
        """
        try:
            self.screen(number, None, operators or self._lists.directory(), now)
        except Blocked as blocked:
            return blocked
        return None

    def guard(
        self, number: E164, screened: Screened, buckets: Sequence[Sequence[Bucket]], now: datetime
    ) -> None:
        """Ask the conversion guard, with what was counted of the number's groups.

        Raises:
            RateLimited
        """
        if screened.number_allowed:
            return
        for budget, counted in zip(self._policy.conversion, buckets, strict=True):
            conversion = judge(budget, counted, now)
            decision = Decision.of(budget.mode, exceeded=conversion.exceeded)
            self._observer.guarded(conversion, number.region, decision, now)
            if decision is Decision.DENY:
                raise RateLimited(
                    "Too many verifications of numbers like this one were never called.",
                    retry_after=conversion.retry_after,
                )

    def price(
        self,
        number: E164,
        client_ip: str | None,
        client: str,
        screened: Screened,
        channel: Channel = Channel.CALL,
    ) -> list[Spending]:
        """What one create is counted against, the provider's own ceiling last."""
        return self.applicable.of_create(number, client_ip, client, channel, screened.exempt)

    def charge(self, record: Verification, channel: Channel, token: str, now: datetime) -> Admitted:
        """Count another order or message for a live verification.

        Raises:
            Blocked, RateLimited
        """
        screened = self.screen(record.phone_number, None, self._lists.directory(), now)
        price = self.applicable.of_step(record, channel, screened.exempt)
        return self.judge(price, self._limits.spend(price, token, now))

    def seals(self, number: E164, client_ip: str | None, screened: Screened) -> Mapping[str, str] | None:
        """Seal what a record keeps of the end user's address, for :meth:`charge`; None where there was none."""
        if client_ip is None:
            return None
        return {
            scope.value: self._limits.seal(scope, subject)
            for scope, subject in subjects_with_the_address(number, client_ip).items()
            if scope is Scope.NUMBER or scope not in screened.exempt
        }

    def fine(self, price: Sequence[Spending], token: str, now: datetime) -> None:
        """Count a create that another requester's verification stands in the way of.

        Raises:
            RateLimited
        """
        if price:
            self._judge(self._limits.spend(price, token, now))

    def forgive(self, price: Sequence[Spending], token: str) -> None:
        """Uncount it: what stood in the way is gone."""
        self._limits.give_back(price, token)

    def count_check(self, number: E164, token: str, now: datetime) -> None:
        """Count a check of a code as a wrong one.

        Raises:
            RateLimited: too many wrong ones were typed for this number.
        """
        budget = self.applicable.of_failed_check(number)
        if budget:
            self._judge(self._limits.spend(budget, token, now))

    def give_check_back(self, number: E164, token: str) -> None:
        """Forget a check that was not wrong."""
        self._limits.give_back(self.applicable.of_failed_check(number), token)

    def judge(self, price: Sequence[Spending], spent: Spent) -> Admitted:
        """What became of counting it.

        Raises:
            RateLimited
        """
        self._judge(spent)
        # The provider's own ceiling counts every order, whatever comes of it.
        return Admitted(
            tuple(each for each in price if each.scope is not Scope.PROVIDER),
            tuple(each for each in spent.states if each.scope not in _UNTOLD),
            crowded=any(each.scope is Scope.CAPTCHA for each in spent.exceeded),
        )

    def give_back(self, admitted: Admitted, token: str) -> None:
        """The order came to nothing: only the provider's own ceiling still counts it."""
        self._limits.give_back(admitted.spendings, token)

    def count(self, scope: Scope, client: str, now: datetime) -> None:
        """Count one read or consume of a client.

        Raises:
            RateLimited
        """
        spendings = self.applicable.of_client(client, scope)
        if spendings:
            self._judge(self._limits.spend(spendings, None, now))

    def _judge(self, spent: Spent) -> None:
        for state in spent.states:
            exceeded = state in spent.exceeded
            self._observer.limited(state.scope, Decision.of(state.limit.mode, exceeded=exceeded))
        refusal = spent.refusal
        if refusal is None:
            return
        told = [refusal] if refusal.scope in _UNTOLD else [e for e in spent.states if e.scope not in _UNTOLD]
        raise RateLimited(
            _DETAILS[refusal.scope],
            retry_after=max(refusal.reset_seconds, 1),
            limits=[state for state in told if state.limit.mode is Mode.ENFORCE],
        )


def _seconds_until(moment: datetime | None, now: datetime) -> int | None:
    return None if moment is None else max(ceil((moment - now).total_seconds()), 1)
