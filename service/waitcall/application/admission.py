"""The checks before an order: the block and allow lists, the conversion guard, the limits."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from math import ceil

from waitcall.application.ports import Limits, Lists, Observer
from waitcall.domain.channel import Channel, Provider
from waitcall.domain.conversion import Bucket, ConversionBudget, judge
from waitcall.domain.errors import Blocked, RateLimited
from waitcall.domain.limits import (
    Decision,
    Limit,
    LimitCheck,
    LimitResult,
    LimitState,
    Mode,
    Scope,
    address_of,
    network_of,
)
from waitcall.domain.lists import Directory, ListAction, ListEntry, ListKind, strongest
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy
from waitcall.domain.verification import Verification

OF_THE_NUMBER = (Scope.NUMBER, Scope.NUMBER_TOTAL, Scope.CODE_NUMBER, Scope.COUNTRY)
OF_THE_ADDRESS = (Scope.IP, Scope.NETWORK)
OF_TEST_NUMBERS = (
    *OF_THE_NUMBER,
    *OF_THE_ADDRESS,
    *(Scope.GLOBAL, Scope.CODE_GLOBAL, Scope.PROVIDER, Scope.CAPTCHA),
)
"""Scopes that verifications of test numbers neither use up nor obey, because they cost nothing. Only the client's limits and
the number's wrong codes count."""

_STEP = (Scope.NUMBER, *OF_THE_ADDRESS, Scope.CLIENT, Scope.COUNTRY, Scope.GLOBAL)
"""Scopes of a fallback or resend. The narrowest comes first, because it is the easiest to understand in an answer."""
_CREATE = (Scope.NUMBER, Scope.NUMBER_TOTAL, *_STEP[1:])
_CODE = (Scope.CODE_NUMBER, Scope.CODE_GLOBAL)
"""Further scopes of an act that sends a code."""
_REFUSED = (*OF_THE_ADDRESS, Scope.CLIENT)
"""Scopes of a create that is refused because another requester's verification holds the number."""
_ALL = (*_CREATE, *_CODE, Scope.FAILED_CHECKS, Scope.WRONG_NUMBERS)
"""Scopes that an operator sees for a number, an address and a client, besides the client's reads and consumes."""
_OF_ONE_SUBSCRIBER = (Scope.NUMBER_TOTAL, Scope.CODE_NUMBER, Scope.FAILED_CHECKS, Scope.WRONG_NUMBERS)
"""Scopes that count what happens to one number, for any requester."""
_UNTOLD = (Scope.PROVIDER, Scope.CAPTCHA, Scope.NUMBER_TOTAL)
"""Scopes whose state a client sees only if they refuse: they would show it how often other clients ask."""

_DETAILS = {
    Scope.NUMBER: "Too many verifications of this number were started.",
    Scope.NUMBER_TOTAL: "Too many verifications of this number were started.",
    Scope.CODE_NUMBER: "Too many codes were sent to this number.",
    Scope.CODE_GLOBAL: "Too many codes were sent.",
    Scope.FAILED_CHECKS: "Too many wrong codes were typed for this number.",
    Scope.WRONG_NUMBERS: "Too many wrong numbers were called from this number.",
    Scope.IP: "Too many verifications were started from this address.",
    Scope.NETWORK: "Too many verifications were started from this network.",
    Scope.CLIENT: "This client has started too many verifications.",
    Scope.COUNTRY: "Too many verifications were started in this country.",
    Scope.GLOBAL: "Too many verifications were started.",
    Scope.READ: "This client reads too often.",
    Scope.CONSUME: "This client consumes too often.",
    Scope.PROVIDER: "Too many orders for this number were placed at the provider.",
}


