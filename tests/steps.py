"""Budget for each file of the everyday suite: how many processes its tests may start, and how often they may wait.
The summary of a run names the ten slowest files.

Steps are counted, not seconds, so that the answer is the same on a busy machine. A test that takes its file over the
budget fails. Servers that the whole run shares count for no file. Tests marked slow have no budget.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUDGET = {"processes": 10, "waits": 20}
MORE = {
    # Each test starts a server and breaks it.
    "tests/contract/test_redis_failures.py": {"processes": 20, "waits": 30},
    "tests/integration/test_redis_connections.py": {"processes": 42, "waits": 50},
    # Each topology has servers with TLS that demand client certificates, and others that do not.
    "tests/integration/test_redis_tls.py": {"processes": 15, "waits": 25},
    "tests/integration/test_refusing_redis.py": {"processes": 45, "waits": 60},
    # Each test runs a command as a process.
    "tests/unit/development/test_audit.py": {"processes": 25},
    "tests/unit/development/test_ci.py": {"processes": 30},
}
OLDEST = (3, 11)
"""Python to which the budget belongs. Newer versions raise further audit events, also for a ``time.sleep(0)``."""
# Audit events that Python and wait_for raise (docs.python.org/3/library/audit_events.html), and the kind of step.
STEPS = {
    **dict.fromkeys(["subprocess.Popen", "os.fork", "os.posix_spawn"], "processes"),
    **dict.fromkeys(["waitcall.wait", "time.sleep"], "waits"),
}


class Steps:
    """Pytest plugin that counts steps and fails the test that takes its file over the budget."""

    def __init__(self) -> None:
        self._file = ""
        self._spent: Counter[tuple[str, str]] = Counter()
        sys.addaudithook(self._audit)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Count no steps in this block, because it starts something that the whole run shares."""
        file, self._file = self._file, ""
        yield
        self._file = file

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        slow = item.get_closest_marker("slow") and not item.get_closest_marker("everyday")
        self._file = "" if slow else item.nodeid.partition("::")[0]
        try:
            return (yield)
        finally:
            self._file = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        yield
        for what, most in (BUDGET | MORE.get(self._file, {})).items():
            spent = self._spent[self._file, what]
            if self._file and spent > most and sys.version_info[:2] == OLDEST:
                pytest.fail(
                    f"{self._file}: {spent} {what}, but its tests may have at most {most} (tests/steps.py)"
                )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        seconds: Counter[str] = Counter()
        for reports in terminalreporter.stats.values():
            for report in reports:
                if isinstance(report, pytest.TestReport):
                    seconds[report.nodeid.partition("::")[0]] += report.duration
        terminalreporter.section("slowest files", "=")
        for file, spent in seconds.most_common(10):
            terminalreporter.line(f"{spent:7.1f} s  {file}")

    def _audit(self, event: str, _: tuple[object, ...]) -> None:
        if event in STEPS:
            self._spent[self._file, STEPS[event]] += 1
