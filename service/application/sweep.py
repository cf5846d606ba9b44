"""What time alone decides is written down and announced, also where nobody asks for it."""

from service.application.ports import Clock, VerificationStore
from service.application.verifications import Verifications


class Sweep:
    """One pass over what is due. Any number of processes may sweep: each change is stored, and told, once."""

    def __init__(self, store: VerificationStore, verifications: Verifications, clock: Clock) -> None:
        self._store = store
        self._verifications = verifications
        self._clock = clock

    def run(self) -> int:
        """Settle what is due.

        Returns:
            How many records were looked at.

        Raises:
            StoreUnavailable: what is left stays due.
        """
        due = self._store.due(self._clock())
        for verification_id in due:
            again = self._verifications.settle(verification_id)
            if again is not None and again > self._clock():
                self._store.schedule(verification_id, again)
            else:
                self._store.unschedule(verification_id)
        return len(due)
