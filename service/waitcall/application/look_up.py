"""An operator's use cases to look up one verification by its id or its number."""

from waitcall.application.audit import AuditEntry, AuditLog
from waitcall.application.ports import Clock, VerificationStore
from waitcall.domain.errors import NotFound
from waitcall.domain.numbers import E164
from waitcall.domain.verification import Verification


class Lookup:
    """The use cases of ``waitcall show`` and ``waitcall find``.

    Every method writes an audit entry first, and may raise StoreUnavailable.
    """

    def __init__(self, store: VerificationStore, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    def show(self, operator: str, verification_id: str) -> Verification:
        """Return a verification of any client by its id.

        Raises:
            NotFound
        """
        now = self._clock()
        who = f"operator:{operator}"
        self._audit.append(AuditEntry(now, "show", who, verification_id=verification_id))
        stored = self._store.get(verification_id)
        if stored is None:
            raise NotFound
        return stored.verification.at(now)

    def find(self, operator: str, phone_number: str) -> Verification:
        """Return the latest verification of a number in E.164.

        Raises:
            NotFound, InvalidPhoneNumber
        """
        now, number = self._clock(), E164.parse(phone_number)
        self._audit.append(AuditEntry(now, "find", f"operator:{operator}", number.value))
        stored = self._store.latest_of(number.value)
        if stored is None:
            raise NotFound("This number has no verification, or its record was deleted.")
        return stored.verification.at(now)

    def replayed(self, operator: str, phone_number: str, reason: str) -> None:
        """Write the audit entry for a callback that an operator is about to send in the provider's place.

        Raises:
            InvalidPhoneNumber
        """
        details = {"reason": reason}
        number = E164.parse(phone_number).value
        self._audit.append(
            AuditEntry(self._clock(), "replay_callback", f"operator:{operator}", number, details=details)
        )
