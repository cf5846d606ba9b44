"""Repository of the records in Redis, with their deadlines and the marks of used calls.

Every change of a record is a compare-and-set of the whole document.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from waitcall.adapters.redis.audit import RedisAuditLog
from waitcall.adapters.redis.codec import decode, encode, fresh_name
from waitcall.adapters.redis.connection import RETRY_AFTER_SECONDS, Connection
from waitcall.adapters.redis.keys import (
    DUE,
    ID_PREFIX_LENGTH,
    LISTS,
    Keys,
    due_key,
    keep_ms,
    milliseconds,
    tag_of,
)
from waitcall.adapters.redis.limits import RedisConversionCounts, RedisLimits
from waitcall.adapters.redis.lists import RedisLists
from waitcall.adapters.redis.script import Arg, Args, Script, Step
from waitcall.application.effects import NO_EFFECTS, Effects
from waitcall.application.ports import Change, Claim, CreationContext, Reservation, Stored
from waitcall.domain.conversion import ConversionBudget
from waitcall.domain.errors import RecordUnreadable, StoreUnavailable
from waitcall.domain.limits import LimitCheck
from waitcall.domain.lists import Directory
from waitcall.domain.matching import InboundCall
from waitcall.domain.numbers import E164, subscriber_of
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS
from waitcall.domain.status import FINISHED, Status
from waitcall.domain.verification import Verification

RETRY_UNREADABLE_SECONDS = 60
"""``retry_after`` for an unreadable record. During an upgrade, a replica with another version may be able to read it."""
_LONGEST_HELD_MS = LONGEST_WINDOW_SECONDS * 1000
_DEADLINES_KEPT_MS = 3 * 86_400_000
"""Time for which an idle set of deadlines is kept. It is longer than the farthest deadline, which is a day away (for a
result)."""
_MOST_DUE = 100

_LATEST, _SWAP, _SHORTEN = Script("latest"), Script("swap"), Script("shorten")
_RESERVE, _RELEASE = Script("reserve"), Script("release")
_REPLACE, _CLAIM = Script("replace"), Script("claim")
_SCHEDULE, _POSTPONE = Script("schedule"), Script("postpone")
_TEXTED = Script("texted")


class RedisVerificationStore:
    """VerificationStore over Redis."""

    def __init__(  # noqa: PLR0913  each is read or written together with a record
        self,
        connection: Connection,
        keys: Keys,
        *,
        limits: RedisLimits,
        conversions: RedisConversionCounts,
        lists: RedisLists,
        audit: RedisAuditLog,
    ) -> None:
        self._connection, self._keys = connection, keys
        self._limits, self._conversions, self._lists = limits, conversions, lists
        self._audit = audit

    def new_id(self, number: E164) -> str:
        """Return a fresh id that begins with the number's tag."""
        return self._keys.new_id(number.value)

    def get(self, verification_id: str) -> Stored | None:
        """Read and decode the record with one command."""
        if (key := self._keys.record(verification_id)) is None:
            return None
        with self._connection.using("get") as client:
            document = client.get(key)
        return self._stored(verification_id, document)

    def get_many(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        """Read all records in one round trip to each server."""
        known = {each: key for each in verification_ids if (key := self._keys.record(each)) is not None}
        documents = dict(zip(known, self._connection.read_all("get", list(known.values())), strict=True))
        found: list[Stored | Exception | None] = []
        for each in verification_ids:
            try:
                found.append(self._stored(each, documents.get(each)))
            except RecordUnreadable as error:
                found.append(error)
        return found

    def get_with_lists(self, verification_id: str) -> tuple[Stored | None, Directory]:
        """Read the record and the lists' ``rev`` in one round trip. A cluster needs two, to keep the order at two nodes."""
        key = self._keys.record(verification_id)
        if key is None or not self._connection.topology.one_server:
            return self.get(verification_id), self._lists.directory()
        with self._connection.using("get") as client:
            document, rev = client.pipeline(transaction=False).get(key).hget(LISTS, "rev").execute()
        return self._stored(verification_id, document), self._lists.directory_at(rev)

    def latest_of(self, number: str) -> Stored | None:
        """Look under every pepper and form of the number. Prefer a record that is not finished, then the newest."""
        return self._newest(number, *self._under(self._keys.tag(number), number))

    def latest_at(self, place: str) -> Stored | None:
        """Look under the tag ``place``, whichever pepper made it."""
        latest, document = self._connection.run("latest_of", Step(_LATEST, *_asked(self._keys, place)))
        return self._stored(latest.decode(errors="replace"), document or None)

    def creation_context(
        self, number: str, groups: Sequence[tuple[ConversionBudget, str]] = ()
    ) -> CreationContext:
        """Read all in one round trip. A second pepper, and lists that have changed, need further ones."""
        buckets = [self._keys.conversion(*group) for group in groups]
        keys, args = _asked(self._keys, self._keys.tag(number))
        with self._connection.using("survey") as client:
            pipeline = client.pipeline(transaction=False)
            # The server may not know the script's hash, so send its text, which is small.
            _LATEST.queue(pipeline, keys, args, **self._connection.topology.route(client, keys[0]))
            pipeline.hget(LISTS, "rev")
            for key in buckets:
                pipeline.hgetall(key)
            latest, rev, *counted = pipeline.execute()
        return CreationContext(
            self._newest(number, *self._found(self._keys.tag(number), number, latest)),
            self._lists.directory_at(rev),
            tuple(map(self._conversions.read, buckets, counted)),
        )

    def reserve(
        self,
        verification: Verification,
        over: Stored | None,
        now: datetime,
        limit_checks: Sequence[LimitCheck] = (),
    ) -> Reservation | None:
        """Reserve and count with one script, on a single server with one pepper. Else count the limits afterwards."""
        document, keys = encode(verification), [*reversed(self._places(verification))]
        args: Args = [
            over.pointer if over else "",
            verification.id,
            document,
            keep_ms(verification.purge_at, now),
        ]
        steps = [_deadline(verification.id, verification.expires_at)]
        together = limit_checks and not self._keys.others and self._connection.topology.one_server
        if together:
            steps.append(self._limits.step(limit_checks, verification.id, now))
        answers = self._connection.run_with("reserve", Step(_RESERVE, keys, args), steps)
        if not answers[0]:
            return None
        stored = Stored(verification, document, verification.id)
        if self._is_taken_elsewhere(verification, over, now):
            self.release(stored, over, now)
            return None
        if not together or len(answers) == 1:
            # The other steps did not run, so this reservation is a repeat after a lost answer. Counting the id again is
            # safe, because it counts once.
            return Reservation(stored, self._limits.take(limit_checks, verification.id, now))
        if answers[-1] is None:
            raise StoreUnavailable(retry_after=RETRY_AFTER_SECONDS)
        return Reservation(stored, self._limits.result(limit_checks, answers[-1], now))

    def release(self, stored: Stored, over: Stored | None, now: datetime) -> None:
        """Delete the record and restore the pointer with one script."""
        before = (over.pointer, keep_ms(over.verification.purge_at, now)) if over else ("", 0)
        keys = [*reversed(self._places(stored.verification))]
        self._connection.run("release", Step(_RELEASE, keys, [stored.verification.id, *before]))

    def commit(
        self, change: Change, now: datetime, effects: Effects = NO_EFFECTS, *, replicated: bool = False
    ) -> Stored | None:
        """Store the change and its effects; on a single server with one script.

        ``replicated``: True to wait for replicas whatever the change is.
        """
        before, after = change.before, change.after
        document = encode(after)
        args: Args = [
            *(before.version, document, keep_ms(after.purge_at, now), after.id, int(change.holding)),
            # Requests wait only for changes of pending records (application/read.py).
            int(before.verification.status is Status.PENDING),
        ]
        # A shown number will be called, and a client acts on a consumed proof, so replicate both. If any other change is
        # lost, nothing is verified wrongly.
        replicated = replicated or change.holding or after.status is Status.CONSUMED
        step = Step(_REPLACE, self._places(after), args)
        done = self._run_with_effects("replace", step, effects, after.id, now, replicated=replicated)
        return Stored(after, document, before.pointer) if done else None

    def confirm(self, stored: Stored, now: datetime) -> bool:
        """Store the record once more, so that the WAIT that follows covers it."""
        if not self._connection.min_replicas:
            return True
        return self.commit(Change(stored, stored.verification), now, replicated=True) is not None

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: Change | None,
        now: datetime,
        effects: Effects = NO_EFFECTS,
    ) -> Claim:
        """Mark the call and store the change with one script. The mark's key has the record's tag, so they share a slot."""
        tags = self._keys.all_tags(call.cli)
        tag = tag_of(change.after.id) if change else tags[0]
        for other in set(tags) - {tag}:
            with self._connection.using("claim") as client:
                if client.exists(self._keys.call(other, call)):
                    return Claim.REPEATED
        places, named = [self._keys.latest(tag)] * 2, tag
        stored: list[Arg] = ["", "", 0, ""]
        if change is not None:
            after, named = change.after, change.after.id
            places = self._places(after)
            stored = [change.before.version, encode(after), keep_ms(after.purge_at, now), named]
        strength = "" if call.id is None else "full" if call.is_vouched_for else "weak"
        args: Args = [fresh_name(), keep_ms(keep_until, now), *stored, strength]
        step = Step(_CLAIM, [self._keys.call(tag, call), *places], args)
        answer = self._run_with_effects("claim", step, effects, named, now, replicated=True).decode()
        return Claim.DONE if answer == "again" else Claim(answer)

    def _run_with_effects(  # noqa: PLR0913  the step, its effects, and what they are written under
        self,
        operation: str,
        first: Step,
        effects: Effects,
        verification_id: str,
        now: datetime,
        *,
        replicated: bool,
    ) -> Any:
        """Run a step, and the steps that write its effects. Log the audit entries that were written."""
        steps = [self._audit.step(*each) for each in effects.entries]
        steps += [self._conversions.step(each) for each in effects.conversions]
        steps += self._limits.uncount(effects.freed, verification_id)
        if effects.due is not None:
            steps.append(_deadline(verification_id, effects.due))
        if effects.shown is not None:
            number, until = effects.shown
            args: Args = [milliseconds(until), number.value, keep_ms(until, now)]
            steps.append(Step(_SCHEDULE, [self._keys.shown(tag_of(verification_id))], args))
        answer, *written = self._connection.run_with(operation, first, steps, replicated=replicated)
        # The steps of the audit entries come first.
        for (entry, _), appended in zip(effects.entries, written, strict=False):
            if appended is not None:
                self._audit.tell(entry)
        return answer

    def _places(self, record: Verification) -> list[str]:
        """Return the keys of a record and of its number's pointer."""
        tag = tag_of(record.id)
        return [self._keys.records(tag) + record.id[ID_PREFIX_LENGTH:], self._keys.latest(tag)]

    def _is_taken_elsewhere(self, verification: Verification, over: Stored | None, now: datetime) -> bool:
        """Tell if another process has reserved the number under another pepper, or an earlier form of it, at the same time.

        Each process writes its own reservation before it looks for others, so at least one of two sees the other's.
        """
        for tag in self._keys.all_tags(verification.phone_number.value)[1:]:
            stored, _ = self._under(tag, verification.phone_number.value)
            known = over is not None and stored is not None and stored.verification.id == over.verification.id
            if stored and not known and stored.verification.at(now).is_live:
                return True
        return False

    def _newest(self, number: str, own: Stored | None, pointer: str) -> Stored | None:
        found = [own] + [self._under(tag, number)[0] for tag in self._keys.all_tags(number)[1:]]
        latest = max(
            (each for each in found if each is not None),
            key=lambda each: (each.verification.status not in FINISHED, each.verification.created_at),
            default=None,
        )
        return replace(latest, pointer=pointer) if latest else None

    def _under(self, tag: str, number: str) -> tuple[Stored | None, str]:
        """Return the number's latest record under one tag, and the id that the number points to there."""
        step = Step(_LATEST, *_asked(self._keys, tag))
        return self._found(tag, number, self._connection.run("latest_of", step))

    def _found(self, tag: str, number: str, answer: Sequence[bytes]) -> tuple[Stored | None, str]:
        latest, document = answer
        if not latest:
            return None, ""
        if not document:
            # Redis lost the record but not the pointer to it. Delete the pointer, so that the number is free again.
            swap = Step(_SWAP, [self._keys.latest(tag)], [latest, "", 0])
            self._connection.run("latest_of", swap)
            return None, ""
        pointer = latest.decode(errors="replace")
        try:
            stored = self._stored(pointer, document)
        except RecordUnreadable as error:
            # Let it hold its number for the longest window at most.
            shorten = Step(_SHORTEN, [self._keys.latest(tag)], [latest, _LONGEST_HELD_MS])
            left_ms = int(self._connection.run("latest_of", shorten))
            raise RecordUnreadable(retry_after=max(ceil(left_ms / 1000), 1)) from error
        # Two numbers with the same tag are next to impossible, but comparing is cheap and a wrong match would be serious.
        known = stored is not None and stored.verification.phone_number.subscriber == subscriber_of(number)
        return (stored if known else None), pointer

    def _stored(self, verification_id: str, document: bytes | None) -> Stored | None:
        """Decode the document of an id. Return None if there is no document.

        Raises:
            RecordUnreadable: it cannot be decoded, which is counted and logged.
        """
        if document is None:
            return None
        try:
            record = decode(document)
            if record.id != verification_id:
                raise ValueError("The record has another id.")  # noqa: TRY301  handled like any other unreadable record
        except Exception as error:
            self._connection.unreadable("record", error)
            raise RecordUnreadable(retry_after=RETRY_UNREADABLE_SECONDS) from error
        return Stored(record, document)


