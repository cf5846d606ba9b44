"""Block and allow entries of operators in one Redis hash. Each process uses its copy until the hash's ``rev`` changes."""

import json
import secrets
from datetime import datetime
from typing import Any

from waitcall.adapters.redis.codec import time_from
from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import LISTS, keep_ms
from waitcall.adapters.redis.script import Arg, Script, Step
from waitcall.domain.errors import ValidationFailed
from waitcall.domain.lists import Directory, ListAction, ListEntry, ListKind, canonical

MOST_ENTRIES = 10_000
_LIST = Script("list")


class RedisLists:
    """Lists over Redis."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._copy: tuple[bytes | None, Directory] | None = None

    def directory(self) -> Directory:
        """Return the entries. If nothing has changed since the last read, this reads only ``rev``."""
        with self._connection.using("lists") as client:
            rev = client.hget(LISTS, "rev")
        return self.directory_at(rev)

    def directory_at(self, rev: bytes | None) -> Directory:
        """Return the entries at ``rev``, which the caller has just read, or newer ones."""
        known = self._copy
        if known is not None and known[0] == rev:
            return known[1]
        with self._connection.using("lists") as client:
            stored: dict[bytes, bytes] = client.hgetall(LISTS)
        rev = stored.pop(b"rev", None)
        directory = Directory(each for each in map(self._read, stored.values()) if each is not None)
        self._copy = (rev, directory)
        return directory

    def _read(self, document: bytes) -> ListEntry | None:
        # An unreadable entry may have been a block, so it is counted and logged as an error, and an alert fires.
        try:
            return _decode(document)
        except Exception as error:  # noqa: BLE001  one unreadable entry must not make all others useless
            self._connection.unreadable("lists", error)
            return None

    def put(self, entry: ListEntry, now: datetime) -> None:
        """Write the entry, and remove expired ones. The hash is kept at least until the entry expires."""
        if entry.expires_at is None:
            raise ValueError("Every key has a TTL, so every entry must have expires_at.")
        for other in self.directory().entries.values():
            if not other.is_live(now):
                self.remove(other.kind, other.subject)
        field, keep = _field(entry.kind, entry.subject), keep_ms(entry.expires_at, now)
        if self._change(field, _encode(entry), keep) < 0:
            raise ValidationFailed.of("lists", f"The lists are full: {MOST_ENTRIES} entries.")

    def remove(self, kind: ListKind, subject: str) -> bool:
        """Remove the entry. Return False if there was none."""
        return self._change(_field(kind, subject), b"", 0) > 0

    def _change(self, field: str, document: bytes, keep_ms: int) -> int:
        args: list[Arg] = [field, document, secrets.token_hex(8), keep_ms, MOST_ENTRIES]
        return int(self._connection.run("lists", Step(_LIST, [LISTS], args)))


def _field(kind: ListKind, subject: str) -> str:
    return f"{kind}:{subject}"


def _encode(entry: ListEntry) -> bytes:
    document = {
        "action": entry.action,
        "kind": entry.kind,
        "subject": entry.subject,
        "reason": entry.reason,
        "by": entry.by,
        "created_at": entry.created_at and entry.created_at.timestamp(),
        "expires_at": entry.expires_at and entry.expires_at.timestamp(),
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _decode(document: bytes) -> ListEntry:
    stored: dict[str, Any] = json.loads(document)
    kind, subject = ListKind(stored["kind"]), str(stored["subject"])
    return ListEntry(
        ListAction(stored["action"]),
        kind,
        # Numbers were checked when they were put. They may be many, so they are not checked again.
        subject if kind is ListKind.NUMBER else canonical(kind, subject),
        reason=str(stored["reason"]),
        by=str(stored["by"]),
        created_at=time_from(stored["created_at"]),
        expires_at=time_from(stored["expires_at"]),
    )
