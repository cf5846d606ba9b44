"""Leader election among workers: one leads at a time, by a lease. A fence keeps a paused leader from writing."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Term:
    """A worker's right to lead. It lasts as long as the worker renews it.

    Attributes:
        fence: number of the term. Each term has a higher one, and writes of a term are refused once a later one began.
        holder: name of the worker process that leads, different for each process.
    """

    fence: int
    holder: str


class Leadership(Protocol):
    """The lease that decides who leads. Every method may raise StoreUnavailable."""

    def take(self, holder: str) -> Term | None:
        """Begin a term, or renew the one that ``holder`` has. Return None while another worker leads."""
        ...

    def resign(self, term: Term) -> None:
        """End the term at once, so that the next leader need not wait until its lease ends."""
        ...
