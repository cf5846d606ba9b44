"""The operator's use cases: explain why a subject is refused, unblock it, manage the lists, look up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil

from waitcall.application.admission import OF_TEST_NUMBERS, AdmissionControl, Screening
from waitcall.application.effects import AuditEntry
from waitcall.application.own_numbers import OwnNumberProvider
from waitcall.application.ports import (
    AuditLog,
    Clock,
    ConversionCounts,
    Limits,
    Lists,
    Stored,
)
from waitcall.application.records import Records
from waitcall.domain.channel import Assurance, Channel, Provider, assurance_of_call
from waitcall.domain.conversion import Conversion, judge
from waitcall.domain.errors import (
    Blocked,
    NotFound,
    PhoneNumberNotAllowed,
    ProviderFailure,
    RateLimited,
    ServiceError,
    ValidationFailed,
    VerificationInProgress,
)
from waitcall.domain.limits import LimitState, Mode, Scope, plain_address
from waitcall.domain.lists import LONGEST_REASON, Directory, ListAction, ListEntry, ListKind, canonical
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

CLEARABLE = tuple(scope for scope in Scope if scope not in (Scope.PROVIDER, Scope.CAPTCHA))
"""Scopes that an operator can clear: all but the provider's limit, which protects the account, and the captcha's."""

LONGEST_EXPIRES_IN = 366 * 86400
"""Longest life of a list entry, in seconds. An entry for longer belongs in the policy file, where it is reviewed."""

_EVERYBODYS = (Scope.COUNTRY, Scope.GLOBAL, Scope.CODE_GLOBAL)


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


def not_allowed(
    purpose: Purpose, number: E164, assurance: Assurance, *, test: bool = False
) -> Iterator[Refusal]:
    """Yield the refusal of a number that the purpose does not allow at all."""
    try:
        purpose.check(number, assurance, purpose.channels[0], test=test)
    except PhoneNumberNotAllowed as error:
        yield Refusal(error.code, error.detail)


def asked_by(purpose: Purpose | None, limits: Sequence[LimitState]) -> list[LimitState]:
    """Return the limits that apply to the next create.

    A create checks no code and reports no call. It sends a code only if the purpose's first channel is ``code``.
    """
    spared = [Scope.FAILED_CHECKS, Scope.WRONG_NUMBERS]
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
    for entry in screened.blocking:
        yield _refusal(Blocked, f"{entry.kind} {entry.masked}: {entry.reason}", entry.expires_at, now)
    if busy_until is not None:
        yield _refusal(
            VerificationInProgress,
            "This number is being verified, or was just verified. Others must wait.",
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


class OperatorActions:
    """The use cases of ``/v1/operator`` and of the command line.

    Every method takes the operator's name and writes an audit entry before it acts; if that fails, it does not act. Every
    method may raise StoreUnavailable.
    """

    def __init__(  # noqa: PLR0913  one parameter per port; the composition root names them all
        self,
        *,
        records: Records,
        admission: AdmissionControl,
        limits: Limits,
        conversions: ConversionCounts,
        lists: Lists,
        audit: AuditLog,
        clock: Clock,
        policy: Policy,
        own: OwnNumberProvider,
    ) -> None:
        self._records = records
        self._store = records.store
        self._admission = admission
        self._limits = limits
        self._conversions = conversions
        self._lists = lists
        self._audit = audit
        self._clock = clock
        self._policy = policy
        self._own = own

    def explain(self, operator: str, subject: Subject, purpose: str | None = None) -> Explanation:
        """Explain why the next create for the subject would be refused, without counting anything.

        ``purpose``: name of the purpose of that create; None for any.

        Raises:
            ValidationFailed, InvalidPhoneNumber: the subject or the purpose is wrong.
        """
        now = self._clock()
        number, subject = self._read(subject)
        asked = self._purpose(purpose)
        self._write(operator, "explain", now, number, _named(subject))
        latest = self._latest(number)
        applicable = self._admission.applicable
        limit_checks = applicable.of_subject(number, subject.client_ip, subject.client, latest)
        limit_checks += [applicable.of_provider(number)] if number else []
        limits = self._limits.look(limit_checks, now)
        lists = self._admission.matches(number, subject.client_ip, now)
        groups = self._admission.groups(number) if number else []
        conversions = [
            judge(budget, self._conversions.buckets(budget, group), now) for budget, group in groups
        ]
        record = latest.at(now) if latest else None
        busy_until = record.busy_until(now) if record else None
        assurance = self._assurance(asked, number) if number else None
        test = number is not None and self._policy.test_of(number) is not None
        disallowed = (
            not_allowed(asked, number, assurance, test=test) if asked and number and assurance else ()
        )
        refusing = [] if test else conversions
        exhausted = self._exhausted(asked, number) if number and not test else ()
        counting = [each for each in asked_by(asked, limits) if not (test and each.scope in OF_TEST_NUMBERS)]
        return Explanation(
            number=number,
            assurance=assurance,
            refusals=(*disallowed, *refusals(counting, lists, refusing, busy_until, now), *exhausted),
            limits=tuple(limits),
            lists=tuple(lists),
            conversions=tuple(conversions),
            verification=record,
            busy_until=busy_until,
        )

    def unblock(  # noqa: PLR0913  one parameter per thing that can be undone
        self,
        operator: str,
        subject: Subject,
        reason: str,
        *,
        scope: Scope | None = None,
        verification: bool = False,
        conversion: bool = False,
    ) -> Undone:
        """Reset the limits that count the subject, and remove the block that names exactly it.

        Args:
            operator: the operator's name.
            subject: the number, address or client to unblock.
            reason: the operator's reason, for the audit stream.
            scope: reset only this limit, and undo nothing else.
            verification: True to cancel the number's live verification too, of any client (``by_operator``).
            conversion: True to reset the conversion guard's counts of the number's groups too.

        Raises:
            ValidationFailed, InvalidPhoneNumber: the subject or the reason is wrong.
        """
        now = self._clock()
        number, subject = self._read(subject)
        details = _named(subject) | {"reason": check_reason(reason)}
        details |= {"scope": scope.value} if scope else {}
        details |= {"verification": "cancel"} if verification else {}
        details |= {"conversion": "clear"} if conversion else {}
        self._write(operator, "unblock", now, number, details)
        applicable, latest = self._admission.applicable, self._latest(number)
        limit_checks = [
            each
            for each in applicable.of_subject(number, subject.client_ip, subject.client, latest)
            # Limits that a whole country or all users share are reset only if the operator names their scope.
            if (each.scope is scope if scope else each.scope not in _EVERYBODYS)
        ]
        self._limits.clear(limit_checks)
        if number is not None and scope in (None, Scope.NUMBER):
            self._limits.clear(applicable.of_clients(number))
        scopes = tuple(dict.fromkeys(each.scope for each in limit_checks))
        if scope is not None:
            return Undone(scopes, (), 0, verification_canceled=False)
        removed = self._take_out(number, subject.client_ip, now)
        groups = self._admission.groups(number) if conversion and number else []
        for budget, group in groups:
            self._conversions.clear(budget, group)
        canceled = bool(verification and number and self._cancel(number, now))
        return Undone(scopes, removed, len(groups), verification_canceled=canceled)

    def put(  # noqa: PLR0913  one parameter per field of the entry
        self,
        operator: str,
        *,
        action: ListAction,
        kind: ListKind,
        subject: str,
        reason: str,
        expires_in: int,
    ) -> ListEntry:
        """Block or allow a number, prefix or network for ``expires_in`` seconds.

        Blocking a number also cancels its live verification (``by_operator``).

        Raises:
            ValidationFailed: the subject or the reason is wrong, ``expires_in`` is over 366 days, or the lists are full.
        """
        now = self._clock()
        if not 1 <= expires_in <= LONGEST_EXPIRES_IN:
            raise ValidationFailed.of("expires_in", f"Must be 1 to {LONGEST_EXPIRES_IN} seconds.")
        entry = ListEntry(
            action,
            kind,
            canonical_subject(kind, subject),
            reason=check_reason(reason),
            by=operator,
            created_at=now.replace(microsecond=0),
            expires_at=now.replace(microsecond=0) + timedelta(seconds=expires_in),
        )
        self._write_entry(operator, action.value, entry, now, entry.reason)
        self._lists.put(entry, now)
        if entry.action is ListAction.BLOCK and entry.kind is ListKind.NUMBER:
            self._records.block(entry.subject, now)
        return entry

    def remove(self, operator: str, kind: ListKind, subject: str, reason: str) -> None:
        """Remove one entry from the lists.

        Raises:
            NotFound: no operator made such an entry. Entries of the policy file can only be removed in that file.
            ValidationFailed: the subject or the reason is wrong.
        """
        now = self._clock()
        text = canonical_subject(kind, subject)
        known = self._lists.directory().entries.get((kind, text))
        if known is None:
            raise NotFound(
                "No operator made such an entry. Entries of the policy file are removed in that file."
            )
        self._write_entry(operator, "remove", known, now, check_reason(reason))
        self._lists.remove(kind, known.subject)

    def lists(self, operator: str) -> list[ListEntry]:
        """Return every entry in force, those of the policy file first."""
        now = self._clock()
        self._write(operator, "lists", now)
        both = (Directory(self._policy.lists), self._lists.directory())
        return [entry for each in both for entry in each.entries.values() if entry.is_live(now)]

    def exported(self, operator: str, phone_number: str | None) -> None:
        """Write the audit entry for an export of the audit stream.

        ``phone_number``: E.164, if only the entries of this number are exported; None for all.
        """
        self._audit.append(AuditEntry(self._clock(), "export", f"operator:{operator}", phone_number))

    def show(self, operator: str, verification_id: str) -> Verification:
        """Return a verification of any client by its id.

        Raises:
            NotFound
        """
        now = self._clock()
        entry = AuditEntry(now, "show", f"operator:{operator}", verification_id=verification_id)
        self._audit.append(entry)
        stored = self._store.get(verification_id)
        if stored is None:
            raise NotFound
        return stored.verification.at(now)

    def find(self, operator: str, phone_number: str) -> Verification:
        """Return the latest verification of a number in E.164.

        Raises:
            NotFound, InvalidPhoneNumber
        """
        now, number = self._clock(), E164.parse(phone_number)
        self._write(operator, "find", now, number)
        stored = self._store.latest_of(number.value)
        if stored is None:
            raise NotFound("This number has no verification, or its record was deleted.")
        return stored.verification.at(now)

    def replayed(self, operator: str, phone_number: str, reason: str) -> None:
        """Write the audit entry for a callback that an operator is about to send in the provider's place.

        Raises:
            InvalidPhoneNumber
        """
        number = E164.parse(phone_number)
        self._write(operator, "replay_callback", self._clock(), number, {"reason": reason})

    def _read(self, subject: Subject) -> tuple[E164 | None, Subject]:
        if not (subject.phone_number or subject.client_ip or subject.client):
            raise ValidationFailed.of("body", "Name a phone_number, a client_ip or a client.")
        if subject.client is not None and subject.client not in self._policy.clients:
            raise ValidationFailed.of("client", "Not a configured client.")
        try:
            address = str(plain_address(subject.client_ip)) if subject.client_ip else None
        except ValueError as error:
            raise ValidationFailed.of("client_ip", "Not an IP address.") from error
        number = E164.parse(subject.phone_number) if subject.phone_number else None
        return number, replace(subject, client_ip=address)

    def _purpose(self, name: str | None) -> Purpose | None:
        if name is not None and name not in self._policy.purposes:
            raise ValidationFailed.of("purpose", "Not a configured purpose.")
        return self._policy.purposes[name] if name is not None else None

    def _latest(self, number: E164 | None) -> Verification | None:
        stored = self._store.latest_of(number.value) if number else None
        return stored.verification if stored else None

    def _exhausted(self, asked: Purpose | None, number: E164) -> Iterator[Refusal]:
        """Yield the refusal of an order that only our own numbers may serve, if none of them is free."""
        if asked is not None and asked.channels[0] is not Channel.CALL:
            return
        route = set(self._policy.routing.of(number.region))
        if asked is not None and not asked.assurance(Channel.CALL, number, self._policy.assurance).reaches(
            asked.min_assurance
        ):
            # Providers whose calls nothing vouches for are not asked then.
            route &= {Provider.OWN}
        if route != {Provider.OWN}:
            return
        try:
            self._own.usable(number)
        except ProviderFailure as error:
            yield Refusal(error.code, error.detail, error.retry_after)

    def _assurance(self, asked: Purpose | None, number: E164) -> Assurance:
        # The assurance of a create that names no channel; without a purpose, the assurance of a call.
        if asked is None:
            return assurance_of_call(number, self._policy.assurance)
        return self._policy.best_assurance(asked, asked.channels[0], number)

    def _take_out(self, number: E164 | None, client_ip: str | None, now: datetime) -> tuple[ListEntry, ...]:
        directory = self._lists.directory()
        named = directory.naming_number(number, now) if number else []
        named += directory.naming_address(client_ip, now) if client_ip else []
        exact = {canonical(ListKind.NETWORK, client_ip)} if client_ip else set()
        # A wider block was made for more than this subject, so it stays. `explain` shows it.
        exactly = [e for e in named if e.kind is ListKind.NUMBER or e.subject in exact]
        blocks = [e for e in exactly if e.action is ListAction.BLOCK]
        return tuple(entry for entry in blocks if self._lists.remove(entry.kind, entry.subject))

    def _cancel(self, number: E164, now: datetime) -> bool:
        stored: Stored | None = self._store.latest_of(number.value)
        if stored is None or stored.verification.at(now).status not in (Status.PENDING, Status.CONTESTED):
            return False
        canceled = self._records.changed(stored, lambda record: record.cancel(now, Reason.BY_OPERATOR), now)
        return canceled.reason is Reason.BY_OPERATOR

    def _write(
        self,
        operator: str,
        event: str,
        now: datetime,
        number: E164 | None = None,
        details: dict[str, str] | None = None,
    ) -> None:
        value = number.value if number else None
        self._audit.append(AuditEntry(now, event, f"operator:{operator}", value, details=details))

    def _write_entry(self, operator: str, event: str, entry: ListEntry, now: datetime, reason: str) -> None:
        details = {"kind": entry.kind.value, "reason": reason}
        if entry.kind is not ListKind.NUMBER:
            details["subject"] = entry.subject
        if entry.expires_at is not None:
            details["expires_at"] = entry.expires_at.isoformat()
        number = E164(entry.subject) if entry.kind is ListKind.NUMBER else None
        self._write(operator, event, now, number, details)


def _named(subject: Subject) -> dict[str, str]:
    """Return the details of an audit entry that name the subject. The stream keeps no address."""
    named = {"client": subject.client} if subject.client else {}
    return named | ({"client_ip": "given"} if subject.client_ip else {})
