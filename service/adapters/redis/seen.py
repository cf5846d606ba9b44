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

    def remember(self, stored: Stored | None) -> Stored | None:
        """Keep it in mind; it is handed back."""
        if stored is not None:
            self._by_id[stored.verification.id] = stored
            if len(self._by_id) > MOST_REMEMBERED:
                self._by_id.pop(next(iter(self._by_id)), None)
        return stored

    def stored(self, verification_id: str, document: bytes | None) -> Stored | None:
        """The record that was read under an id."""
        if document is None:
            return None
        known = self._by_id.get(verification_id)
        if known is not None and known.version == document:
            return Stored(known.verification, document)
        return self.remember(Stored(decode(document), document))

    def of(self, verification_id: str) -> Stored | None:
        """As it was seen last."""
        return self._by_id.get(verification_id)
