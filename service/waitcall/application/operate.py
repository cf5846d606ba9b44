"""The operator's use cases: explain why a subject is refused, unblock it, and manage the block and allow lists."""

from dataclasses import replace
from datetime import datetime, timedelta

from waitcall.application.admission import AdmissionControl
from waitcall.application.audit import AuditEntry, AuditLog
from waitcall.application.effects import TransitionEffects
from waitcall.application.explanation import (
    Explanation,
    Subject,
    Undone,
    asked_by,
    canonical_address,
    canonical_subject,
    check_reason,
    not_allowed,
    refusals,
)
from waitcall.application.observer import Observer
from waitcall.application.ports import Clock, ConversionCounts, Limits, Lists, Stored, VerificationStore
from waitcall.application.records import Records
from waitcall.domain.channel import Assurance, assurance_of_call
from waitcall.domain.conversion import Conversion, judge
from waitcall.domain.errors import NotFound, ValidationFailed
from waitcall.domain.limits import LimitCheck, Scope
from waitcall.domain.lists import Directory, ListAction, ListEntry, ListKind, canonical
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

LONGEST_EXPIRES_IN = 366 * 86400
"""Longest life of a list entry, in seconds. An entry for longer belongs in the policy file, where it is reviewed."""

_EVERYBODYS = (Scope.COUNTRY, Scope.GLOBAL, Scope.CODE_GLOBAL)


