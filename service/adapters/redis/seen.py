"""What this process saw of records: good enough to try a change, which the store then compares.

No two writes are equal (codec), so a document that was seen before need not be decoded again.
"""

from collections.abc import Callable

from service.adapters.redis.codec import decode
from service.application.ports import Stored
from service.domain.errors import RecordUnreadable

MOST_REMEMBERED = 4096
RETRY_UNREADABLE_SECONDS = 60
"""While versions are mixed, another process may answer sooner."""


class Seen:
    """The latest state seen of each record; the longest known are forgotten first."""

    def __init__(self, unreadable: Callable[[str, Exception], None]) -> None:
        """``unreadable``: told where an entry cannot be read, and why."""
        self._unreadable = unreadable
        self._by_id: dict[str, Stored] = {}

    def remember(self, stored: Stored | None) -> Stored | None:
        """Keep it in mind; it is handed back."""
        if stored is None:
            return None
        self._by_id[stored.verification.id] = stored
        if len(self._by_id) > MOST_REMEMBERED:
            self._by_id.pop(next(iter(self._by_id)), None)
        return stored

    def stored(self, verification_id: str, document: bytes | None) -> Stored | None:
        """The record that was read under an id.

        Raises:
            RecordUnreadable
        """
        if document is None:
            return None
        known = self._by_id.get(verification_id)
        if known is not None and known.version == document:
            return Stored(known.verification, document)
        try:
            record = decode(document)
            if record.id != verification_id:
                raise ValueError("The record of another id.")  # noqa: TRY301  as unreadable as the others
        except Exception as error:
            self._unreadable("record", error)
            raise RecordUnreadable(retry_after=RETRY_UNREADABLE_SECONDS) from error
        return self.remember(Stored(record, document))

    def stored_or_why_not(self, verification_id: str, document: bytes | None) -> Stored | Exception | None:
        """The record that was read under an id; one that cannot be read is an error among the others."""
        try:
            return self.stored(verification_id, document)
        except RecordUnreadable as error:
            return error

    def of(self, verification_id: str) -> Stored | None:
        """As it was seen last."""
        return self._by_id.get(verification_id)
