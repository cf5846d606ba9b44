"""The conversion guard: it limits the share of shown numbers that are never called, by group of numbers.

The share is high where somebody starts verifications for other people's numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from math import ceil

from waitcall.domain.limits import Mode
from waitcall.domain.numbers import E164

_BUCKETS = 30


class Group(StrEnum):
    """Kind of group whose verifications are counted together."""

    COUNTRY = "country"
    PREFIX = "prefix"


@dataclass(frozen=True)
class ConversionBudget:
    """Rule for how many numbers of one group may stay uncalled.

    Attributes:
        window_seconds: age up to which verifications are counted.
        settle_seconds: age from which verifications are counted; people need time to dial.
        floor: the budget is never exceeded with this many uncalled numbers or fewer.
        max_uncalled_share: highest allowed share of uncalled numbers among all shown, 0 to 1.
        digits: length of a prefix in digits of the international number; 0 for groups by country.
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
        """Length of one bucket in seconds."""
        return max(ceil(self.window_seconds / _BUCKETS), 1)

    def subject(self, number: E164, region: str) -> str:
        """Return the group that a number belongs to: its region, or its prefix."""
        return region if self.group is Group.COUNTRY else f"+{number.digits[: self.digits]}"

    def bucket_of(self, moment: datetime) -> int:
        """Return the start of the bucket that contains ``moment``, in seconds since the epoch."""
        return int(moment.timestamp()) // self.bucket_seconds * self.bucket_seconds


@dataclass(frozen=True, slots=True)
class Bucket:
    """Counts of one bucket of time.

    Attributes:
        start: in seconds since the epoch.
        started: verifications whose number was shown in this bucket.
        called: those among them whose number was called, at any time.
    """

    start: int
    started: int
    called: int


@dataclass(frozen=True, slots=True)
class Conversion:
    """Current state of one group's budget."""

    budget: ConversionBudget
    started: int
    called: int
    exceeded: bool
    retry_after: int

    @property
    def uncalled(self) -> int:
        """Count of shown numbers that were not called."""
        return self.started - self.called


def judge(budget: ConversionBudget, buckets: Sequence[Bucket], now: datetime) -> Conversion:
    """Count the buckets inside the window that are older than ``settle_seconds``, and compare with the budget.

    ``retry_after`` of the result: whole seconds until enough buckets have left the window, if no number is shown
    meanwhile; 0 if the budget is not exceeded.
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
    started, called = sum(each.started for each in counted), sum(each.called for each in counted)
    left, uncalled, wait = started, started - called, 0
    for oldest in counted:
        if uncalled <= budget.floor or uncalled <= budget.max_uncalled_share * left:
            break
        wait = max(ceil(oldest.start + budget.bucket_seconds + budget.window_seconds - at), 1)
        left -= oldest.started
        uncalled -= oldest.started - oldest.called
    return Conversion(budget, started, called, exceeded=wait > 0, retry_after=wait)
