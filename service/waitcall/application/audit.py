"""The audit stream: its entries, and the port to the store that keeps them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry of the audit stream.

    Attributes:
        at: time of the event, UTC.
        event: a status that a verification reached, a step on the way such as ``started``, or an operator's act.
        actor: who caused it: ``client:NAME``, ``provider``, ``time``, ``another requester``, ``operator`` or
            ``operator:NAME``.
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


class AuditLog(Protocol):
    """An append-only stream of limited length and age."""

    def append(self, entry: AuditEntry) -> None:
        """Append the entry of an operator's act. Entries of transitions are stored with their change instead.

        Raises:
            StoreUnavailable: the entry may not have been kept.
        """
        ...

    def read(
        self, since: datetime, until: datetime, number: str | None = None
    ) -> Iterator[Mapping[str, str]]:
        """Return the entries of a period, oldest first; with ``number`` (E.164), only those of that number.

        Raises:
            StoreUnavailable
        """
        ...