class ApplicableLimits:
    """The limits that one policy sets for each act, with their subjects."""

    def __init__(self, policy: Policy, provider_limit: Limit) -> None:
        """``provider_limit``: orders for one number that the provider accepts. It applies besides the policy's limits."""
        self._policy = policy
        self._provider_limit = provider_limit
        # Each create asks for eight pairs of scope and client, and there are few different pairs, so keep them all.
        self._limits_of = lru_cache(maxsize=None)(policy.limits_of)

    def of_create(
        self, number: E164, client_ip: str | None, client: str, channel: Channel, exempt: Container[Scope]
    ) -> list[LimitCheck]:
        """Return the limits of a create that may place an order or send a code."""
        subjects = _subjects(number, client_ip, client)
        limit_checks = self._checks(_CREATE, subjects, client, exempt, channel=channel)
        captcha_counts = channel is Channel.CODE and Scope.CAPTCHA not in exempt
        if captcha_counts and self._policy.captcha is not None:
            limit_checks += [LimitCheck(Scope.CAPTCHA, "", each) for each in self._policy.captcha.above]
        return limit_checks

    def of_step(self, record: Verification, channel: Channel, exempt: Container[Scope]) -> list[LimitCheck]:
        """Return the limits of a fallback or resend: those of the create, except the total of the number.

        That total counts verifications, and it has counted this one already.
        """
        client = record.requester.client
        subjects = _subjects(record.phone_number, None, client)
        return self._checks(_STEP, subjects, client, exempt, record.paid_by, channel)

    def of_refused_create(
        self, client_ip: str | None, client: str, exempt: Container[Scope]
    ) -> list[LimitCheck]:
        """Return the limits of a create whose number is held by another requester's verification."""
        return self._checks(_REFUSED, _subjects(None, client_ip, client), client, exempt)

    def of_failed_check(self, number: E164) -> list[LimitCheck]:
        """Return the limits of typing a wrong code."""
        return self._checks((Scope.FAILED_CHECKS,), _subjects(number, None, None), "")

    def of_wrong_number(self, number: E164) -> list[LimitCheck]:
        """Return the limits of calling another one of our own numbers than the one shown."""
        return self._checks((Scope.WRONG_NUMBERS,), _subjects(number, None, None), "")

    def of_client(self, client: str, *scopes: Scope) -> list[LimitCheck]:
        """Return the limits of a client's reads, consumes or both."""
        return [
            LimitCheck(scope, client, limit) for scope in scopes for limit in self._limits_of(scope, client)
        ]

    def of_provider(self, number: E164) -> LimitCheck:
        """Return the provider's own limit for one number (smsc-api.md, section 1)."""
        return LimitCheck(Scope.PROVIDER, number.subscriber, self._provider_limit)

    def of_subject(
        self, number: E164 | None, client_ip: str | None, client: str | None, latest: Verification | None
    ) -> list[LimitCheck]:
        """Return all limits of a number, an address and a client, for an operator to see or to clear.

        ``latest``: the number's latest verification. It says who asked for the number if the operator names nobody.
        """
        subjects, seals = _subjects(number, client_ip, client), None
        if latest is not None and Scope.NUMBER not in subjects:
            asked = _subjects(number, None, latest.requester.client)
            subjects[Scope.NUMBER] = asked[Scope.NUMBER]
            # Only this seal: the operator does not ask about the address itself.
            seals = {name: seal for name, seal in (latest.paid_by or {}).items() if name == Scope.NUMBER}
        own = self.of_client(client, Scope.READ, Scope.CONSUME) if client is not None else []
        return self._checks(_ALL, subjects, client or "", seals=seals) + own

    def of_clients(self, number: E164) -> list[LimitCheck]:
        """Return, for every client, the limits of creates of the number without an end user's address."""
        return [
            limit_check
            for client in self._policy.clients
            for limit_check in self._checks((Scope.NUMBER,), _subjects(number, None, client), client)
        ]

    def _checks(  # noqa: PLR0913, PLR0917  each decides which limits apply
        self,
        scopes: Sequence[Scope],
        subjects: Mapping[Scope, str],
        client: str,
        exempt: Container[Scope] = (),
        seals: Mapping[str, str] | None = None,
        channel: Channel | None = None,
    ) -> list[LimitCheck]:
        """Return the limits of some scopes, and of the order or the code with which a channel begins."""
        kept = seals or {}
        limit_checks = [
            LimitCheck(scope, "" if scope in kept else subjects[scope], limit, kept.get(scope))
            for scope in (*scopes, *(_CODE if channel is Channel.CODE else ()))
            if scope not in exempt and (scope in kept or scope in subjects)
            for limit in self._limits_of(scope, client)
        ]
        # The ceiling is SMSC's.
        smsc = channel is Channel.CALL and Provider.SMSC in self._policy.routing.of(subjects[Scope.COUNTRY])
        if smsc and Scope.PROVIDER not in exempt:
            limit_checks.append(
                LimitCheck(Scope.PROVIDER, subjects[Scope.NUMBER_TOTAL], self._provider_limit)
            )
        return limit_checks


