"""A short storm over each kind of Redis. The long one is ``make chaos``; its table is in docs/reliability.md."""

import pytest

from tests.chaos.storm import Run, storm

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("topology", ["single", "sentinel", "cluster"])
def test_whatever_fails_every_call_verifies_once_and_nothing_else_does(topology: str) -> None:
    report = storm(Run(topology, count=120, per_second=3, hurried=True))
    assert report.tally.broken == {}, report
    assert report.tally.started == 120
    assert report.tally.calls_made == report.tally.verified == report.tally.consumed > 100
    # It was a storm: callbacks were lost, and every kind of mischief was done.
    assert report.tally.callbacks_lost > 25
    assert all(report.mischief.values())
    assert len(report.mischief) >= 9


def test_without_reconciliation_the_same_storm_loses_calls() -> None:
    """So that the count of what is lost can be something other than 0."""
    report = storm(Run("single", count=60, per_second=4, reconciliation=False, hurried=True))
    assert report.tally.lost > 0
    # All that is lost is calls; nobody is let in.
    assert {*report.tally.broken} == {"lost"}
