"""Cancel a verification."""

from waitcall.application.ports import Clock
from waitcall.application.records import Records
from waitcall.domain.verification import Verification


class CancelVerification:
    """The use case behind cancel."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    def cancel(self, client: str, verification_id: str) -> Verification:
        """Cancel a live verification. One that has ended without being verified is returned as it is.

        Raises:
            NotFound, AlreadyVerified, StoreUnavailable
        """
        now = self._clock()
        stored = self._records.found(client, verification_id, now)
        return self._records.changed(stored, lambda record: record.cancel(now), now)
