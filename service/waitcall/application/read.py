"""Reading of a verification, at once or after waiting for a change."""

from datetime import timedelta

from waitcall.application.admission import AdmissionControl
from waitcall.application.ports import ChangeNotifier, Clock, Stored
from waitcall.application.records import CHANGE_ATTEMPTS, Records
from waitcall.domain.channel import Channel
from waitcall.domain.errors import StoreUnavailable
from waitcall.domain.limits import Scope
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification


class ReadVerification:
    """The use case behind read, for the API and the hosted page."""

    def __init__(
        self,
        records: Records,
        changes: ChangeNotifier,
        admission: AdmissionControl,
        clock: Clock,
    ) -> None:
        self._records = records
        self._changes = changes
        self._admission = admission
        self._clock = clock

    def read(
        self, client: str, verification_id: str, wait_seconds: int = 0, seen: Channel | None = None
    ) -> Verification:
        """Read as :meth:`look` does, and count it for the client.

        Raises:
            RateLimited: too many reads of this client.
            NotFound, StoreUnavailable
        """
        limit_checks = self._admission.applicable.of_client(client, Scope.READ)
        self._admission.count(limit_checks, None, self._clock())
        return self.look(client, verification_id, wait_seconds, seen)

    def look(
        self,
        client: str,
        verification_id: str,
        wait_seconds: int = 0,
        seen: Channel | None = None,
        *,
        seen_weak_call: bool | None = None,
    ) -> Verification:
        """Return the record as it stands. While it is pending and shows the same, wait up to ``wait_seconds``.

        Args:
            client: name of the client that owns the verification.
            verification_id: id of the verification.
            wait_seconds: longest wait for a change; 0 answers at once.
            seen: the channel that the caller knows. If the record is on another one, the answer comes at once. None means
                the record's channel.
            seen_weak_call: whether the caller knows that a weak call came. None means what the record says.

        Raises:
            NotFound: the record does not exist, belongs to another client, or is still being ordered.
            StoreUnavailable
        """
        now = self._clock()
        deadline = now + timedelta(seconds=wait_seconds)
        stored = self._records.found(client, verification_id, now)
        shown = _shown(stored.verification)
        if seen is not None:
            shown = (seen, shown[1])
        if seen_weak_call is not None:
            shown = (shown[0], seen_weak_call)
        while _is_waiting(stored.verification, shown) and now < deadline:
            # The wait ends at once if too many requests wait or the process is shutting down.
            until = min(deadline, stored.verification.next_deadline or deadline)
            if not self._changes.wait_for_change(stored, (until - now).total_seconds()):
                break
            now = self._clock()
            stored = self._records.found(client, verification_id, now)
        return self._safe(client, verification_id, stored)

    def _safe(self, client: str, verification_id: str, stored: Stored) -> Verification:
        for _ in range(CHANGE_ATTEMPTS):
            # The client acts on `verified`, so a fail-over must not undo it.
            now = self._clock()
            if stored.verification.status is not Status.VERIFIED or self._records.store.confirm(stored, now):
                return stored.verification
            stored = self._records.found(client, verification_id, now)
        raise StoreUnavailable(retry_after=1)


def _shown(record: Verification) -> tuple[Channel, bool]:
    return record.channel, record.weak_call_at is not None


def _is_waiting(record: Verification, shown: tuple[Channel, bool]) -> bool:
    # On another channel, or after a weak call, there is something else to show, so it counts as a change.
    return record.status is Status.PENDING and _shown(record) == shown
