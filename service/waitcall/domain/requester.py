"""The requester of a verification, and the check that a later request comes from the same one."""

import hmac
from dataclasses import dataclass, field

from waitcall.domain.errors import PurposeMismatch, ReferenceMismatch


@dataclass(frozen=True, slots=True)
class Requester:
    """A client, a purpose and the client's reference. Two requests without a reference have different requesters."""

    client: str
    purpose: str
    reference: str | None = field(repr=False)

    def same_as(self, other: "Requester") -> bool:
        """Tell whether ``other`` is this requester again (contract, section 5.1)."""
        whose = (self.client, self.purpose) == (other.client, other.purpose)
        return bool(self.reference) and whose and _same(self.reference, other.reference)

    def check(self, purpose: str, reference: str | None) -> None:
        """Check, in constant time, that a proof is consumed for the purpose and reference that it was created for.

        Raises:
            PurposeMismatch, ReferenceMismatch
        """
        if not _same(self.purpose, purpose):
            raise PurposeMismatch
        if not _same(self.reference, reference):
            raise ReferenceMismatch


def _same(stored: str | None, given: str | None) -> bool:
    if stored is None or given is None:
        return stored is given
    return hmac.compare_digest(stored.encode(), given.encode())
