"""Who asks for a verification."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks, what for, and on whose behalf."""

    client: str
    purpose: str
    reference: str | None

    def same_as(self, other: "Requester") -> bool:
        """Whether both are one requester. Without a reference nobody is."""
        return bool(self.reference) and self == other
