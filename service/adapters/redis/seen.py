"""What this process saw of records: good enough to try a change, which the store then compares."""

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

    def of(self, verification_id: str) -> Stored | None:
        """As it was seen last."""
        return self._by_id.get(verification_id)
