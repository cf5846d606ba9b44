"""Check that every test which docs/threats.md names is run and passes.

``python -m tests.threats`` runs only those tests. A run of the whole suite makes the same check, so that no test runs
twice: the run fails when a named test is missing, or is skipped with all of its parameters.
"""

import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs/threats.md"
IDS = [f"T{number}" for number in range(1, 17)]


def sections(text: str) -> dict[str, list[str]]:
    """Return the tests that each threat's section names, by the threat's id."""
    found = re.findall(r"^## (T\d+): (.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    ids = [name for name, _ in found]
    assert len(ids) == len(set(ids)), "a threat has two sections"
    return {name: re.findall(r"`(tests/[^`]+::\w+)`", section) for name, section in found}


def named() -> set[str]:
    """Return every test that the page names, in its sections and its table."""
    return set(re.findall(r"`(tests/[^`]+::\w+)`", PAGE.read_text()))


class HeldToThePage:
    """Pytest plugin that fails the run if a test that the page names did not pass."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid.partition("[")[0])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        without = sorted(named() - self._passed)
        for test in without:
            sys.stderr.write(f"\ndocs/threats.md names {test}, which did not pass\n")
        if without:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def holds(config: pytest.Config) -> bool:
    """Return True if this is a run of the whole suite, with no test left out."""
    whole = not config.args or config.args == config.getini("testpaths")
    picked = (
        config.option.keyword
        or config.option.markexpr
        or config.option.collectonly
        or getattr(config.option, "lf", False)
    )
    return whole and not picked


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "--no-header", *sorted(named())], plugins=[HeldToThePage()]))
