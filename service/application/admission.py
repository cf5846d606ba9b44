"""What stands before an order: the lists, the conversion guard, the limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

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
    address_of,
    network_of,
)
from service.domain.lists import Directory, ListAction, ListEntry, ListKind, strongest
from service.domain.numbers import E164
from service.domain.policy import Policy
from service.domain.verification import Verification

_OF_THE_NUMBER = (Scope.NUMBER, Scope.NUMBER_TOTAL, Scope.CODE_NUMBER, Scope.COUNTRY)
_OF_THE_ADDRESS = (Scope.IP, Scope.NETWORK)
_ACT = (Scope.NUMBER, *_OF_THE_ADDRESS, Scope.CLIENT, Scope.COUNTRY, Scope.GLOBAL)
"""What each create, fallback and resend counts for."""
_CREATE = (Scope.NUMBER, Scope.NUMBER_TOTAL, *_ACT[1:])
_REFUSED = (*_OF_THE_ADDRESS, Scope.CLIENT)
"""What a create counts for that is refused because of another requester, or contests that one."""
_LOOKED_AT = (Scope.NUMBER, Scope.NUMBER_TOTAL, Scope.CODE_NUMBER, Scope.FAILED_CHECKS, *_ACT[1:])
_SEALED = (Scope.NUMBER, *_OF_THE_ADDRESS)
"""Whose subject is, or holds, the end user's address."""
_UNTOLD = (Scope.PROVIDER, Scope.CAPTCHA, Scope.NUMBER_TOTAL)
"""How often others asked is nobody's to read, unless it refuses."""

