"""Ports of the store in memory. The contract suite holds them to the same as Redis."""

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

from waitcall.application.deliver_webhooks import DeliveryBacklog, Taken
from waitcall.application.effects import (
    NO_EFFECTS,
    Announcement,
    AuditEntry,
    ConversionCount,
    Delivery,
    Effects,
)
from waitcall.application.ports import Answer, Begun, Change, Claim, CreationContext, Reservation, Stored
from waitcall.domain.channel import ProviderOrder
from waitcall.domain.conversion import Bucket, ConversionBudget, Group
from waitcall.domain.errors import IdempotencyInFlight, IdempotencyKeyReused
from waitcall.domain.limits import LimitCheck, LimitResult, LimitState, Mode, Scope
from waitcall.domain.lists import Directory, ListEntry, ListKind
from waitcall.domain.matching import InboundCall, skeleton
from waitcall.domain.numbers import E164, subscriber_of
from waitcall.domain.verification import Verification


class MemoryStore:
    """VerificationStore and ChangeNotifier."""

    def __init__(
        self,
        limits: "MemoryLimits",
        conversions: "MemoryConversionCounts",
        lists: "MemoryLists",
        audit: "MemoryAuditLog",
    ) -> None:
        self._limits, self._conversions, self._lists, self._audit = limits, conversions, lists, audit
        self.numbers = MemoryNumberPool()
        self.deadlines, self.used_calls = MemoryDeadlines(), MemoryUsedCalls()
        self._changed = threading.Condition()
        self._records: dict[str, Stored] = {}
        self._latest: dict[str, str] = {}
        self._versions = count(1)

    def new_id(self, number: E164) -> str:
        return f"ver_{hashlib.sha256(number.subscriber.encode()).hexdigest()[:24]}{secrets.token_hex(20)}"

    def get(self, verification_id: str) -> Stored | None:
        with self._changed:
            return self._records.get(verification_id)

    def get_many(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        return [self.get(each) for each in verification_ids]

    def get_with_lists(self, verification_id: str) -> tuple[Stored | None, Directory]:
        return self.get(verification_id), self._lists.directory()

    def latest_of(self, number: str) -> Stored | None:
        with self._changed:
            return self._records.get(self._latest.get(subscriber_of(number), ""))

    def latest_at(self, place: str) -> Stored | None:
        with self._changed:
            found = [each for each in self._latest.values() if each.removeprefix("ver_").startswith(place)]
            return self._records.get(found[0]) if found else None

    def creation_context(
        self, number: str, groups: Sequence[tuple[ConversionBudget, str]] = ()
    ) -> CreationContext:
        buckets = tuple(self._conversions.buckets(*each) for each in groups)
        return CreationContext(self.latest_of(number), self._lists.directory(), buckets)

    def reserve(
        self,
        verification: Verification,
        over: Stored | None,
        now: datetime,
        limit_checks: Sequence[LimitCheck] = (),
    ) -> Reservation | None:
        with self._changed:
            number = verification.phone_number.subscriber
            if self._latest.get(number) != (over.verification.id if over else None):
                return None
            self._latest[number] = verification.id
            self.deadlines.schedule(verification.id, verification.expires_at)
            stored = self._store(verification)
        return Reservation(stored, self._limits.take(limit_checks, verification.id, now))

    def release(self, stored: Stored, over: Stored | None, now: datetime) -> None:
        with self._changed:
            record = stored.verification
            self._records.pop(record.id, None)
            number = record.phone_number.subscriber
            if self._latest.get(number) == record.id:
                del self._latest[number]
                if over is not None:
                    self._latest[number] = over.verification.id

    def commit(self, change: Change, now: datetime, effects: Effects = NO_EFFECTS) -> Stored | None:
        with self._changed:
            after = change.after
            if self._records.get(after.id) != change.before:
                return None
            if change.holding and self._latest.get(after.phone_number.subscriber) != after.id:
                return None
            self._write(after, effects)
            return self._store(after)

    def _write(self, verification: Verification | None, effects: Effects) -> None:
        for entry, announcement in effects.entries:
            self._audit.append(entry)
            if announcement is not None and entry.phone_number is not None:
                self._audit.outbox.announce(entry.phone_number, announcement)
        for each in effects.conversions:
            self._conversions.count(each)
        if verification is not None:
            self._limits.give_back(effects.freed, verification.id)
        if verification is not None and effects.due is not None:
            self.deadlines.schedule(verification.id, effects.due)
        if verification is not None and effects.shown is not None:
            self.numbers.remember(verification.phone_number, *effects.shown)

    def confirm(self, stored: Stored, now: datetime) -> bool:
        return self._records.get(stored.verification.id) == stored

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: Change | None,
        now: datetime,
        effects: Effects = NO_EFFECTS,
    ) -> Claim:
        with self._changed:
            used = (subscriber_of(call.cli), call.fingerprint or call.at)
            number, is_weak = subscriber_of(call.cli), call.id is not None and not call.is_vouched_for
            if used in self.used_calls.calls and (
                is_weak or change is None or self.used_calls.calls[used] != change.after.id
            ):
                return Claim.REPEATED
            if change is not None:
                if self._records.get(change.after.id) != change.before:
                    return Claim.CONFLICT
                self._store(change.after)
            self._write(change.after if change else None, effects)
            self.used_calls.calls[used] = self._latest.get(number) if is_weak else None
            return Claim.DONE

    def wait_for_change(self, stored: Stored, seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._records.get(stored.verification.id) != stored, timeout=seconds
            )
        return True

    def _store(self, verification: Verification) -> Stored:
        stored = Stored(verification, str(next(self._versions)).encode())
        self._records[verification.id] = stored
        self._changed.notify_all()
        return stored