class RedisUsedCalls:
    """UsedCalls over Redis. ``claim.lua`` sets the marks of calls."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def is_used(self, call: InboundCall) -> bool:
        """Look for the mark under each pepper and form of the number."""
        with self._connection.using("use_of") as client:
            return any(client.exists(self._keys.call(tag, call)) for tag in self._keys.all_tags(call.cli))

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """Look for a mark at every second around the call, under each pepper and form of the number."""
        most = int(within.total_seconds())
        seconds = sorted(range(-most, most + 1), key=abs)
        around = [replace(call, at=call.at + timedelta(seconds=each)) for each in seconds]
        for tag in self._keys.all_tags(call.cli):
            with self._connection.using("use_of") as client:
                pipeline = client.pipeline(transaction=False)
                for each in around:
                    pipeline.exists(self._keys.call(tag, each))
                found = pipeline.execute()
            for each, used in zip(around, found, strict=True):
                if used:
                    return each
        return None

    def remember_text(self, number: str, text: str, until: datetime, now: datetime) -> None:
        """Set both marks with one script, replicated like the mark of a used call."""
        keys = [self._keys.texted(number), self._keys.texted(number, text)]
        self._connection.run("texted", Step(_TEXTED, keys, [keep_ms(until, now)]), replicated=True)

    def was_texted_by(self, number: str, text: str | None = None) -> bool:
        """Look for the mark under each pepper and form of the number."""
        with self._connection.using("texted") as client:
            return any(client.exists(key) for key in self._keys.all_texted(number, text))


class RedisDeadlines:
    """Deadlines over Redis: sorted sets of ids by time, spread over a cluster's nodes. The store writes them."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def due(self, now: datetime) -> list[str]:
        """Read the earliest deadlines of each part, in one pipeline. Remove members that are not deadlines."""
        due: list[str] = []
        with self._connection.using("due") as client:
            pipeline = client.pipeline(transaction=False)
            for key in DUE:
                pipeline.zrange(key, "-inf", milliseconds(now), byscore=True, offset=0, num=_MOST_DUE)
            parts: list[list[bytes] | Exception] = pipeline.execute(raise_on_error=False)
            for key, members in zip(DUE, parts, strict=True):
                if isinstance(members, Exception):
                    self._connection.skip("deadlines", members)
                    continue
                ours = [each for each in members if self._is_ours(each, key)]
                due += [each.decode() for each in ours]
                # Remove the others, or each sweep would meet them again.
                for member in set(members) - set(ours):
                    self._connection.unreadable("deadlines", ValueError())
                    client.zrem(key, member)
        return due

    def _is_ours(self, member: bytes, key: str) -> bool:
        """Tell if a member is a verification id whose deadline belongs in this part."""
        verification_id = member.decode(errors="replace")
        return self._keys.record(verification_id) is not None and due_key(verification_id) == key

    def is_busy(self) -> bool:
        """Ask every part for its size, in one pipeline."""
        with self._connection.using("due") as client:
            pipeline = client.pipeline(transaction=False)
            for key in DUE:
                pipeline.zcard(key)
            counts = pipeline.execute(raise_on_error=False)
            for count in counts:
                if isinstance(count, Exception):
                    self._connection.skip("deadlines", count)
            return any(count for count in counts if not isinstance(count, Exception))

    def postpone(self, deadlines: Mapping[str, datetime | None], seen_at: datetime) -> None:
        """Run one script for each part, all in one pipeline."""
        parts: dict[str, list[Arg]] = {}
        for verification_id, at in deadlines.items():
            part = parts.setdefault(due_key(verification_id), [milliseconds(seen_at), _DEADLINES_KEPT_MS])
            part += [verification_id, "" if at is None else milliseconds(at)]
        with self._connection.using("postpone") as client:
            self._connection.run_each(client, [Step(_POSTPONE, [key], args) for key, args in parts.items()])


def _asked(keys: Keys, tag: str) -> tuple[list[str], Args]:
    """Return the keys and arguments of ``latest.lua``."""
    return [keys.latest(tag)], [keys.records(tag), ID_PREFIX_LENGTH]


def _deadline(verification_id: str, at: datetime) -> Step:
    """Return the step that sets the deadline of a record."""
    args: Args = [milliseconds(at), verification_id, _DEADLINES_KEPT_MS]
    return Step(_SCHEDULE, [due_key(verification_id)], args)