_DETAILS = {
    Scope.NUMBER: "Too many verifications of this number were started.",
    Scope.NUMBER_TOTAL: "Too many verifications of this number were started.",
    Scope.CODE_NUMBER: "Too many codes were sent to this number.",
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
        of_number = _OF_THE_NUMBER if self.number_allowed else ()
        return of_number + (_OF_THE_ADDRESS if self.address_allowed else ())

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
        self._provider_limit = provider_limit

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
    ) -> tuple[Spending, ...]:
        """What one create is counted against, the provider's own ceiling last."""
        counted = self._priced(_CREATE, number, client, channel, screened, client_ip=client_ip)
        if channel is Channel.CODE and self._policy.captcha is not None:
            counted += [Spending(Scope.CAPTCHA, "", each) for each in self._policy.captcha.above]
        return tuple(counted)

    def charge(self, record: Verification, channel: Channel, token: str, now: datetime) -> Admitted:
        """Count another order or message for a live verification: for everything that its create counted for.

        The number alone is left out: it counts verifications, and this one is counted.

        Raises:
            Blocked, RateLimited
        """
        number, client = record.phone_number, record.requester.client
        screened = self.screen(number, None, self._lists.directory(), now)
        price = self._priced(_ACT, number, client, channel, screened, seals=record.paid_by)
        return self.judge(price, self._limits.spend(price, token, now))

    def seals(self, number: E164, client_ip: str | None, screened: Screened) -> Mapping[str, str] | None:
        """What a record keeps of the end user's address, for :meth:`charge`; None where there was none."""
        if client_ip is None:
            return None
        subjects = _subjects(client_ip, number)
        return {
            scope.value: self._limits.seal(scope, subjects[scope])
            for scope in _SEALED
            if scope is Scope.NUMBER or scope not in screened.exempt
        }

    def fine(self, client_ip: str | None, client: str, screened: Screened) -> list[Spending]:
        """What a create is counted against that another requester's verification stands in the way of."""
        spendings = self._spendings(_REFUSED, _subjects(client_ip, None, client), client)
        return [each for each in spendings if each.scope not in screened.exempt]

    def pay(self, fine: Sequence[Spending], token: str, now: datetime) -> None:
        """Count it.

        Raises:
            RateLimited
        """
        if fine:
            self._judge(self._limits.spend(fine, token, now))

    def forgive(self, fine: Sequence[Spending], token: str) -> None:
        """Uncount it: what stood in the way is gone."""
        self._limits.give_back(fine, token)

    def may_check(self, number: E164, now: datetime) -> None:
        """Whether a code may be checked at all; counts nothing.

        Raises:
            RateLimited: too many wrong ones were typed for this number.
        """
        budget = self._failed_checks(number)
        states = tuple(self._limits.look(budget, now)) if budget else ()
        spent = Spent(states, tuple(each for each in states if not each.remaining))
        # What passes here is counted, and told, once it is wrong.
        if spent.refusal is not None:
            self._judge(spent)

    def failed_check(self, number: E164, now: datetime) -> None:
        """Count a wrong code.

        Raises:
            RateLimited: simultaneous ones have used up the rest.
        """
        budget = self._failed_checks(number)
        if budget:
            self._judge(self._limits.spend(budget, None, now))

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
        spendings = self.client_spendings(client, scope)
        if spendings:
            self._judge(self._limits.spend(spendings, None, now))

    def client_spendings(self, client: str, *scopes: Scope) -> list[Spending]:
        """What a client's reads or consumes count against."""
        return [
            Spending(scope, client, limit)
            for scope in scopes
            for limit in self._policy.limits_of(scope, client)
        ]

    def spendings(
        self, number: E164 | None, client_ip: str | None, client: str | None, latest: Verification | None
    ) -> list[Spending]:
        """Everything that counts for a number, an address and a client, for an operator to see or to clear.

        ``latest``: the number's latest verification, which says who asked for it, where the operator does not.
        """
        subjects, seals = _subjects(client_ip, number, client), None
        if latest is not None and Scope.NUMBER not in subjects:
            subjects |= {Scope.NUMBER: _subjects(None, number, latest.requester.client)[Scope.NUMBER]}
            # Only this: the address itself is not what the operator asks about.
            seals = {name: seal for name, seal in (latest.paid_by or {}).items() if name == Scope.NUMBER}
        return self._spendings(_LOOKED_AT, subjects, client or "", seals)

    def of_clients(self, number: E164) -> list[Spending]:
        """What each client's creates of the number counted for that named no address."""
        return [
            spending
            for client in self._policy.clients
            for spending in self._spendings((Scope.NUMBER,), _subjects(None, number, client), client)
        ]

    def provider_spending(self, number: E164) -> Spending:
        """The provider's ceiling for one number (smsc-api.md, section 1)."""
        return Spending(Scope.PROVIDER, number.value, self._provider_limit)

    def _priced(  # noqa: PLR0913  what decides over a price
        self,
        scopes: Sequence[Scope],
        number: E164,
        client: str,
        channel: Channel,
        screened: Screened,
        *,
        client_ip: str | None = None,
        seals: Mapping[str, str] | None = None,
    ) -> list[Spending]:
        sending = (Scope.CODE_NUMBER,) if channel is Channel.CODE else ()
        counted = [each for each in (*scopes, *sending) if each not in screened.exempt]
        spendings = self._spendings(counted, _subjects(client_ip, number, client), client, seals)
        return [*spendings, self.provider_spending(number)] if channel is Channel.CALL else spendings

    def _spendings(
        self,
        scopes: Sequence[Scope],
        subjects: Mapping[Scope, str],
        client: str,
        seals: Mapping[str, str] | None = None,
    ) -> list[Spending]:
        seals = seals or {}
        return [
            Spending(scope, "", limit, seal)
            if (seal := seals.get(scope))
            else Spending(scope, subjects[scope], limit)
            for scope in scopes
            if scope in subjects or scope in seals
            for limit in self._policy.limits_of(scope, client)
        ]

    def _failed_checks(self, number: E164) -> list[Spending]:
        return self._spendings((Scope.FAILED_CHECKS,), _subjects(None, number), "")

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


def _subjects(
    client_ip: str | None, number: E164 | None = None, client: str | None = None
) -> dict[Scope, str]:
    """On whose account an act counts, limit by limit. Without an address the client stands for it."""
    subjects = {Scope.GLOBAL: ""}
    if number is not None:
        subjects |= dict.fromkeys((Scope.NUMBER_TOTAL, Scope.CODE_NUMBER, Scope.FAILED_CHECKS), number.value)
        subjects[Scope.COUNTRY] = number.region
    if client is not None:
        subjects[Scope.CLIENT] = client
    if client_ip is not None:
        subjects |= {Scope.IP: address_of(client_ip), Scope.NETWORK: network_of(client_ip)}
    if number is not None and (client_ip or client):
        subjects[Scope.NUMBER] = f"{number.value} {subjects.get(Scope.IP) or f'client {client}'}"
    return subjects


def _seconds_until(moment: datetime | None, now: datetime) -> int | None:
    return None if moment is None else max(ceil((moment - now).total_seconds()), 1)
