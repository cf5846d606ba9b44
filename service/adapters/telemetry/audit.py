"""The audit stream as log lines too, for whoever ships logs to a place of their own."""

import logging

from service.application.audit import AuditEntry

_log = logging.getLogger("waitcall.audit")


def tell(entry: AuditEntry) -> None:
    """One line for an entry that was kept, with neither number nor id."""
    _log.info(
        "audit", extra={"event": entry.event, "actor": entry.actor, "details": dict(entry.details or {})}
    )
