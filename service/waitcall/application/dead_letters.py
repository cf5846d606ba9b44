"""Dead letters: deliveries that were given up. An operator can list them and send them again."""

from waitcall.application.announcement import Delivery
from waitcall.application.audit import AuditEntry, AuditLog
from waitcall.application.deliver_webhooks import Outbox
from waitcall.application.explanation import check_reason
from waitcall.application.ports import Clock


class DeadLetters:
    """The operator's use cases for dead letters. Each writes an audit entry first, and may raise StoreUnavailable."""

    def __init__(self, outbox: Outbox, audit: AuditLog, clock: Clock) -> None:
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    def list(self, operator: str) -> list[Delivery]:
        """Return all dead letters."""
        self._audit.append(AuditEntry(self._clock(), "dead_letters", f"operator:{operator}"))
        return [*self._outbox.dead()]

    def replay(
        self, operator: str, reason: str, event_id: str | None = None, endpoint: str | None = None
    ) -> int:
        """Deliver dead letters again, from the first attempt on: all, or only those of one event or one endpoint.

        Returns:
            The number of dead letters that will be delivered again.

        Raises:
            ValidationFailed: the reason is empty or too long.
        """
        details = {"reason": check_reason(reason), "endpoint": endpoint or "every"}
        details |= {"event_id": event_id} if event_id else {}
        self._audit.append(AuditEntry(self._clock(), "replay", f"operator:{operator}", details=details))
        chosen = [
            each
            for each in self._outbox.dead()
            if event_id in (None, each.event_id) and endpoint in (None, each.endpoint)
        ]
        return sum(self._outbox.replay(each.event_id, each.endpoint) for each in chosen)
