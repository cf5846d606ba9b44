"""What this process saw of records: good enough to try a change, which the store then compares.

No two writes are equal (codec), so a document that was seen before need not be decoded again.
"""

from service.adapters.redis.codec import decode
from service.application.ports import Stored

MOST_REMEMBERED = 4096


class Seen:
    """The latest state seen of each record; the longest known are forgotten first."""

    def __init__(self) -> None:
        self._by_id: dict[str, Stored] = {}
        self._id_of: dict[str, str] = {}

    def remember(self, stored: Stored | None) -> Stored | None:
        """Keep it in mind; it is handed back."""
        if stored is None:
            return None
        record = stored.verification
        self._by_id[record.id] = stored
        self._id_of[record.phone_number.value] = record.id
        if len(self._by_id) > MOST_REMEMBERED:
            self._forget(next(iter(self._by_id)))
        return stored

    def _forget(self, verification_id: str) -> None:
        forgotten = self._by_id.pop(verification_id, None)
        number = forgotten.verification.phone_number.value if forgotten else ""
        if self._id_of.get(number) == verification_id:
            self._id_of.pop(number, None)

    def stored(self, verification_id: str, document: bytes | None) -> Stored | None:
        """The record that was read under an id."""
        if document is None:
            return None
        known = self._by_id.get(verification_id)
        if known is not None and known.version == document:
            return Stored(known.verification, document)
        return self.remember(Stored(decode(document), document))

    def stored_or_why_not(self, verification_id: str, document: bytes | None) -> Stored | Exception | None:
        """The same; a document that cannot be read is an error among the others."""
        try:
            return self.stored(verification_id, document)
        except Exception as error:  # noqa: BLE001  handed to whoever asked for all of them
            return error

    def of(self, verification_id: str) -> Stored | None:
        """As it was seen last."""
        return self._by_id.get(verification_id)

    def of_number(self, number: str) -> Stored | None:
        """The record of a number that was remembered last."""
        return self._by_id.get(self._id_of.get(number, ""))
