"""Orders for a number to dial, and what providers report about them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from waitcall.domain.numbers import E164


class Capability(StrEnum):
    """Ability of a provider beside giving out numbers to dial."""

    DIALLED_IN_CALLBACK = "dialled_in_callback"
    """Its callback confirms which number was called, not only who called."""
    POLL = "poll"
    """It can be asked about a call whose callback was lost."""
    TEXT_IN = "text_in"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class ProviderOrder:
    """Order at a provider whose callbacks name the order. Other providers' callbacks name the caller.

    Attributes:
        provider: the provider's name in policy and settings, for instance ``smsru``.
        id: the order's id at the provider; it is never reused.
    """

    provider: str
    id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """Result of a successful order.

    Attributes:
        call_number: the number to dial; it was checked and may be shown to the subscriber.
        order: the order that the provider's callback will name; None if it names the caller.
        window_seconds: seconds that the provider waits for the call; None if it waits as long as our longest window.
    """

    call_number: E164
    order: ProviderOrder | None = None
    window_seconds: int | None = None


class OrderStatus(StrEnum):
    """Status of an order at its provider."""

    WAITING = "waiting"
    CALLED = "called"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class OrderReport:
    """A provider's report on one order.

    Attributes:
        at: when the order reached this status, UTC; None if the provider does not say.
    """

    order: ProviderOrder
    status: OrderStatus
    at: datetime | None = None
