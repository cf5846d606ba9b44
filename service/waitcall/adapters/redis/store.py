"""Repository of the records in Redis. Every change is a compare-and-set of the whole document."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from math import ceil
from typing import Any

from redis.exceptions import NoScriptError

from waitcall.adapters.redis.audit import RedisAuditLog
from waitcall.adapters.redis.codec import encode, fresh_name
from waitcall.adapters.redis.connection import RETRY_AFTER_SECONDS, Connection
from waitcall.adapters.redis.conversions import RedisConversionCounts
from waitcall.adapters.redis.deadlines import RedisDeadlines
from waitcall.adapters.redis.documents import stored_from, stored_or_error
from waitcall.adapters.redis.keys import ID_PREFIX_LENGTH, LISTS, Keys, keep_ms, tag_of
from waitcall.adapters.redis.limits import RedisLimits
from waitcall.adapters.redis.lists import RedisLists
from waitcall.adapters.redis.script import Args, Script, ScriptRunner, Step, read_all
from waitcall.application.effects import NO_EFFECTS, Effects
from waitcall.application.ports import Change, Claim, CreationContext, Reservation, Stored
from waitcall.domain.conversion import ConversionBudget
from waitcall.domain.errors import RecordUnreadable, StoreUnavailable
from waitcall.domain.limits import LimitCheck
from waitcall.domain.lists import Directory
from waitcall.domain.matching import InboundCall
from waitcall.domain.numbers import E164
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS
from waitcall.domain.status import FINISHED, Status
from waitcall.domain.verification import Verification

_LONGEST_HELD_MS = LONGEST_WINDOW_SECONDS * 1000


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
        deadlines: RedisDeadlines,
        min_replicas: int = 0,
    ) -> None:
        """``min_replicas``: number of replicas that must confirm a write that a fail-over must not lose."""
        self._connection, self._keys = connection, keys
        self._limits, self._conversions, self._lists = limits, conversions, lists
        self._audit, self._deadlines = audit, deadlines
        self._runner = ScriptRunner(connection, min_replicas)
        self._latest, self._swap, self._shorten = Script("latest"), Script("swap"), Script("shorten")
        self._reserve, self._release = Script("reserve"), Script("release")
        self._replace, self._claim = Script("replace"), Script("claim")

    def new_id(self, number: E164) -> str:
        """Return a fresh id that begins with the number's tag."""
        return self._keys.new_id(number.value)

    def get(self, verification_id: str) -> Stored | None:
        """Read and decode the record with one command."""
        if (key := self._keys.record(verification_id)) is None:
            return None
        with self._connection.using("get") as client:
            document = client.get(key)
        return stored_from(self._connection, verification_id, document)

    def get_many(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        """Read all records in one round trip to each server."""
        known = {each: key for each in verification_ids if (key := self._keys.record(each)) is not None}
        with self._connection.using("get") as client:
            documents = dict(zip(known, read_all(client, list(known.values())), strict=True))
        return [stored_or_error(self._connection, each, documents.get(each)) for each in verification_ids]

    def get_with_lists(self, verification_id: str) -> tuple[Stored | None, Directory]:
        """Read the record and the lists' ``rev`` in one round trip. A cluster needs two, to keep the order at two nodes."""
        key = self._keys.record(verification_id)
        if key is None or not self._connection.topology.one_server:
            return self.get(verification_id), self._lists.directory()
        with self._connection.using("get") as client:
            document, rev = client.pipeline(transaction=False).get(key).hget(LISTS, "rev").execute()
        return stored_from(self._connection, verification_id, document), self._lists.directory_at(rev)

    def latest_of(self, number: str) -> Stored | None:
        """Look under every pepper, and prefer a record that is not finished, then the newest."""
        return self._of_all_peppers(number, *self._under(self._keys, number))

    def latest_at(self, place: str) -> Stored | None:
        """Look under the tag ``place``, whichever pepper made it."""
        with self._connection.using("latest_of") as client:
            latest, document = self._latest.run(client, *_asked(self._keys, place))
        return stored_from(self._connection, latest.decode(errors="replace"), document or None)

    def creation_context(
        self, number: str, groups: Sequence[tuple[ConversionBudget, str]] = ()
    ) -> CreationContext:
        """Read all in one round trip. A second pepper, and lists that have changed, need further ones."""
        buckets = [self._conversions.key(*group) for group in groups]
        with self._connection.using("survey") as client:
            try:
                answers = self._read_context(client, number, buckets, known=True)
            except NoScriptError:
                answers = self._read_context(client, number, buckets, known=False)
        latest, rev, *counted = answers
        return CreationContext(
            self._of_all_peppers(number, *self._found(self._keys, number, latest)),
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
        args: Args = [over.pointer if over else "", verification.id, document, _kept(verification, now)]
        steps = [self._deadlines.step(verification.id, verification.expires_at)]
        together = limit_checks and not self._keys.others and self._connection.topology.one_server
        if together:
            steps.append(self._limits.step(limit_checks, verification.id, now))
        answers = self._runner.run_with("reserve", Step(self._reserve, keys, args), steps)
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
        before = (over.pointer, _kept(over.verification, now)) if over else ("", 0)
        keys = [*reversed(self._places(stored.verification))]
        self._runner.run("release", Step(self._release, keys, [stored.verification.id, *before]))

    def commit(self, change: Change, now: datetime, effects: Effects = NO_EFFECTS) -> Stored | None:
        """Store the change and its effects; on a single server with one script."""
        # A shown number will be called, and a client acts on a consumed proof, so replicate both. If any other change is
        # lost, nothing is verified wrongly.
        replicated = change.holding or change.after.status is Status.CONSUMED
        return self._put(change, now, effects, replicated=replicated)

    def confirm(self, stored: Stored, now: datetime) -> bool:
        """Store the record once more, so that the WAIT that follows covers it."""
        if not self._runner.waits:
            return True
        return self._put(Change(stored, stored.verification), now, NO_EFFECTS, replicated=True) is not None

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: Change | None,
        now: datetime,
        effects: Effects = NO_EFFECTS,
    ) -> Claim:
        """Mark the call and store the change with one script. The mark's key has the record's tag, so they share a slot."""
        tags = [keys.tag(call.cli) for keys in (self._keys, *self._keys.others)]
        tag = tag_of(change.after.id) if change else tags[0]
        for other in set(tags) - {tag}:
            with self._connection.using("claim") as client:
                if client.exists(self._keys.call(other, call.at)):
                    return Claim.REPEATED
        use: list[str | bytes | int] = [fresh_name(), keep_ms(keep_until, now)]
        latest = self._keys.latest(tag)
        if change is None:
            record, use = latest, [*use, "", "", 0, ""]
        else:
            record, after = self._places(change.after)[0], change.after
            use += [change.before.version, encode(after), _kept(after, now), after.id]
        step = Step(self._claim, [self._keys.call(tag, call.at), record, latest], use)
        steps = self._steps_of(effects, change.after.id if change else tag)
        answers = self._runner.run_with("claim", step, steps, replicated=True)
        self._tell(effects, answers)
        answer = answers[0].decode()
        return Claim.DONE if answer == "again" else Claim(answer)

    def _put(self, change: Change, now: datetime, effects: Effects, *, replicated: bool) -> Stored | None:
        before, after = change.before, change.after
        document = encode(after)
        args: Args = [
            *(before.version, document, _kept(after, now), after.id, int(change.holding)),
            # Requests wait only for changes of pending records (application/reading.py).
            int(before.verification.status is Status.PENDING),
        ]
        step = Step(self._replace, self._places(after), args)
        steps = self._steps_of(effects, after.id)
        answers = self._runner.run_with("replace", step, steps, replicated=replicated)
        self._tell(effects, answers)
        return Stored(after, document, before.pointer) if answers[0] else None

    def _steps_of(self, effects: Effects, verification_id: str) -> list[Step]:
        """Return the steps that write the effects. Those of the audit entries come first."""
        steps = [self._audit.step(*each) for each in effects.entries]
        steps += [self._conversions.step(each) for each in effects.conversions]
        steps += self._limits.uncount(effects.freed, verification_id)
        if effects.due is not None:
            steps.append(self._deadlines.step(verification_id, effects.due))
        return steps

    def _tell(self, effects: Effects, answers: Iterable[Any]) -> None:
        """Log the audit entries that were written."""
        _, *written = answers
        for (entry, _), answer in zip(effects.entries, written, strict=False):
            if answer is not None:
                self._audit.tell(entry)

    def _places(self, record: Verification) -> list[str]:
        """Return the keys of a record and of its number's pointer."""
        tag = tag_of(record.id)
        return [self._keys.records(tag) + record.id[ID_PREFIX_LENGTH:], self._keys.latest(tag)]

    def _read_context(self, client: Any, number: str, buckets: Sequence[str], *, known: bool) -> list[Any]:
        keys, args = _asked(self._keys, self._keys.tag(number))
        pipeline = client.pipeline(transaction=False)
        route = self._connection.topology.route(client, keys[0])
        self._latest.queue(pipeline, keys, args, known=known, **route)
        pipeline.hget(LISTS, "rev")
        for key in buckets:
            pipeline.hgetall(key)
        answers: list[Any] = pipeline.execute()
        return answers

    def _is_taken_elsewhere(self, verification: Verification, over: Stored | None, now: datetime) -> bool:
        """Tell if another process has reserved the number under another pepper at the same time.

        Each process writes its own reservation before it looks for others, so at least one of two sees the other's.
        """
        for keys in self._keys.others:
            stored, _ = self._under(keys, verification.phone_number.value)
            known = over is not None and stored is not None and stored.verification.id == over.verification.id
            if stored and not known and stored.verification.at(now).is_live:
                return True
        return False

    def _of_all_peppers(self, number: str, own: Stored | None, pointer: str) -> Stored | None:
        found = [own] + [self._under(keys, number)[0] for keys in self._keys.others]
        latest = max(
            (each for each in found if each is not None),
            key=lambda each: (each.verification.status not in FINISHED, each.verification.created_at),
            default=None,
        )
        return replace(latest, pointer=pointer) if latest else None

    def _under(self, keys: Keys, number: str) -> tuple[Stored | None, str]:
        """Return the latest record under one pepper, and the id that the number points to there."""
        with self._connection.using("latest_of") as client:
            answer = self._latest.run(client, *_asked(keys, keys.tag(number)))
        return self._found(keys, number, answer)

    def _found(self, keys: Keys, number: str, answer: Sequence[bytes]) -> tuple[Stored | None, str]:
        latest, document = answer
        if not latest:
            return None, ""
        if not document:
            # Redis lost the record but not the pointer to it. Delete the pointer, so that the number is free again.
            with self._connection.using("latest_of") as client:
                self._swap.run(client, [keys.latest(keys.tag(number))], [latest, "", 0])
            return None, ""
        pointer = latest.decode(errors="replace")
        try:
            stored = stored_from(self._connection, pointer, document)
        except RecordUnreadable as error:
            raise self._held(keys.latest(keys.tag(number)), latest) from error
        # Two numbers with the same tag are next to impossible, but comparing is cheap and a wrong match would be serious.
        known = stored is not None and stored.verification.phone_number.value == number
        return (stored if known else None), pointer

    def _held(self, key: str, pointer: bytes) -> RecordUnreadable:
        """Let an unreadable record hold its number for the longest window at most, and return the error to raise."""
        with self._connection.using("latest_of") as client:
            left_ms = self._shorten.run(client, [key], [pointer, _LONGEST_HELD_MS])
        return RecordUnreadable(retry_after=max(ceil(int(left_ms) / 1000), 1))


def _asked(keys: Keys, tag: str) -> tuple[list[str], Args]:
    """Return the keys and arguments of ``latest.lua``."""
    return [keys.latest(tag)], [keys.records(tag), ID_PREFIX_LENGTH]


def _kept(record: Verification, now: datetime) -> int:
    return keep_ms(record.purge_at, now)
