"""Answers that are given again: the port behind Idempotency-Key."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was given, to be given again."""

    status: int
    body: str = field(repr=False)
    location: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Begun:
    """The right, ours alone for now, to answer under an Idempotency-Key."""

    key: str = field(repr=False)
    version: bytes = field(repr=False)
    fingerprint: str = field(repr=False)


class IdempotencyStore(Protocol):
    """Answers by client, route and Idempotency-Key."""

    def begin(self, client: str, route: str, key: str, request: bytes) -> Begun | Answer:
        """Take the key, or get the answer that was stored under it.

        Raises:
            IdempotencyKeyReused: the key came with another request.
            IdempotencyInFlight: the first request is still being answered.
            StoreUnavailable
        """
        ...

    def complete(self, begun: Begun, answer: Answer, keep_seconds: int) -> None:
        """Store the answer. StoreUnavailable when it may not be stored."""
        ...

    def abandon(self, begun: Begun) -> None:
        """Free the key: the request failed and may be tried again. Never raises."""
        ...
