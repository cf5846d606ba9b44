"""The share of shown numbers that nobody called: high where someone starts verifications for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from math import ceil

from service.domain.limits import Mode
from service.domain.numbers import E164

_BUCKETS = 30


class Group(StrEnum):
    """Whose verifications are counted together."""

    COUNTRY = "country"
    PREFIX = "prefix"


@dataclass(frozen=True)
class Budget:
    """How much may go uncalled within one group.

    Attributes:
        window_seconds: how far back it counts.
        settle_seconds: verifications younger than this are not counted yet; people need time to dial.
        floor: uncalled ones up to here are never too many.
        max_uncalled_share: of the started ones, 0 to 1.
        digits: how many of the international number make a prefix; 0 for the country's group.
    """

    group: Group
    mode: Mode
    window_seconds: int = 3600
    settle_seconds: int = 180
    floor: int = 50
    max_uncalled_share: float = 0.8
    digits: int = 0

    @cached_property
    def bucket_seconds(self) -> int:
        """How finely time is divided."""
        return max(ceil(self.window_seconds / _BUCKETS), 1)

    def subject(self, number: E164, region: str) -> str:
        """Which group a number is in."""
        return region if self.group is Group.COUNTRY else f"+{number.digits[: self.digits]}"

    def bucket_of(self, moment: datetime) -> int:
        """Start of the bucket, in seconds of the epoch."""
        return int(moment.timestamp()) // self.bucket_seconds * self.bucket_seconds


@dataclass(frozen=True, slots=True)
class Bucket:
    """Verifications whose number was shown within one bucket, and how many of them were called."""

    start: int
    started: int
    called: int


@dataclass(frozen=True, slots=True)
class Conversion:
    """How one group stands against its budget."""

    budget: Budget
    started: int
    called: int
    exceeded: bool
    retry_after: int

    @property
    def uncalled(self) -> int:
        """Numbers shown that nobody called."""
        return self.started - self.called


def judge(budget: Budget, buckets: Sequence[Bucket], now: datetime) -> Conversion:
    """Count what lies between the window's start and the time to settle.

    ``retry_after``: whole seconds until enough of it has aged, if nothing else happens; 0 where nothing is wrong.
    """
    at = now.astimezone(UTC).timestamp()
    settled_before = at - budget.settle_seconds
    counted = sorted(
        (
            each
            for each in buckets
            if each.start + budget.bucket_seconds > at - budget.window_seconds
            and each.start + budget.bucket_seconds <= settled_before
        ),
        key=lambda each: each.start,
    )
    wait = 0
    for index in range(len(counted) + 1):
        if not _exceeds(budget, counted[index:]):
            break
        wait = max(ceil(counted[index].start + budget.bucket_seconds + budget.window_seconds - at), 1)
    return Conversion(
        budget,
        started=sum(each.started for each in counted),
        called=sum(each.called for each in counted),
        exceeded=wait > 0,
        retry_after=wait,
    )


def _exceeds(budget: Budget, buckets: Sequence[Bucket]) -> bool:
    started = sum(each.started for each in buckets)
    uncalled = started - sum(each.called for each in buckets)
    return uncalled > budget.floor and uncalled > budget.max_uncalled_share * started
