"""The audit stream: what stands in it, and where it is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that happened, for whoever must answer for it later.

    Attributes:
        event: a status that a verification reached, ``started``, or an operator's act.
        actor: ``client:NAME``, ``provider``, ``time``, or ``operator:NAME``.
        phone_number: kept as a keyed hash alone.
        verification_id: kept as a keyed hash alone.
        details: closed words and counts; ``reason`` where an operator gave one.
    """

    at: datetime
    event: str
    actor: str
    phone_number: str | None = field(default=None, repr=False)
    verification_id: str | None = field(default=None, repr=False)
    details: Mapping[str, str] | None = field(default=None, repr=False)


class AuditLog(Protocol):
    """An append-only stream with a bounded length and age."""

    def append(self, entry: AuditEntry) -> None:
        """Keep an operator's act; transitions come with their change. Raises StoreUnavailable when it may not be kept."""
        ...

    def read(
        self, since: datetime, until: datetime, number: str | None = None
    ) -> Iterator[Mapping[str, str]]:
        """What was kept, oldest first; of one number (E.164) where one is given. StoreUnavailable."""
        ...
