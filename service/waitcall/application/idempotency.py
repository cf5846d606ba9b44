"""The port behind Idempotency-Key: stored answers, which repeated requests get again."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer.

    Attributes:
        status: the HTTP status.
        body: the response body.
        location: the Location header; None without one.
    """

    status: int
    body: str = field(repr=False)
    location: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Begun:
    """A claim on an Idempotency-Key: this request alone may answer under it for now.

    Attributes:
        key: the store's name for the Idempotency-Key.
        version: the stored value of this claim. Only the request that holds it can store the answer.
        fingerprint: hash of the request, to recognize a different request with the same key.
    """

    key: str = field(repr=False)
    version: bytes = field(repr=False)
    fingerprint: str = field(repr=False)


class IdempotencyStore(Protocol):
    """Store of answers by client, route and Idempotency-Key."""

    def begin(self, client: str, route: str, key: str, request: bytes) -> Begun | Answer:
        """Claim the key, or return the answer that is stored under it.

        Raises:
            IdempotencyKeyReused: the key was used for a different request.
            IdempotencyInFlight: the first request with the key is still being answered.
            StoreUnavailable
        """
        ...

    def complete(self, begun: Begun, answer: Answer, keep_seconds: int) -> None:
        """Store the answer for ``keep_seconds``.

        Raises:
            StoreUnavailable: the answer may not have been stored.
        """
        ...

    def abandon(self, begun: Begun) -> None:
        """Release the key, because the request failed and may be tried again. Never raises."""
        ...
