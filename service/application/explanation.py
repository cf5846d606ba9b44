"""What an operator names, and what it is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from service.application.admission import Screened
from service.domain.assurance import Assurance
from service.domain.channel import Channel
from service.domain.conversion import Conversion
from service.domain.errors import (
    Blocked,
    PhoneNumberNotAllowed,
    RateLimited,
    ServiceError,
    ValidationFailed,
    VerificationInProgress,
)
from service.domain.limits import LimitState, Mode, Scope, plain_address
from service.domain.lists import LONGEST_REASON, ListAction, ListEntry, ListKind, canonical
from service.domain.numbers import E164
from service.domain.policy import Purpose
from service.domain.verification import Verification

CLEARABLE = tuple(scope for scope in Scope if scope not in (Scope.PROVIDER, Scope.CAPTCHA))
"""The provider's ceiling protects the account, and the captcha everybody: nobody clears them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an operator asks about; at least one of the three.

    Attributes:
        phone_number: E.164.
        client_ip: an address of an end user.
        client: a client's name.
    """

    phone_number: str | None = field(default=None, repr=False)
    client_ip: str | None = field(default=None, repr=False)
    client: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for which a create would be refused now."""

    code: str
    detail: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that decides over a subject's next create."""

    number: E164 | None
    assurance: Assurance | None
    refusals: tuple[Refusal, ...]
    limits: tuple[LimitState, ...]
    lists: tuple[ListEntry, ...]
    conversions: tuple[Conversion, ...]
    verification: Verification | None
    busy_until: datetime | None


@dataclass(frozen=True, slots=True)
class Undone:
    """What an unblock did."""

    limits: tuple[Scope, ...]
    lists: tuple[ListEntry, ...]
    conversions: int
    verification_canceled: bool


def not_allowed(purpose: Purpose, number: E164, assurance: Assurance) -> Iterator[Refusal]:
    """Why the number cannot be verified for the purpose at all."""
    try:
        purpose.check(number, assurance, purpose.channels[0])
    except PhoneNumberNotAllowed as error:
        yield Refusal(error.code, error.detail)


def asked_by(purpose: Purpose | None, limits: Sequence[LimitState]) -> list[LimitState]:
    """The limits that the next create asks: it checks no code, and sends one only where its purpose begins so."""
    spared = [Scope.FAILED_CHECKS]
    if purpose is None or purpose.channels[0] is not Channel.CODE:
        spared += [Scope.CODE_NUMBER, Scope.CODE_GLOBAL]
    return [each for each in limits if each.scope not in spared]


def refusals(
    limits: Sequence[LimitState],
    lists: Sequence[ListEntry],
    conversions: Sequence[Conversion],
    busy_until: datetime | None,
    now: datetime,
) -> Iterator[Refusal]:
    """Everything that would refuse the next create, in the order in which create asks."""
    screened = Screened.of(lists)
    for entry in (screened.number, screened.address):
        if entry is not None and entry.action is ListAction.BLOCK:
            yield _refusal(Blocked, f"{entry.kind} {entry.masked}: {entry.reason}", entry.expires_at, now)
    if busy_until is not None:
        yield _refusal(VerificationInProgress, "To every other requester.", busy_until, now)
    if not screened.number_allowed:
        for each in conversions:
            if each.exceeded and each.budget.mode is Mode.ENFORCE:
                yield Refusal(RateLimited.code, f"The {each.budget.group}'s conversion.", each.retry_after)
    for state in limits:
        if not state.remaining and state.limit.mode is Mode.ENFORCE and state.scope not in screened.exempt:
            yield Refusal(RateLimited.code, f"{state.scope} {state.limit.text}", state.reset_seconds)


def _refusal(error: type[ServiceError], detail: str, until: datetime | None, now: datetime) -> Refusal:
    wait = None if until is None else max(ceil((until - now).total_seconds()), 1)
    return Refusal(error.code, detail, wait)


def canonical_address(text: str) -> str:
    """The one way to write an address. ValidationFailed for what is no single one."""
    try:
        return str(plain_address(text))
    except ValueError as error:
        raise ValidationFailed.of("client_ip", "Not an IP address.") from error


def canonical_subject(kind: ListKind, text: str) -> str:
    """The one way to write what a list entry names. ValidationFailed for what names nothing."""
    try:
        return canonical(kind, text)
    except ValueError as error:
        raise ValidationFailed.of(kind.value, str(error)) from error


def check_reason(text: str) -> str:
    """ValidationFailed for a reason that says nothing, or too much."""
    if not 1 <= len(text) <= LONGEST_REASON:
        raise ValidationFailed.of("reason", f"Say why, in 1 to {LONGEST_REASON} characters.")
    return text
