"""Log lines for entries of the audit stream, for operators who collect logs elsewhere."""

import logging

from waitcall.application.effects import AuditEntry

_log = logging.getLogger("waitcall.audit")


def tell(entry: AuditEntry) -> None:
    """Log an entry that was stored, without phone number and id."""
    _log.info(
        "audit", extra={"event": entry.event, "actor": entry.actor, "details": dict(entry.details or {})}
    )