def _subjects(number: E164 | None, client_ip: str | None, client: str | None) -> dict[Scope, str]:
    """Return the subject of each scope. If a create names no address, the client takes the address's place."""
    subjects = {Scope.GLOBAL: "", Scope.CODE_GLOBAL: ""}
    who = None
    if client is not None:
        subjects[Scope.CLIENT] = client
        who = f"client {client}"
    if client_ip is not None:
        who = subjects[Scope.IP] = address_of(client_ip)
        subjects[Scope.NETWORK] = network_of(client_ip)
    if number is not None:
        value = number.subscriber
        subjects |= dict.fromkeys(_OF_ONE_SUBSCRIBER, value)
        subjects[Scope.COUNTRY] = number.region
        if who is not None:
            subjects[Scope.NUMBER] = f"{value} {who}"
    return subjects


@dataclass(frozen=True, slots=True)
class Screening:
    """Result of looking a number and an address up in the lists.

    Attributes:
        blocking: the entries that block the number or the address.
        number_allowed: True if an operator allowed the number, or it is a test number. The conversion guard then ignores it.
        exempt: scopes of the limits that do not apply, because an operator allowed the number or the address, or because
            the number is a test number.
    """

    blocking: tuple[ListEntry, ...]
    number_allowed: bool
    exempt: tuple[Scope, ...]

    @classmethod
    def of(cls, matches: Sequence[ListEntry]) -> "Screening":
        """Let the strongest matching entry decide for the number, and the strongest one for the address."""
        number = strongest(each for each in matches if each.kind is not ListKind.NETWORK)
        address = strongest(each for each in matches if each.kind is ListKind.NETWORK)
        number_allowed = number is not None and number.action is ListAction.ALLOW
        address_allowed = address is not None and address.action is ListAction.ALLOW
        return cls(
            tuple(each for each in (number, address) if each and each.action is ListAction.BLOCK),
            number_allowed,
            (OF_THE_NUMBER if number_allowed else ()) + (OF_THE_ADDRESS if address_allowed else ()),
        )


@dataclass(frozen=True, slots=True)
class Admission:
    """An act that passed the limits.

    Attributes:
        limit_checks: limits to give back if the order or the message fails.
        limits: state of the limits that the client may see.
        crowded: True if more codes are being sent than the policy allows without a captcha.
    """

    limit_checks: tuple[LimitCheck, ...]
    limits: tuple[LimitState, ...]
    crowded: bool = False


