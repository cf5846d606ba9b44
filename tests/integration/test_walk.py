"""Test the counts that ``make walks`` prints."""

import subprocess
import sys

from development.stack import ROOT


def test_a_create_and_a_callback_are_counted() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "development.walk"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    head, *lines = run.stdout.splitlines()
    assert head.split() == ["modules", "functions", "switches", "trips"]
    counts = {name: list(map(int, each)) for name, *each in map(str.split, lines)}
    assert counts.keys() == {"create", "callback"}
    for modules, functions, switches, _ in counts.values():
        assert 5 < modules < functions
        assert switches > modules - 1
    assert (counts["create"][3], counts["callback"][3]) == (3, 2)
