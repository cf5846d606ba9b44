"""Run a short storm on each kind of Redis. ``make chaos`` runs the long one and writes docs/reliability.md."""

import pytest

from tests.chaos.storm import Run, storm

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("topology", ["single", "sentinel", "cluster"])
def test_each_call_verifies_once_and_nothing_else_does_whatever_fails(topology: str) -> None:
    report = storm(Run(topology, count=120, per_second=3, hurried=True))
    assert report.tally.broken == {}, report
    assert report.tally.started == 120
    assert report.tally.calls_made == report.tally.verified == report.tally.consumed > 100
    assert report.tally.verified_by_own_numbers > 30
    # The run proves nothing unless callbacks were lost and every kind of failure happened.
    assert report.tally.callbacks_lost > 15
    assert all(report.mischief.values())
    assert len(report.mischief) >= 9


def test_without_reconciliation_the_same_storm_loses_calls() -> None:
    """The count of lost calls can differ from 0, so a count of 0 elsewhere means something."""
    report = storm(Run("single", count=60, per_second=4, reconciliation=False, hurried=True))
    assert report.tally.lost > 0
    # Calls are lost, but no other promise is broken.
    assert {*report.tally.broken} == {"lost"}
