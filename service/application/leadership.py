"""One worker leads at a time: the lease, and the fence that keeps a paused leader from doing harm."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Term:
    """The right to lead, for as long as it is renewed.

    Attributes:
        fence: grows with each term; what a term writes is refused once a later one began.
        holder: who leads; unique to one process.
    """

    fence: int
    holder: str


class Leadership(Protocol):
    """The lease. Every method may raise StoreUnavailable."""

    def take(self, holder: str) -> Term | None:
        """Begin a term, or renew ours; None while another leads."""
        ...

    def resign(self, term: Term) -> None:
        """End the term at once, so that nobody waits for its lease."""
        ...
