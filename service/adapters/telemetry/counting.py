"""prometheus_client's counters and histograms, counting in fewer steps.

The library asks each time whether the labels are there, and looks at one bound after the other.
"""

from bisect import bisect_left
from functools import partial

from prometheus_client import Counter, Histogram


def counting(counter: Counter) -> Counter:
    """With an ``inc`` that counts one; ``counter`` has its labels."""
    value = counter._value  # noqa: SLF001  the library has no name for it
    counter.inc = partial(value.inc, 1)  # type: ignore[method-assign]  # of this one alone
    return counter


def observing(histogram: Histogram) -> Histogram:
    """With an ``observe`` of its own; ``histogram`` has its labels."""
    bounds, total = histogram._upper_bounds, histogram._sum.inc  # noqa: SLF001  as above
    into = [bucket.inc for bucket in histogram._buckets]  # noqa: SLF001  as above

    def observe(amount: float) -> None:
        total(amount)
        into[bisect_left(bounds, amount)](1)

    histogram.observe = observe  # type: ignore[method-assign,assignment]  # of this one alone
    return histogram
