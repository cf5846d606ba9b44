"""Input and result types of the operator's use cases, and the reasons for which the next create would be refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from waitcall.application.admission import Screening
from waitcall.domain.channel import Assurance, Channel
from waitcall.domain.conversion import Conversion
from waitcall.domain.errors import (
    Blocked,
    PhoneNumberNotAllowed,
    RateLimited,
    ServiceError,
    ValidationFailed,
    VerificationInProgress,
)
from waitcall.domain.limits import LimitState, Mode, Scope, plain_address
from waitcall.domain.lists import LONGEST_REASON, ListAction, ListEntry, ListKind, canonical
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Purpose
from waitcall.domain.verification import Verification

CLEARABLE = tuple(scope for scope in Scope if scope not in (Scope.PROVIDER, Scope.CAPTCHA))
"""Scopes that an operator can clear: all but the provider's limit, which protects the account, and the captcha's."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The number, address or client that an operator asks about. At least one must be given.

    Attributes:
        phone_number: a phone number in E.164.
        client_ip: the IP address of an end user.
        client: the name of a client.
    """

    phone_number: str | None = field(default=None, repr=False)
    client_ip: str | None = field(default=None, repr=False)
    client: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason for which a create would be refused now.

    Attributes:
        code: the problem code that the client would get.
        detail: the rule or entry that refuses.
        retry_after: seconds until a create may succeed; None if waiting does not help.
    """

    code: str
    detail: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that decides whether the next create for a subject is refused.

    Attributes:
        number: the phone number, if one was named.
        assurance: the assurance that a proof of that number would have.
        refusals: reasons for which the next create would be refused, in the order in which create checks them.
        limits: state of the limits that count the subject.
        lists: block and allow entries that name the subject.
        conversions: state of the conversion guard for the number's groups.
        verification: the number's latest verification.
        busy_until: time until which other requesters are refused the number (UTC); None if it is free.
    """

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
    """Result of an unblock.

    Attributes:
        limits: scopes of the limits that were reset.
        lists: block entries that were removed.
        conversions: number of conversion budgets that were reset.
        verification_canceled: True if the number's live verification was canceled.
    """

    limits: tuple[Scope, ...]
    lists: tuple[ListEntry, ...]
    conversions: int
    verification_canceled: bool


def not_allowed(purpose: Purpose, number: E164, assurance: Assurance) -> Iterator[Refusal]:
    """Yield the refusal of a number that the purpose does not allow at all."""
    try:
        purpose.check(number, assurance, purpose.channels[0])
    except PhoneNumberNotAllowed as error:
        yield Refusal(error.code, error.detail)


def asked_by(purpose: Purpose | None, limits: Sequence[LimitState]) -> list[LimitState]:
    """Return the limits that apply to the next create.

    A create checks no code, and it sends one only if the purpose's first channel is ``code``.
    """
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
    """Yield every reason for which the next create would be refused, in the order in which create checks them."""
    screened = Screening.of(lists)
    for entry in (screened.number, screened.address):
        if entry is not None and entry.action is ListAction.BLOCK:
            yield _refusal(Blocked, f"{entry.kind} {entry.masked}: {entry.reason}", entry.expires_at, now)
    if busy_until is not None:
        yield _refusal(
            VerificationInProgress,
            "A verification holds the number; only its own requester may ask again.",
            busy_until,
            now,
        )
    if not screened.number_allowed:
        for each in conversions:
            if each.exceeded and each.budget.mode is Mode.ENFORCE:
                yield Refusal(
                    RateLimited.code,
                    f"Too many verifications of this {each.budget.group} were never called.",
                    each.retry_after,
                )
    for state in limits:
        if not state.remaining and state.limit.mode is Mode.ENFORCE and state.scope not in screened.exempt:
            yield Refusal(RateLimited.code, f"{state.scope} {state.limit.text}", state.reset_seconds)


def _refusal(error: type[ServiceError], detail: str, until: datetime | None, now: datetime) -> Refusal:
    wait = None if until is None else max(ceil((until - now).total_seconds()), 1)
    return Refusal(error.code, detail, wait)


def canonical_address(text: str) -> str:
    """Return an IP address in its canonical form.

    Raises:
        ValidationFailed: the text is not an IP address.
    """
    try:
        return str(plain_address(text))
    except ValueError as error:
        raise ValidationFailed.of("client_ip", "Not an IP address.") from error


def canonical_subject(kind: ListKind, text: str) -> str:
    """Return the subject of a list entry in its canonical form.

    Raises:
        ValidationFailed: the text is not a number, prefix or network, as ``kind`` demands.
    """
    try:
        return canonical(kind, text)
    except ValueError as error:
        raise ValidationFailed.of(kind.value, str(error)) from error


def check_reason(text: str) -> str:
    """Return the reason that an operator gave, if its length is allowed.

    Raises:
        ValidationFailed: it is empty or too long.
    """
    if not 1 <= len(text) <= LONGEST_REASON:
        raise ValidationFailed.of("reason", f"Give a reason of 1 to {LONGEST_REASON} characters.")
    return text
