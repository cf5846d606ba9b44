"""The records in Redis. Every change is compare-and-set on the whole document."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from service.adapters.redis.audit import RedisAuditLog
from service.adapters.redis.change_notifier import ChangeNotifier
from service.adapters.redis.codec import encode, fresh_name
from service.adapters.redis.connection import RETRY_AFTER_SECONDS, Connection
from service.adapters.redis.conversions import RedisConversions
from service.adapters.redis.deadlines import Deadlines
from service.adapters.redis.documents import stored_from, stored_or_error
from service.adapters.redis.keys import ID_PREFIX_LENGTH, LISTS, Keys, tag_of
from service.adapters.redis.limits import RedisLimits, spent
from service.adapters.redis.lists import RedisLists
from service.adapters.redis.numbers import Numbers
from service.adapters.redis.replicated_write import ReplicatedWrite
from service.adapters.redis.script import Script, Step, read_all
from service.adapters.redis.script_batch import ScriptBatch
from service.adapters.redis.sign import write_sign
from service.adapters.redis.used_calls import UsedCalls
from service.application.chronicle import NOTHING, Consequences
from service.application.ports import Claim, Reservation, Stored, Survey
from service.domain.call import InboundCall
from service.domain.conversion import Budget
from service.domain.errors import StoreUnavailable
from service.domain.limits import Spending
from service.domain.lists import Directory
from service.domain.numbers import E164
from service.domain.status import Status
from service.domain.verification import Verification

_PADDING_MS = 10_000
"""Redis deletes a little later than the rules forget, so that its clock decides nothing."""


class RedisVerificationStore:
    """VerificationStore over Redis, standalone or cluster."""

    def __init__(  # noqa: PLR0913  what is written together with a record
        self,
        connection: Connection,
        keys: Keys,
        notifier: ChangeNotifier,
        *,
        limits: RedisLimits,
        conversions: RedisConversions,
        lists: RedisLists,
        audit: RedisAuditLog,
        min_replicas: int = 0,
    ) -> None:
        """
        Args:
            connection: to the server or cluster.
            keys: key names under the current pepper.
            notifier: where waiting requests wait.
            limits: counted with a reservation.
            conversions: counted with a change.
            lists: read with a number.
            audit: written with a change.
            min_replicas: that must have a verified or consumed record before it is acknowledged.
        """
        self._limits, self._conversions, self._lists = limits, conversions, lists
        self._numbers = Numbers(connection, keys, conversions, lists)
        self._deadlines = Deadlines(connection, keys)
        self._replicated = ReplicatedWrite(connection.topology, min_replicas)
        self._used_calls = UsedCalls(connection, keys, self._replicated)
        self._audit, self._batch = audit, ScriptBatch(connection, self._replicated)
        self._connection, self._keys, self._notifier = connection, keys, notifier
        self._reserve, self._release = Script("reserve"), Script("release")
        self._replace, self._claim = Script("replace"), Script("claim")

    def new_id(self, number: E164) -> str:
        """A fresh id that begins with the number's tag."""
        return self._keys.new_id(number.value)

    def get(self, verification_id: str) -> Stored | None:
        """The record of an id."""
        if (key := self._keys.record(verification_id)) is None:
            return None
        with self._connection.using("get") as client:
            document = client.get(key)
        return stored_from(self._connection, verification_id, document)

    def get_all(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        """One round trip."""
        known = {each: key for each in verification_ids if (key := self._keys.record(each)) is not None}
        with self._connection.using("get") as client:
            documents = dict(zip(known, read_all(client, list(known.values())), strict=True))
        return [stored_or_error(self._connection, each, documents.get(each)) for each in verification_ids]

    def look(self, verification_id: str) -> tuple[Stored | None, Directory]:
        """One round trip to one server; on a cluster one behind the other, because only that keeps the order."""
        key = self._keys.record(verification_id)
        if key is None or not self._connection.topology.one_server:
            return self.get(verification_id), self._lists.directory()
        with self._connection.using("get") as client:
            document, rev = client.pipeline(transaction=False).get(key).hget(LISTS, "rev").execute()
        return stored_from(self._connection, verification_id, document), self._lists.directory_at(rev)

    def latest_of(self, number: str) -> Stored | None:
        """The number's latest record, under whichever pepper; a live one before all."""
        return self._numbers.latest_of(number)

    def latest_at(self, place: str) -> Stored | None:
        """The place is the hash tag."""
        return self._numbers.latest_at(place)

    def survey(self, number: str, groups: Sequence[tuple[Budget, str]]) -> Survey:
        """What decides about a create, in one pipeline."""
        return self._numbers.survey(number, groups)

    def reserve(
        self,
        verification: Verification,
        over: Stored | None,
        now: datetime,
        spendings: Sequence[Spending] = (),
    ) -> Reservation | None:
        """Take the number for a new record, and count it."""
        document, tag = encode(verification), tag_of(verification.id)
        keys = [self._keys.latest(tag), self._record_key(verification)]
        pointer = over.pointer if over else ""
        args: list[str | bytes | int] = [pointer, verification.id, document, _keep_ms(verification, now)]
        reserve = Step(self._reserve, keys, args)
        due = self._deadlines.step(verification.id, verification.expires_at)
        with self._connection.using("reserve") as client:
            together = spendings and not self._keys.others and self._connection.topology.one_server
            counts, elsewhere = self._limits.step(client, spendings if together else (), verification.id, now)
        answers = self._batch.run("reserve", reserve, [due, counts] if together else [due])
        if not answers[0]:
            return None
        stored = Stored(verification, document, verification.id)
        if self._numbers.taken_elsewhere(verification, over, now):
            self.release(stored, over, now)
            return None
        if not spendings:
            return Reservation(stored)
        if not together or len(answers) == 1:
            # The second where an answer was lost: what this id was counted for counts once.
            return Reservation(stored, self._limits.spend(spendings, verification.id, now))
        if answers[-1] is None:
            raise StoreUnavailable(retry_after=RETRY_AFTER_SECONDS)
        counted = self._limits.readable(answers[-1])
        return Reservation(stored, spent(spendings, counted, elsewhere, now))

    def release(self, stored: Stored, over: Stored | None, now: datetime) -> None:
        """Give the number back."""
        record = stored.verification
        before = (over.pointer, _keep_ms(over.verification, now)) if over else ("", 0)
        keys = [self._keys.latest(tag_of(record.id)), self._record_key(record)]
        with self._connection.using("release") as client:
            self._release.run(client, keys, [record.id, *before])

    def replace(
        self,
        stored: Stored,
        verification: Verification,
        now: datetime,
        *,
        holding: bool = False,
        consequences: Consequences = NOTHING,
    ) -> Stored | None:
        """Store a changed record."""
        # A number that was shown will be called, and a proof acted upon; whatever else is lost fails closed.
        replicated = holding or verification.status is Status.CONSUMED
        return self._put(
            stored, verification, now, replicated=replicated, holding=holding, consequences=consequences
        )

    def _put(  # noqa: PLR0913  those of replace, and how
        self,
        stored: Stored,
        verification: Verification,
        now: datetime,
        *,
        replicated: bool,
        holding: bool = False,
        consequences: Consequences = NOTHING,
    ) -> Stored | None:
        document = encode(verification)
        keys = [self._record_key(verification), self._keys.latest(tag_of(verification.id))]
        args: list[str | bytes | int] = [
            stored.version,
            document,
            _keep_ms(verification, now),
            verification.id,
            int(holding),
            # Nobody waits for the end of anything else (application/reading.py).
            int(stored.verification.status is Status.PENDING),
        ]
        step = Step(self._replace, keys, args)
        if not self._happened("replace", step, verification.id, consequences, replicated=replicated)[0]:
            return None
        return Stored(verification, document, stored.pointer)

    def confirm(self, stored: Stored, now: datetime) -> bool:
        """Store it once more, so that the WAIT behind it covers this very record."""
        if not self._replicated.asks:
            return True
        return self._put(stored, stored.verification, now, replicated=True) is not None

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: tuple[Stored, Verification] | None,
        now: datetime,
        consequences: Consequences = NOTHING,
    ) -> Claim:
        """Use a call and store what it changes."""
        tags = [keys.tag(call.cli) for keys in (self._keys, *self._keys.others)]
        # The mark lies with the record, so that both change together or neither does.
        tag = tag_of(change[0].verification.id) if change else tags[0]
        for other in set(tags) - {tag}:
            with self._connection.using("claim") as client:
                if client.exists(self._keys.call(other, call.at)):
                    return Claim.REPEATED
        latest, mark = self._keys.latest(tag), self._keys.call(tag, call.at)
        use: list[str | bytes | int] = [fresh_name(), _milliseconds(keep_until, now)]
        if change is None:
            keys = [mark, latest, latest]
            use += ["", "", 0, ""]
        else:
            stored, after = change
            keys = [mark, self._record_key(after), latest]
            use += [stored.version, encode(after), _keep_ms(after, now), after.id]
        verification_id, step = change[1].id if change else tag, Step(self._claim, keys, use)
        answer = self._happened("claim", step, verification_id, consequences, replicated=True)[0].decode()
        return Claim.DONE if answer == "again" else Claim(answer)

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """Look for the marks of every second, under each pepper."""
        return self._used_calls.around(call, within)

    def remember_text(self, number: str, text: str, until: datetime, now: datetime) -> None:
        """Keep it as safely as the mark of a used call."""
        self._used_calls.remember_text(number, text, _milliseconds(until, now))

    def was_texted_by(self, number: str, text: str | None = None) -> bool:
        """Look under each pepper."""
        return self._used_calls.texted(number, text)

    def wait_for_change(self, stored: Stored, seconds: float) -> bool:
        """Wait with all other waiting requests of this process, in one place."""
        return self._notifier.wait(self._record_key(stored.verification), stored.version, seconds)

    def schedule(self, verification_id: str, at: datetime) -> None:
        """Put the deadline among the others."""
        self._deadlines.schedule(verification_id, at)

    def due(self, now: datetime) -> list[str]:
        """The earliest of each part, in one pipeline."""
        return self._deadlines.due(now)

    def is_busy(self) -> bool:
        """Whether any part of the deadlines holds one."""
        return self._deadlines.is_busy()

    def postpone(self, deadlines: Mapping[str, datetime | None], seen_at: datetime) -> None:
        """One round trip."""
        self._deadlines.postpone(deadlines, seen_at)

    def ping(self) -> None:
        """One script, or one at each node of a cluster."""
        write_sign(self._connection, self._replicated, self._keys)

    def _happened(
        self,
        operation: str,
        step: Step,
        verification_id: str,
        consequences: Consequences,
        *,
        replicated: bool,
    ) -> list[Any]:
        """Run the step that changes a record, and write what comes of it."""
        others = [self._audit.step(*each) for each in consequences.entries]
        others += [self._conversions.step(each) for each in consequences.tallies]
        others += self._limits.uncount(consequences.freed, verification_id)
        if consequences.due is not None:
            others.append(self._deadlines.step(verification_id, consequences.due))
        answers = self._batch.run(operation, step, others, replicated=replicated)
        for (entry, _), kept in zip(consequences.entries, answers[1:], strict=False):
            if kept is not None:
                self._audit.tell(entry)
        return answers

    def _record_key(self, verification: Verification) -> str:
        return self._keys.records(tag_of(verification.id)) + verification.id[ID_PREFIX_LENGTH:]


def _keep_ms(verification: Verification, now: datetime) -> int:
    return _milliseconds(verification.purge_at, now)


def _milliseconds(until: datetime, now: datetime) -> int:
    return max(int((until - now).total_seconds() * 1000), 0) + _PADDING_MS
