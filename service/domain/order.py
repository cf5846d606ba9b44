"""An order for a number to dial, as a provider remembers it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.domain.numbers import E164


class Capability(StrEnum):
    """What a provider can do beside giving out numbers."""

    DIALLED_IN_CALLBACK = "dialled_in_callback"
    """It vouches for the number that was called, not for the caller alone."""
    POLL = "poll"
    """It can be asked about calls whose callback was lost."""
    TEXT_IN = "text_in"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class ProviderOrder:
    """One order at a provider that reports on orders, where others report callers.

    Attributes:
        provider: its name in policy and settings, for instance ``smsru``.
        id: the provider's own; never another order's.
    """

    provider: str
    id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """What an order gave.

    Attributes:
        call_number: checked; the subscriber may dial it.
        order: how the provider will name it, where it does.
        window_seconds: the longest that the provider listens; None where that is as long as any window of ours.
    """

    call_number: E164
    order: ProviderOrder | None = None
    window_seconds: int | None = None


class OrderStatus(StrEnum):
    """Where an order stands at its provider."""

    WAITING = "waiting"
    CALLED = "called"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What a provider says of an order.

    Attributes:
        at: UTC, when it came to that; None where the provider does not say.
    """

    order: ProviderOrder
    status: OrderStatus
    at: datetime | None = None
