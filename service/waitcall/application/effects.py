"""Effects of a transition: the audit entry, the event to announce, the counters.

On a single server the store writes them together with the record; on a cluster it writes them right after it
(docs/adr/0021). If the effects are lost, the change stays: the loss is counted under ``redis_errors_total``, the log has
the same event, and the sweep announces the event later.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from waitcall.application.request_context import request_id
from waitcall.domain.channel import Channel, Provider
from waitcall.domain.conversion import ConversionBudget
from waitcall.domain.event import Event, events_of
from waitcall.domain.limits import LimitCheck, Scope
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy
from waitcall.domain.status import FINISHED, Reason, Status
from waitcall.domain.verification import Verification

REMEMBERED_SECONDS = 3600
"""Time after the last sweep of a record during which its event is remembered as announced."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event to be delivered to one endpoint.

    Attributes:
        event_id: the event's id; every attempt, endpoint and duplicate carries the same one.
        endpoint: the endpoint's name, ``CLIENT/NAME``.
        body: the JSON payload, with the same bytes at each attempt. It contains no phone number.
        attempt: number of attempts made so far.
    """

    event_id: str
    endpoint: str
    body: str
    attempt: int = 0

    def __repr__(self) -> str:
        return f"Delivery({self.event_id}, {self.endpoint}, {self.attempt})"


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event for all endpoints that subscribe to it.

    Attributes:
        event_id: the event's id.
        deliveries: one delivery for each endpoint.
        keep_seconds: time for which the event is remembered as announced.
    """

    event_id: str
    deliveries: tuple[Delivery, ...]
    keep_seconds: int


