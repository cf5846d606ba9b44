"""From a number to its latest record, under every pepper, and whatever else decides about a create."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Any

from redis.exceptions import NoScriptError

from service.adapters.redis.connection import Connection
from service.adapters.redis.conversions import RedisConversions
from service.adapters.redis.documents import stored_from
from service.adapters.redis.keys import ID_PREFIX_LENGTH, LISTS, Keys
from service.adapters.redis.lists import RedisLists
from service.adapters.redis.script import Script
from service.application.ports import Stored, Survey
from service.domain.conversion import Budget
from service.domain.errors import RecordUnreadable
from service.domain.policy import LONGEST_WINDOW_SECONDS
from service.domain.status import FINISHED
from service.domain.verification import Verification

Found = tuple[Stored | None, str]
"""The latest record under one pepper, and the id that the number points to there."""

_LONGEST_HELD_MS = LONGEST_WINDOW_SECONDS * 1000


class Numbers:
    """Looks numbers up."""

    def __init__(
        self, connection: Connection, keys: Keys, conversions: RedisConversions, lists: RedisLists
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._conversions = conversions
        self._lists = lists
        self._latest = Script("latest")
        self._swap = Script("swap")
        self._shorten = Script("shorten")

    def latest_of(self, number: str) -> Stored | None:
        """The latest record, under whichever pepper; a live one before all."""
        return self._of_all(number, self.under(self._keys, number))

    def latest_at(self, tag: str) -> Stored | None:
        """The latest record under a hash tag, whichever pepper made it."""
        keys, args = _at(self._keys, tag)
        with self._connection.using("latest_of") as client:
            latest, document = self._latest.run(client, keys, args)
        return stored_from(self._connection, latest.decode(errors="replace"), document or None)

    def survey(self, number: str, groups: Sequence[tuple[Budget, str]]) -> Survey:
        """Everything in one round trip; under a second pepper, and where lists have changed, a little more."""
        buckets = [self._conversions.key(*group) for group in groups]
        with self._connection.using("survey") as client:
            try:
                answers = self._surveyed(client, number, buckets, known=True)
            except NoScriptError:
                answers = self._surveyed(client, number, buckets, known=False)
        latest, rev, *counted = answers
        found = self._found(self._keys, number, latest)
        return Survey(
            self._of_all(number, found),
            self._lists.directory_at(rev),
            tuple(map(self._conversions.read, buckets, counted)),
        )

    def _surveyed(self, client: Any, number: str, buckets: Sequence[str], *, known: bool) -> list[Any]:
        keys, args = _asked(self._keys, number)
        pipeline = client.pipeline(transaction=False)
        self._latest.queue(
            pipeline, keys, args, known=known, **self._connection.topology.route(client, keys[0])
        )
        pipeline.hget(LISTS, "rev")
        for key in buckets:
            pipeline.hgetall(key)
        answers: list[Any] = pipeline.execute()
        return answers

    def taken_elsewhere(self, verification: Verification, over: Stored | None, now: datetime) -> bool:
        """Whether somebody reserved the number under another pepper meanwhile.

        Each side writes its own reservation before it looks at the other's, so at least one of two sees it.
        """
        for keys in self._keys.others:
            stored, _ = self.under(keys, verification.phone_number.value)
            known = over is not None and stored is not None and stored.verification.id == over.verification.id
            if stored and not known and stored.verification.at(now).is_live:
                return True
        return False

    def under(self, keys: Keys, number: str) -> Found:
        """The latest record under one pepper, and the id that the number points to there."""
        with self._connection.using("latest_of") as client:
            answer = self._latest.run(client, *_asked(keys, number))
        return self._found(keys, number, answer)

    def _found(self, keys: Keys, number: str, answer: Sequence[bytes]) -> Found:
        latest, document = answer
        if not latest:
            return None, ""
        if not document:
            # Only a lost record leaves its pointer behind; the number must not stay taken by nobody.
            with self._connection.using("latest_of") as client:
                self._swap.run(client, [keys.latest(keys.tag(number))], [latest, "", 0])
            return None, ""
        pointer = latest.decode(errors="replace")
        try:
            stored = stored_from(self._connection, pointer, document)
        except RecordUnreadable as error:
            raise self._held(keys.latest(keys.tag(number)), latest) from error
        # Equal tags of two numbers are as good as impossible; a wrong match is worth the comparison.
        known = stored is not None and stored.verification.phone_number.value == number
        return (stored if known else None), pointer

    def _held(self, key: str, pointer: bytes) -> RecordUnreadable:
        """Let a record that cannot be read hold its number as long as the longest window, and no longer."""
        with self._connection.using("latest_of") as client:
            left_ms = self._shorten.run(client, [key], [pointer, _LONGEST_HELD_MS])
        return RecordUnreadable(retry_after=max(ceil(int(left_ms) / 1000), 1))

    def _of_all(self, number: str, own: Found) -> Stored | None:
        stored, pointer = own
        found = [stored] + [self.under(keys, number)[0] for keys in self._keys.others]
        latest = max(
            (each for each in found if each is not None),
            key=lambda each: (each.verification.status not in FINISHED, each.verification.created_at),
            default=None,
        )
        return dataclasses.replace(latest, pointer=pointer) if latest else None


def _asked(keys: Keys, number: str) -> tuple[list[str], list[str | bytes | int]]:
    """Keys and arguments of ``latest.lua``."""
    return _at(keys, keys.tag(number))


def _at(keys: Keys, tag: str) -> tuple[list[str], list[str | bytes | int]]:
    return [keys.latest(tag)], [keys.records(tag), ID_PREFIX_LENGTH]
