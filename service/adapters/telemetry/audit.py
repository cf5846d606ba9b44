"""The audit stream as log lines too, for whoever ships logs to a place of their own."""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime

from service.application.announcement import Announcement
from service.application.audit import AuditEntry, AuditLog

_log = logging.getLogger("waitcall.audit")


class LoggedAuditLog:
    """AuditLog over another one: each entry that was kept is also one line, with neither number nor id."""

    def __init__(self, kept: AuditLog) -> None:
        self._kept = kept

    def append(self, entry: AuditEntry, announcement: Announcement | None = None) -> None:
        """Keep the entry, then tell of it."""
        self._kept.append(entry, announcement)
        told = {"event": entry.event, "actor": entry.actor, "details": dict(entry.details or {})}
        _log.info("audit", extra=told)

    def read(
        self, since: datetime, until: datetime, number: str | None = None
    ) -> Iterator[Mapping[str, str]]:
        """What was kept."""
        return self._kept.read(since, until, number)
