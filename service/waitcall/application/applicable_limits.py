"""The limits that apply to an act, each with the subject that is counted (docs/limits.md)."""

from collections.abc import Container, Mapping, Sequence
from functools import lru_cache

from waitcall.domain.channel import Channel
from waitcall.domain.limits import Limit, LimitCheck, Scope, address_of, network_of
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy
from waitcall.domain.verification import Verification

OF_THE_NUMBER = (Scope.NUMBER, Scope.NUMBER_TOTAL, Scope.CODE_NUMBER, Scope.COUNTRY)
OF_THE_ADDRESS = (Scope.IP, Scope.NETWORK)

_STEP = (Scope.NUMBER, *OF_THE_ADDRESS, Scope.CLIENT, Scope.COUNTRY, Scope.GLOBAL)
"""Scopes of a fallback or resend. The narrowest comes first, because it is the easiest to understand in an answer."""
_CREATE = (Scope.NUMBER, Scope.NUMBER_TOTAL, *_STEP[1:])
_CODE = (Scope.CODE_NUMBER, Scope.CODE_GLOBAL)
"""Further scopes of an act that sends a code."""
_REFUSED = (*OF_THE_ADDRESS, Scope.CLIENT)
"""Scopes of a create that is refused because another requester's verification holds the number."""
_ALL = (*_CREATE, *_CODE, Scope.FAILED_CHECKS)
"""Scopes that an operator sees for a number, an address and a client, besides the client's reads and consumes."""
_HOLDING_THE_ADDRESS = (Scope.NUMBER, *OF_THE_ADDRESS)


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
        counted = self._counted(_CREATE, channel, subjects, client, exempt)
        if channel is Channel.CODE and self._policy.captcha is not None:
            counted += [LimitCheck(Scope.CAPTCHA, "", each) for each in self._policy.captcha.above]
        return counted

    def of_step(self, record: Verification, channel: Channel, exempt: Container[Scope]) -> list[LimitCheck]:
        """Return the limits of a fallback or resend: those of the create, but for the total of the number.

        That total counts verifications, and it has counted this one already.
        """
        client = record.requester.client
        subjects = _subjects(record.phone_number, None, client)
        return self._counted(_STEP, channel, subjects, client, exempt, record.paid_by)

    def of_refused_create(
        self, client_ip: str | None, client: str, exempt: Container[Scope]
    ) -> list[LimitCheck]:
        """Return the limits of a create whose number is held by another requester's verification."""
        scopes = [each for each in _REFUSED if each not in exempt]
        return self._spendings(scopes, _subjects(None, client_ip, client), client)

    def of_failed_check(self, number: E164) -> list[LimitCheck]:
        """Return the limits of typing a wrong code."""
        return self._spendings((Scope.FAILED_CHECKS,), _subjects(number, None, None), "")

    def of_client(self, client: str, *scopes: Scope) -> list[LimitCheck]:
        """Return the limits of a client's reads, consumes or both."""
        return [
            LimitCheck(scope, client, limit) for scope in scopes for limit in self._limits_of(scope, client)
        ]

    def of_provider(self, number: E164) -> LimitCheck:
        """Return the provider's own limit for one number (smsc-api.md, section 1)."""
        return LimitCheck(Scope.PROVIDER, number.value, self._provider_limit)

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
        return self._spendings(_ALL, subjects, client or "", seals) + own

    def of_clients(self, number: E164) -> list[LimitCheck]:
        """Return, for every client, the limits of creates of the number without an end user's address."""
        return [
            limit_check
            for client in self._policy.clients
            for limit_check in self._spendings((Scope.NUMBER,), _subjects(number, None, client), client)
        ]

    def _counted(  # noqa: PLR0913, PLR0917  each decides which limits apply
        self,
        scopes: Sequence[Scope],
        channel: Channel,
        subjects: Mapping[Scope, str],
        client: str,
        exempt: Container[Scope],
        seals: Mapping[str, str] | None = None,
    ) -> list[LimitCheck]:
        sending = _CODE if channel is Channel.CODE else ()
        counted = [each for each in (*scopes, *sending) if each not in exempt]
        limit_checks = self._spendings(counted, subjects, client, seals)
        if channel is Channel.CALL:
            limit_checks.append(
                LimitCheck(Scope.PROVIDER, subjects[Scope.NUMBER_TOTAL], self._provider_limit)
            )
        return limit_checks

    def _spendings(
        self,
        scopes: Sequence[Scope],
        subjects: Mapping[Scope, str],
        client: str,
        seals: Mapping[str, str] | None = None,
    ) -> list[LimitCheck]:
        kept = seals or {}
        return [
            LimitCheck(scope, "" if scope in kept else subjects[scope], limit, kept.get(scope))
            for scope in scopes
            if scope in kept or scope in subjects
            for limit in self._limits_of(scope, client)
        ]


def subjects_with_the_address(number: E164, client_ip: str) -> dict[Scope, str]:
    """Return the subjects that are an end user's address or contain it."""
    subjects = _subjects(number, client_ip, None)
    return {scope: subjects[scope] for scope in _HOLDING_THE_ADDRESS}


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
        value = number.value
        subjects[Scope.NUMBER_TOTAL] = subjects[Scope.CODE_NUMBER] = subjects[Scope.FAILED_CHECKS] = value
        subjects[Scope.COUNTRY] = number.region
        if who is not None:
            subjects[Scope.NUMBER] = f"{value} {who}"
    return subjects