def body_of(event: Event) -> str:
    """Return the JSON payload of an event. It is short: the endpoint reads the rest by the verification's id."""
    record = event.verification
    document = {
        "type": event.type.value,
        "timestamp": event.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "data": {
            "id": record.id,
            "status": event.type.status.value,
            "reason": event.reason.value if event.reason else None,
            "purpose": record.requester.purpose,
            "reference": record.requester.reference,
        }
        | ({"test": True} if record.test else {}),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def announcement_of(event: Event, policy: Policy, now: datetime) -> Announcement | None:
    """Return the announcement of an event for the endpoints that the policy names; None if none subscribes to it."""
    record = event.verification
    client = policy.clients.get(record.requester.client)
    names = [each.name for each in (client.webhooks if client else ()) if event.type in each.events]
    if not names:
        return None
    body = body_of(event)
    deliveries = tuple(Delivery(event.id, name, body) for name in names)
    # The last sweep of a record comes when its window has ended, or its result if there is one.
    last = max(record.result_until or record.expires_at, record.expires_at, event.at)
    keep_seconds = int((last - now).total_seconds()) + REMEMBERED_SECONDS
    return Announcement(event.id, deliveries, max(keep_seconds, REMEMBERED_SECONDS))


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry of the audit stream.

    Attributes:
        at: time of the event, UTC.
        event: a status that a verification reached, a step on the way such as ``started``, or an operator's act.
        actor: who caused it: ``client:NAME``, ``provider``, ``time``, ``another requester``, ``operator`` or
            ``operator:NAME``; ``policy`` for the fixed outcome of a test number.
        phone_number: the number in E.164. The stream keeps only a keyed hash of it.
        verification_id: the verification's id. The stream keeps only a keyed hash of it.
        details: further words, without personal data; ``reason`` is the reason that an operator gave.
    """

    at: datetime
    event: str
    actor: str
    phone_number: str | None = field(default=None, repr=False)
    verification_id: str | None = field(default=None, repr=False)
    details: Mapping[str, str] | None = field(default=None, repr=False)


_LATE = (Reason.LATE_CALL, Reason.LATE_TEXT)
_DIGITS = re.compile(r"[0-9]{7}")


@dataclass(frozen=True, slots=True)
class ConversionCount:
    """A count for the conversion guard: a verification of this group was shown a number to call, or was called.

    Attributes:
        budget: the guard's rule.
        subject: the group that is counted: a country or a prefix.
        shown_at: when the number was shown (UTC). A call is counted at this time too.
        called: True if the number was called, False if it was shown.
    """

    budget: ConversionBudget
    subject: str = field(repr=False)
    shown_at: datetime
    called: bool


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything that is written together with a change of a record.

    Attributes:
        entries: audit entries, each with the event to announce, or None.
        conversions: counts for the conversion guard.
        due: when the sweep must look at the record (UTC). None keeps the time that is already planned.
        freed: limits that must stop counting the record.
        shown: one of our own numbers that the change shows, and the time (UTC) until which its subscriber is not shown it again.
    """

    entries: tuple[tuple[AuditEntry, Announcement | None], ...] = ()
    conversions: tuple[ConversionCount, ...] = ()
    due: datetime | None = None
    freed: tuple[LimitCheck, ...] = ()
    shown: tuple[E164, datetime] | None = None


NO_EFFECTS = Effects()

LOOKED_AFTER = timedelta(seconds=5)
"""The sweep looks at a verified record after this time, and announces its event if that was not done yet."""


class TransitionEffects:
    """Computes the effects of each transition."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._listening = {name for name, client in policy.clients.items() if client.webhooks}

    def started(self, record: Verification, now: datetime) -> Effects:
        """Return the effects of opening a record's window, when its client can show the person what to do."""
        entries = [self._entry("started", f"client:{record.requester.client}", record, now)]
        if record.code is not None:
            entries.append(self._of_code("code_sent", record, now))
        if record.status is Status.CONTESTED:
            entries.append(self._contested(record, now))
        # The fixed outcome of a test number may come before the sweep that is planned already.
        due = record.outcome_at
        return Effects(
            tuple(entries), self._conversions(record, called=False), due, shown=self._shown(record, now)
        )

    def changed(self, before: Verification, after: Verification, now: datetime) -> Effects:
        """Return the effects of a change from ``before`` to ``after``. A change that is not audited has none."""
        if after.status in FINISHED and before.status not in FINISHED:
            entry = self._entry(after.status, _who_finished(after), after, now)
            return Effects((entry,), freed=self._freed(after))
        if after.verified_at is not None and before.verified_at is None:
            by_code = after.reason is Reason.CODE_MATCHED
            actor = f"client:{after.requester.client}" if by_code else _provider(after)
            entry = self._entry(Status.VERIFIED, actor, after, now)
            # The sweep comes soon, so that the event is announced soon even if this process dies first. It then plans
            # its next look itself.
            due = min(now + LOOKED_AFTER, after.result_until or now)
            conversions = () if after.called_at else self._conversions(after, called=True)
            return Effects((entry,), conversions, due)
        if after.status is Status.CONTESTED and before.status is not Status.CONTESTED:
            return Effects((self._contested(after, now),))
        return self._on_the_way(before, after, now)

    def _freed(self, record: Verification) -> tuple[LimitCheck, ...]:
        """Return the limits that stop counting a record that has ended.

        Anyone can start verifications of a stranger's number and cancel or abandon them. So the number's total limit
        counts only those that its holder answered.
        """
        if record.verified_at or record.called_at or record.reason in _LATE or record.test:
            return ()
        number = record.phone_number.subscriber
        totals = self._policy.limits_of(Scope.NUMBER_TOTAL, "")
        return tuple(LimitCheck(Scope.NUMBER_TOTAL, number, limit) for limit in totals)

    def _on_the_way(self, before: Verification, after: Verification, now: datetime) -> Effects:
        entries: list[tuple[AuditEntry, Announcement | None]] = []
        conversions: tuple[ConversionCount, ...] = ()
        if after.called_at is not None and before.called_at is None:
            entries.append(self._entry("first_step", _provider(after), after, now))
            conversions = self._conversions(after, called=True)
        elif after.channel is not before.channel:
            entries.append(self._entry("fallback", f"client:{after.requester.client}", after, now))
        code, earlier = after.code, before.code
        if code is not None and (earlier is None or len(code.digests) > len(earlier.digests)):
            entries.append(self._of_code("code_sent", after, now))
        if code is not None and code.refused and not (earlier and earlier.refused):
            entries.append(self._of_code("code_refused", after, now))
        # The sweep needs no new time: it comes at the end of the earlier window and plans its next look itself. Only a
        # fixed outcome may come earlier.
        shown = self._shown(after, now) if after.call_number != before.call_number else None
        return Effects(tuple(entries), conversions, after.outcome_at if entries else None, shown=shown)

    def _shown(self, record: Verification, now: datetime) -> tuple[E164, datetime] | None:
        if record.provider is not Provider.OWN or record.call_number is None:
            return None
        return record.call_number, now + timedelta(seconds=self._policy.own_numbers.cooldown_seconds)

    def _of_code(
        self, event: str, record: Verification, now: datetime
    ) -> tuple[AuditEntry, Announcement | None]:
        if record.test is not None:
            # No message has this id, so the provider's reports must not be compared with it.
            return self._entry("test_code", f"client:{record.requester.client}", record, now)
        entry, told = self._entry(event, f"client:{record.requester.client}", record, now)
        # The provider's reports name a message by this id.
        message_id = str(record.code.message_id) if record.code else ""
        return replace(entry, details=dict(entry.details or {}) | {"message_id": message_id}), told

    def _contested(self, record: Verification, now: datetime) -> tuple[AuditEntry, Announcement | None]:
        actor = "policy" if record.test and record.test.status is Status.CONTESTED else "another requester"
        return self._entry(Status.CONTESTED, actor, record, now)

    def _conversions(self, record: Verification, *, called: bool) -> tuple[ConversionCount, ...]:
        if record.test is not None:
            return ()
        return tuple(
            ConversionCount(
                budget, budget.subject(record.phone_number, record.region), record.created_at, called
            )
            for budget in self._policy.conversion
        )

    def _entry(
        self, event: str, actor: str, record: Verification, now: datetime
    ) -> tuple[AuditEntry, Announcement | None]:
        details = {
            "client": record.requester.client,
            "purpose": record.requester.purpose,
            "region": record.region,
            "assurance": record.assurance.value,
        }
        if record.test is not None:
            details["test"] = "true"
        if record.provider is Provider.OWN:
            details["provider"] = record.provider.value
        if record.attestation is not None:
            details["attestation"] = record.attestation.value
        if record.channel is not Channel.CALL:
            details["channel"] = record.channel.value
        if record.reason is not None:
            details["reason"] = record.reason.value
        current = request_id.get()
        # The caller chooses this id, so it may contain a phone number.
        if current and not _DIGITS.search(current):
            details["request_id"] = current
        entry = AuditEntry(
            now,
            str(event),
            actor,
            phone_number=record.phone_number.value,
            verification_id=record.id,
            details=details,
        )
        if record.requester.client not in self._listening:
            return entry, None
        told = [each for each in events_of(record, now) if each.type.status == event]
        return entry, announcement_of(told[0], self._policy, now) if told else None


def _provider(record: Verification) -> str:
    """Return who causes what the provider causes for ordinary numbers."""
    return "policy" if record.test is not None else "provider"


def _who_finished(record: Verification) -> str:
    client = f"client:{record.requester.client}"
    if record.reason is Reason.ATTEMPTS_SPENT:
        return client
    return {
        Status.CONSUMED: client,
        Status.CANCELED: "operator" if record.reason is Reason.BY_OPERATOR else client,
        Status.FAILED: _provider(record),
    }.get(record.status, "provider" if record.reason in _LATE else "time")