class MemoryUsedCalls:
    def __init__(self) -> None:
        self.calls: dict[tuple[str, str | datetime], str | None] = {}
        """Used calls, each with the verification for which a stronger report may use it again."""
        self._texts: set[tuple[str, str]] = set()

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        for cli, at in list(self.calls):
            if isinstance(at, datetime) and cli == subscriber_of(call.cli) and abs(at - call.at) <= within:
                return replace(call, at=at)
        return None

    def is_used(self, call: InboundCall) -> bool:
        return (subscriber_of(call.cli), call.fingerprint or call.at) in self.calls

    def remember_text(self, number: str, text: str, until: datetime, now: datetime) -> None:
        if until > now:
            self._texts.add((subscriber_of(number), skeleton(text)))

    def was_texted_by(self, number: str, text: str | None = None) -> bool:
        number = subscriber_of(number)
        if text is not None:
            return (number, skeleton(text)) in self._texts
        return any(each == number for each, _ in self._texts)


class MemoryDeadlines:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, datetime] = {}

    def schedule(self, verification_id: str, at: datetime) -> None:
        with self._lock:
            self._due[verification_id] = at

    def due(self, now: datetime) -> list[str]:
        with self._lock:
            return [each for each, at in self._due.items() if at <= now]

    def is_busy(self) -> bool:
        return bool(self._due)

    def postpone(self, deadlines: Mapping[str, datetime | None], seen_at: datetime) -> None:
        with self._lock:
            for verification_id, at in deadlines.items():
                if self._due.get(verification_id, seen_at) > seen_at:
                    continue
                self._due.pop(verification_id, None)
                if at is not None:
                    self._due[verification_id] = at


class MemoryProbe:
    def ping(self) -> None:
        pass