class Operator:
    """The use cases of ``/v1/operator`` and of the command line.

    Every method takes the operator's name and writes an audit entry before it acts; if that fails, it does not act. Every
    method may raise StoreUnavailable.
    """

    def __init__(  # noqa: PLR0913  one parameter per port; the composition root names them all
        self,
        *,
        store: VerificationStore,
        admission: AdmissionControl,
        limits: Limits,
        conversions: ConversionCounts,
        lists: Lists,
        audit: AuditLog,
        observer: Observer,
        effects: TransitionEffects,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._store = store
        self._records = Records(store, observer, effects)
        self._admission = admission
        self._limits = limits
        self._conversions = conversions
        self._lists = lists
        self._audit = audit
        self._clock = clock
        self._policy = policy

    def explain(self, operator: str, subject: Subject, purpose: str | None = None) -> Explanation:
        """Explain why the next create for the subject would be refused, without counting anything.

        ``purpose``: name of the purpose of that create; None for any.

        Raises:
            ValidationFailed, InvalidPhoneNumber: the subject or the purpose is wrong.
        """
        now = self._clock()
        number, subject = self._read(subject)
        asked = self._purpose(purpose)
        self._write(operator, "explain", subject, number, now=now)
        latest = self._latest(number)
        limit_checks = self._spendings(number, subject, latest)
        limit_checks += [self._admission.applicable.of_provider(number)] if number else []
        limits = self._limits.look(limit_checks, now)
        lists = self._admission.matches(number, subject.client_ip, now)
        conversions = self._judged(number, now)
        record = latest.at(now) if latest else None
        busy_until = record.busy_until(now) if record else None
        assurance = self._assurance(asked, number) if number else None
        disallowed = not_allowed(asked, number, assurance) if asked and number and assurance else ()
        return Explanation(
            number=number,
            assurance=assurance,
            refusals=(*disallowed, *refusals(asked_by(asked, limits), lists, conversions, busy_until, now)),
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
        details = {"reason": check_reason(reason)}
        details |= {"scope": scope.value} if scope else {}
        details |= {"verification": "cancel"} if verification else {}
        details |= {"conversion": "clear"} if conversion else {}
        self._write(operator, "unblock", subject, number, now=now, details=details)
        limit_checks = [
            each
            for each in self._spendings(number, subject, self._latest(number))
            # Limits that a whole country or all users share are reset only if the operator names their scope.
            if (each.scope is scope if scope else each.scope not in _EVERYBODYS)
        ]
        self._limits.clear(limit_checks)
        if number is not None and scope in (None, Scope.NUMBER):
            self._limits.clear(self._admission.applicable.of_clients(number))
        scopes = tuple(dict.fromkeys(each.scope for each in limit_checks))
        if scope is not None:
            return Undone(scopes, (), 0, verification_canceled=False)
        removed = self._take_out(number, subject.client_ip, now)
        cleared = self._forget_conversions(number) if conversion and number else 0
        canceled = bool(verification and number and self._cancel(number, now))
        return Undone(scopes, removed, cleared, verification_canceled=canceled)

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
        self._lists.remove(kind, text)

    def lists(self, operator: str) -> list[ListEntry]:
        """Return every entry in force, those of the policy file first."""
        now = self._clock()
        self._audit.append(AuditEntry(now, "lists", f"operator:{operator}"))
        both = (Directory(self._policy.lists), self._lists.directory())
        return [entry for each in both for entry in each.entries.values() if entry.is_live(now)]

    def exported(self, operator: str, phone_number: str | None) -> None:
        """Write the audit entry for an export of the audit stream.

        ``phone_number``: E.164, if only the entries of this number are exported; None for all.
        """
        self._audit.append(AuditEntry(self._clock(), "export", f"operator:{operator}", phone_number))

    def _read(self, subject: Subject) -> tuple[E164 | None, Subject]:
        if not (subject.phone_number or subject.client_ip or subject.client):
            raise ValidationFailed.of("body", "Name a phone_number, a client_ip or a client.")
        if subject.client is not None and subject.client not in self._policy.clients:
            raise ValidationFailed.of("client", "Not a configured client.")
        address = canonical_address(subject.client_ip) if subject.client_ip else None
        number = E164.parse(subject.phone_number) if subject.phone_number else None
        return number, replace(subject, client_ip=address)

    def _purpose(self, name: str | None) -> Purpose | None:
        if name is not None and name not in self._policy.purposes:
            raise ValidationFailed.of("purpose", "Not a configured purpose.")
        return self._policy.purposes[name] if name is not None else None

    def _latest(self, number: E164 | None) -> Verification | None:
        stored = self._store.latest_of(number.value) if number else None
        return stored.verification if stored else None

    def _spendings(
        self, number: E164 | None, subject: Subject, latest: Verification | None
    ) -> list[LimitCheck]:
        return self._admission.applicable.of_subject(number, subject.client_ip, subject.client, latest)

    def _assurance(self, asked: Purpose | None, number: E164) -> Assurance:
        # The assurance of a create that names no channel; without a purpose, the assurance of a call.
        if asked is None:
            return assurance_of_call(number.region, self._policy.assurance)
        return asked.assurance(asked.channels[0], number.region, self._policy.assurance)

    def _judged(self, number: E164 | None, now: datetime) -> list[Conversion]:
        if number is None:
            return []
        return [
            judge(budget, self._conversions.buckets(budget, budget.subject(number, number.region)), now)
            for budget in self._policy.conversion
        ]

    def _take_out(self, number: E164 | None, client_ip: str | None, now: datetime) -> tuple[ListEntry, ...]:
        directory = self._lists.directory()
        named = directory.naming_number(number, now) if number else []
        named += directory.naming_address(client_ip, now) if client_ip else []
        exact = {(ListKind.NUMBER, number.value)} if number else set()
        exact |= {(ListKind.NETWORK, canonical(ListKind.NETWORK, client_ip))} if client_ip else set()
        # A wider block was made for more than this subject, so it stays. `explain` shows it.
        blocks = [e for e in named if e.action is ListAction.BLOCK and (e.kind, e.subject) in exact]
        return tuple(entry for entry in blocks if self._lists.remove(entry.kind, entry.subject))

    def _forget_conversions(self, number: E164) -> int:
        for budget in self._policy.conversion:
            self._conversions.clear(budget, budget.subject(number, number.region))
        return len(self._policy.conversion)

    def _cancel(self, number: E164, now: datetime) -> bool:
        stored: Stored | None = self._store.latest_of(number.value)
        if stored is None or stored.verification.at(now).status not in (Status.PENDING, Status.CONTESTED):
            return False
        canceled = self._records.changed(stored, lambda record: record.cancel(now, Reason.BY_OPERATOR), now)
        return canceled.reason is Reason.BY_OPERATOR

    def _write(  # noqa: PLR0913  one parameter per part of the entry
        self,
        operator: str,
        event: str,
        subject: Subject,
        number: E164 | None,
        *,
        now: datetime,
        details: dict[str, str] | None = None,
    ) -> None:
        named = {"client": subject.client} if subject.client else {}
        named |= {"client_ip": "given"} if subject.client_ip else {}
        entry = AuditEntry(
            now,
            event,
            f"operator:{operator}",
            phone_number=number.value if number else None,
            details=named | (details or {}),
        )
        self._audit.append(entry)

    def _write_entry(self, operator: str, event: str, entry: ListEntry, now: datetime, reason: str) -> None:
        details = {"kind": entry.kind.value, "reason": reason}
        if entry.kind is not ListKind.NUMBER:
            details["subject"] = entry.subject
        if entry.expires_at is not None:
            details["expires_at"] = entry.expires_at.isoformat()
        number = entry.subject if entry.kind is ListKind.NUMBER else None
        written = AuditEntry(now, event, f"operator:{operator}", phone_number=number, details=details)
        self._audit.append(written)