class AdmissionControl:
    """Decides if a client's act is allowed. If the store fails, nothing is: every method may raise StoreUnavailable."""

    def __init__(
        self,
        *,
        limits: Limits,
        lists: Lists,
        observer: Observer,
        policy: Policy,
        provider_limit: Limit,
    ) -> None:
        """``provider_limit``: orders for one number that the provider accepts. It applies besides the policy's limits."""
        self._limits = limits
        self._lists = lists
        self._observer = observer
        self._policy = policy
        self._of_policy = Directory(policy.lists)
        self.applicable = ApplicableLimits(policy, provider_limit)

    def matches(
        self, number: E164 | None, client_ip: str | None, now: datetime, operators: Directory | None = None
    ) -> list[ListEntry]:
        """Return every entry in force that names the number or the address, those of the policy file first.

        ``operators``: the operators' lists, if the caller has just read them; else this method reads them.
        """
        found: list[ListEntry] = []
        for directory in (self._of_policy, operators or self._lists.directory()):
            found += directory.naming_number(number, now) if number else []
            found += directory.naming_address(client_ip, now) if client_ip else []
        return found

    def groups(self, number: E164) -> list[tuple[ConversionBudget, str]]:
        """Return the conversion guard's budgets, each with the group that the number belongs to."""
        return [(budget, budget.subject(number, number.region)) for budget in self._policy.conversion]

    def screen(
        self,
        number: E164,
        client_ip: str | None,
        now: datetime,
        operators: Directory | None = None,
        *,
        test: bool = False,
    ) -> Screening:
        """Look the number and the address up, as :meth:`matches` does. ``test``: True for a test number.

        Raises:
            Blocked: an entry blocks one of them. ``retry_after`` says when the block ends, if it does.
        """
        screened = Screening.of(self.matches(number, client_ip, now, operators))
        if screened.blocking:
            ends = screened.blocking[0].expires_at
            raise Blocked(retry_after=None if ends is None else max(ceil((ends - now).total_seconds()), 1))
        return replace(screened, number_allowed=True, exempt=OF_TEST_NUMBERS) if test else screened

    def blocking(self, number: E164, now: datetime, operators: Directory | None = None) -> Blocked | None:
        """Return the error for a number that is blocked now; None if it is not."""
        try:
            self.screen(number, None, now, operators)
        except Blocked as blocked:
            return blocked
        return None

    def guard(
        self, number: E164, screened: Screening, buckets: Sequence[Sequence[Bucket]], now: datetime
    ) -> None:
        """Ask the conversion guard. ``buckets`` has the counts of the number's groups, in the order of :meth:`groups`.

        Raises:
            RateLimited: too many verifications in one of the groups were never called.
        """
        if screened.number_allowed:
            return
        for budget, counted in zip(self._policy.conversion, buckets, strict=True):
            conversion = judge(budget, counted, now)
            decision = Decision.of(budget.mode, exceeded=conversion.exceeded)
            self._observer.guarded(conversion, number.region, decision, now)
            if decision is Decision.DENY:
                raise RateLimited(
                    "Too many verifications of numbers in the same country or prefix were never called.",
                    retry_after=conversion.retry_after,
                )

    def charge(self, record: Verification, channel: Channel, token: str, now: datetime) -> Admission:
        """Count another order or message for a live verification.

        Raises:
            Blocked, RateLimited
        """
        screened = self.screen(record.phone_number, None, now, test=record.test is not None)
        return self.count(self.applicable.of_step(record, channel, screened.exempt), token, now)

    def seals(self, number: E164, client_ip: str | None, screened: Screening) -> Mapping[str, str] | None:
        """Return the hashes of the end user's address that the record keeps for :meth:`charge`; None without an address."""
        if client_ip is None:
            return None
        subjects = _subjects(number, client_ip, None)
        return {
            scope.value: self._limits.seal(scope, subjects[scope])
            for scope in (Scope.NUMBER, *OF_THE_ADDRESS)
            if scope is Scope.NUMBER or scope not in screened.exempt
        }

    def count(self, limit_checks: Sequence[LimitCheck], token: str | None, now: datetime) -> Admission:
        """Count one act. ``token``: names the act, so that it can be given back; None for one that never is.

        Raises:
            RateLimited
        """
        return self.judge(limit_checks, self._limits.take(limit_checks, token, now))

    def judge(self, limit_checks: Sequence[LimitCheck], limit_result: LimitResult) -> Admission:
        """Turn the result of counting an act into a permission.

        Raises:
            RateLimited: a limit refused.
        """
        for state in limit_result.states:
            exceeded = state in limit_result.exceeded
            self._observer.limited(state.scope, Decision.of(state.limit.mode, exceeded=exceeded))
        told = [each for each in limit_result.states if each.scope not in _UNTOLD]
        refusal = limit_result.refusal
        if refusal is not None:
            refusing = [refusal] if refusal.scope in _UNTOLD else told
            raise RateLimited(
                _DETAILS[refusal.scope],
                retry_after=max(refusal.reset_seconds, 1),
                limits=[state for state in refusing if state.limit.mode is Mode.ENFORCE],
            )
        # The provider's own limit counts failed orders too, so it is never given back.
        return Admission(
            tuple(each for each in limit_checks if each.scope is not Scope.PROVIDER),
            tuple(told),
            crowded=any(each.scope is Scope.CAPTCHA for each in limit_result.exceeded),
        )

    def give_back(self, admitted: Admission, token: str) -> None:
        """Uncount an act whose order or message failed. The provider's own limit still counts it."""
        self._limits.give_back(admitted.limit_checks, token)
