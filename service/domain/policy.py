"""What the operator allows: purposes, clients, limits and the numbers that may be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.limits import Limit, Scope

SHORTEST_WINDOW_SECONDS = 60
LONGEST_WINDOW_SECONDS = 900
"""The provider's own window: smsc-api.md, section 1."""


class OnConcurrent(StrEnum):
    """What a second requester does to the live verification of a number."""

    REFUSE = "refuse"
    CONTEST = "contest"


@dataclass(frozen=True, slots=True)
class Purpose:
    """One configured purpose; durations in seconds."""

    name: str
    max_window_seconds: int = LONGEST_WINDOW_SECONDS
    on_concurrent: OnConcurrent = OnConcurrent.REFUSE
    cooldown_seconds: int = 30
    result_seconds: int = 300
    retention_seconds: int = 86400
    require_reference: bool = False
    regions: frozenset[str] = frozenset()
    number_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Client:
    """One internal caller."""

    name: str
    purposes: frozenset[str]
    default_region: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy file."""

    dial_regions: frozenset[str]
    purposes: Mapping[str, Purpose]
    clients: Mapping[str, Client]
    limits: Mapping[Scope, tuple[Limit, ...]] = field(default_factory=dict)