class MemoryLimits:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: dict[LimitCheck, dict[str, datetime]] = {}
        """Uses of each limit check, which carries a seal."""
        self._tokens = count(1)

    def seal(self, scope: Scope, subject: str) -> str:
        return hashlib.sha256(f"{scope} {subject}".encode()).hexdigest()[:24]

    def _sealed(self, limit_checks: Sequence[LimitCheck]) -> list[LimitCheck]:
        return [replace(e, subject="", seal=e.seal or self.seal(e.scope, e.subject)) for e in limit_checks]

    def take(self, limit_checks: Sequence[LimitCheck], token: str | None, now: datetime) -> LimitResult:
        named = token or f"own-{next(self._tokens)}"
        limit_checks = self._sealed(limit_checks)
        with self._lock:
            full = [each for each in limit_checks if self._state(each, now).remaining == 0]
            full = [each for each in full if named not in self._uses[each]]
            refusing = next((each for each in full if each.limit.mode is Mode.ENFORCE), None)
            asked = limit_checks[: limit_checks.index(refusing) + 1] if refusing else limit_checks
            if refusing is None:
                for each in limit_checks:
                    if each not in full:
                        self._uses[each].setdefault(named, now)
            states = {each: self._state(each, now) for each in asked}
            return LimitResult(tuple(states.values()), tuple(states[each] for each in asked if each in full))

    def give_back(self, limit_checks: Sequence[LimitCheck], token: str) -> None:
        with self._lock:
            for limit_check in self._sealed(limit_checks):
                self._uses.get(limit_check, {}).pop(token, None)

    def look(self, limit_checks: Sequence[LimitCheck], now: datetime) -> list[LimitState]:
        with self._lock:
            return [self._state(each, now) for each in self._sealed(limit_checks)]

    def clear(self, limit_checks: Sequence[LimitCheck]) -> None:
        with self._lock:
            for limit_check in self._sealed(limit_checks):
                self._uses.pop(limit_check, None)

    def _state(self, limit_check: LimitCheck, now: datetime) -> LimitState:
        period, uses = limit_check.limit.period_seconds, self._uses.setdefault(limit_check, {})
        for used, at in list(uses.items()):
            if (now - at).total_seconds() >= period:
                del uses[used]
        oldest = min(uses.values(), default=None)
        left = 0 if oldest is None else max(-int(-(period - (now - oldest).total_seconds()) // 1), 1)
        reset = min(left, period)
        return LimitState(limit_check.scope, limit_check.limit, len(uses), reset)


class MemoryConversionCounts:
    def __init__(self) -> None:
        self._counts: Counter[tuple[Group, str, int, str]] = Counter()

    def count(self, tally: ConversionCount) -> None:
        what = "called" if tally.called else "started"
        self._counts[tally.budget.group, tally.subject, tally.budget.bucket_of(tally.shown_at), what] += 1

    def buckets(self, budget: ConversionBudget, subject: str) -> list[Bucket]:
        starts = {start for group, each, start, _ in self._counts if (group, each) == (budget.group, subject)}
        return [
            Bucket(
                start,
                self._counts[budget.group, subject, start, "started"],
                self._counts[budget.group, subject, start, "called"],
            )
            for start in starts
        ]

    def clear(self, budget: ConversionBudget, subject: str) -> None:
        for key in [key for key in self._counts if key[:2] == (budget.group, subject)]:
            del self._counts[key]


class MemoryLists:
    def __init__(self) -> None:
        self._entries: dict[tuple[ListKind, str], ListEntry] = {}

    def directory(self) -> Directory:
        return Directory(self._entries.values())

    def put(self, entry: ListEntry, now: datetime) -> None:
        self._entries[entry.kind, entry.subject] = entry

    def remove(self, kind: ListKind, subject: str) -> bool:
        return self._entries.pop((kind, subject), None) is not None


class MemoryAuditLog:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.outbox = MemoryOutbox()

    def append(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    def read(
        self, since: datetime, until: datetime, number: str | None = None
    ) -> Iterator[Mapping[str, str]]:
        for entry in self.entries:
            named = entry.phone_number and subscriber_of(entry.phone_number)
            if since <= entry.at <= until and (number is None or subscriber_of(number) == named):
                yield {
                    "at": entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    "event": entry.event,
                    "actor": entry.actor,
                    **(entry.details or {}),
                }


class MemoryOutbox:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._announced: set[str] = set()
        self._ids = count(1)
        self._waiting: list[Delivery] = []
        self._taken: dict[tuple[str, str], Delivery] = {}
        self._retries: list[tuple[datetime, Delivery]] = []
        self._dead: dict[tuple[str, str], Delivery] = {}

    def announce(self, number: str, announcement: Announcement) -> None:
        with self._lock:
            if announcement.event_id not in self._announced:
                self._announced.add(announcement.event_id)
                self._waiting += announcement.deliveries

    def take(self, consumer: str, most: int) -> list[Taken]:
        with self._lock:
            chosen, self._waiting = self._waiting[:most], self._waiting[most:]
            taken = [Taken(each, (consumer, str(next(self._ids)))) for each in chosen]
            self._taken |= {each.receipt: each.delivery for each in taken}
            return taken

    def arrived(self, taken: Taken) -> None:
        with self._lock:
            self._taken.pop(taken.receipt, None)

    def defer(self, taken: Taken, delivery: Delivery, until: datetime) -> None:
        with self._lock:
            if self._taken.pop(taken.receipt, None):
                self._retries.append((until, delivery))

    def bury(self, taken: Taken, delivery: Delivery) -> None:
        with self._lock:
            if self._taken.pop(taken.receipt, None):
                self._dead[delivery.event_id, delivery.endpoint] = delivery

    def wake(self, now: datetime) -> int:
        with self._lock:
            due = [each for until, each in self._retries if until <= now]
            self._retries = [each for each in self._retries if each[0] > now]
            self._waiting += due
            return len(due)

    def backlog(self) -> DeliveryBacklog:
        # This fake does not record when a delivery began to wait.
        return DeliveryBacklog(
            len(self._waiting) + len(self._taken), len(self._retries), len(self._dead), None
        )

    def dead(self) -> Iterator[Delivery]:
        yield from list(self._dead.values())

    def replay(self, event_id: str, endpoint: str) -> bool:
        with self._lock:
            letter = self._dead.pop((event_id, endpoint), None)
            self._waiting += [replace(letter, attempt=0)] if letter else []
            return letter is not None


class MemoryIdempotency:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[bytes, Answer | None]] = {}

    def begin(self, client: str, route: str, key: str, request: bytes) -> Begun | Answer:
        name = f"{client} {route} {key}"
        with self._lock:
            if name not in self._kept:
                self._kept[name] = (request, None)
                return Begun(name, request, "")
            known, answer = self._kept[name]
            if known != request:
                raise IdempotencyKeyReused
            if answer is None:
                raise IdempotencyInFlight(retry_after=1)
            return answer

    def complete(self, begun: Begun, answer: Answer, keep_seconds: int) -> None:
        with self._lock:
            self._kept[begun.key] = (begun.version, answer)

    def abandon(self, begun: Begun) -> None:
        with self._lock:
            self._kept.pop(begun.key, None)


class MemoryOrders:
    def __init__(self) -> None:
        self._known: dict[ProviderOrder, str] = {}
        self._ask: dict[ProviderOrder, datetime] = {}

    def remember(self, order: ProviderOrder, verification_id: str, ask_at: datetime, now: datetime) -> None:
        self._known[order] = verification_id
        self._ask[order] = ask_at

    def verification_of(self, order: ProviderOrder) -> str | None:
        return self._known.get(order)

    def to_ask(self, provider: str, now: datetime) -> list[ProviderOrder]:
        due = [order for order, at in self._ask.items() if order.provider == provider and at <= now]
        return sorted(due, key=lambda order: self._ask[order])

    def ask_again(self, order: ProviderOrder, at: datetime) -> None:
        if order in self._ask:
            self._ask[order] = at

    def settle(self, order: ProviderOrder) -> None:
        self._ask.pop(order, None)


class MemoryNumberPool:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: dict[tuple[str, str], datetime] = {}

    def remember(self, subscriber: E164, number: E164, until: datetime) -> None:
        with self._lock:
            self._shown[subscriber.subscriber, number.value] = until

    def shown(self, subscriber: E164, now: datetime) -> Mapping[E164, datetime]:
        with self._lock:
            taken = {number: at for (who, number), at in self._shown.items() if who == subscriber.subscriber}
            return {E164(number): at for number, at in taken.items() if at > now}
