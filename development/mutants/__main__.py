"""Change one place of the domain or the use cases at a time, and see whether a fast test fails (mutation testing).

    python -m development.mutants [--minutes 20] [--only TEXT]

First all tests run once, to learn which tests execute each line and how long they take. Then each mutant is tried in a
fork of this process: the code of its function is replaced, and the tests that execute the place run, quickest first,
until one fails. Code that runs only at import (constants, defaults) is not changed. The order is shuffled with a fixed
seed, so that the mutants that fit into the time are a fair sample. `build/mutants.txt` lists the survivors.
`explained.toml` beside this file lists changes that no test can notice, with the reason.
"""

import argparse
import gc
import os
import random
import signal
import sys
import time
import tomllib
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import coverage
import pytest

from development.mutants.changes import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent.parent
FLOORS = ("service/waitcall/domain", "service/waitcall/application")
TESTS = (
    *("tests/unit/domain", "tests/unit/application", "tests/contract"),
    "tests/unit/configuration/test_policy.py",
)
# The contract's other worlds are server processes, and forks cannot share their connections.
ARGUMENTS = ["-q", "-s", "-x", "--tb=no", "-p", "no:cacheprovider", "-k", "not valkey and not redis"]
REPORT = ROOT / "build" / "mutants.txt"
LEAST = 90
SURVIVED, KILLED, BROKEN = 0, 1, 3


def main() -> None:
    """Run the tests, try the mutants, and print the score. Exit with 1 if it is below 90 %."""
    parser = argparse.ArgumentParser(prog="python -m development.mutants")
    parser.add_argument("--minutes", type=float, default=20, help="most minutes to try mutants")
    parser.add_argument("--only", default="", help="try only mutants whose name contains this text")
    given = parser.parse_args()
    every = [
        mutant
        for floor in FLOORS
        for path in sorted((ROOT / floor).glob("*.py"))
        for mutant in mutants(path, str(path.relative_to(ROOT / "service/waitcall")))
    ]
    chosen = [each for each in every if given.only in each.name]
    random.Random(1).shuffle(chosen)  # noqa: S311  only the order is random, which is no secret
    run = Run(chosen, time.monotonic() + given.minutes * 60)
    ended = pytest.main([*ARGUMENTS, *TESTS], plugins=[run])
    if ended == pytest.ExitCode.TESTS_FAILED:
        sys.exit("The tests fail without a mutant.")
    if ended != pytest.ExitCode.OK:
        sys.exit(int(ended))
    sys.exit(report(run))


def change_function(mutant: Mutant, functions: list[types.FunctionType]) -> None:
    """Replace the code of the imported functions that contain the mutant's place.

    Raises:
        LookupError: if no such function is imported.
    """
    codes = {(code.co_qualname, code.co_firstlineno): code for code in _codes(mutant.code())}
    live = [
        each
        for each in functions
        if each.__code__.co_filename == str(mutant.path) and each.__code__.co_qualname == mutant.function
    ]
    if not live:
        raise LookupError(mutant.name)
    for each in live:
        each.__code__ = codes[each.__code__.co_qualname, each.__code__.co_firstlineno]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


def _forget_what_was_remembered() -> None:
    """Empty the caches of functions, because a cached result would hide a change."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("waitcall.domain.", "waitcall.application.")):
            for each in vars(module).values():
                if callable(getattr(each, "cache_clear", None)):
                    each.cache_clear()


class Run:
    """pytest plugin that runs the collected tests once, and then against each mutant.

    Attributes:
        survived: mutants with which no test failed.
        killed: number of mutants with which a test failed.
        left: mutants that were not tried in time.
    """

    def __init__(self, chosen: list[Mutant], until: float) -> None:
        self.chosen = chosen
        self.survived: list[Mutant] = []
        self.killed = 0
        self.unpassed: set[Mutant] = set()
        self.left: list[Mutant] = []
        self._until = until
        self._seconds: dict[str, float] = {}
        self._failed = False
        self._children: dict[int, Mutant] = {}

    def pytest_sessionstart(self) -> None:
        """Choose a Hypothesis profile, after its plugin was loaded and before any test is imported."""
        import hypothesis  # noqa: PLC0415  pytest must rewrite it before it is imported

        settings = hypothesis.settings
        settings.register_profile("few", max_examples=10, derandomize=True, deadline=None, database=None)
        settings.load_profile("few")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember if a test failed."""
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests, then the mutants."""
        passed = self._learn(session.items)
        if self._failed:
            session.testsfailed = 1
            return True
        items = {item.nodeid: item for item in session.items}
        sys.stdout.flush()
        self._functions = [each for each in gc.get_objects() if isinstance(each, types.FunctionType)]
        gc.freeze()
        _forget_what_was_remembered()
        self._check_that_a_fork_passes(session.items)
        for at, mutant in enumerate(self.chosen):
            if time.monotonic() > self._until:
                self.left = self.chosen[at:]
                break
            tests = self._tests(mutant, passed[str(mutant.path)])
            if not tests:
                self.survived.append(mutant)
                self.unpassed.add(mutant)
                continue
            while len(self._children) >= (os.cpu_count() or 1):
                self._reap()
            self._children[self._fork(mutant, [items[test] for test in tests])] = mutant
        while self._children:
            self._reap()
        return True

    def _learn(self, items: Sequence[pytest.Item]) -> dict[str, dict[int, list[str]]]:
        """Run every test and time it. Return for each file and line the tests that execute it."""
        measured = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{ROOT}/{floor}/*" for floor in FLOORS]
        )
        measured.start()
        for item, following in zip(items, [*items[1:], None], strict=True):
            measured.switch_context(item.nodeid)
            begun = time.monotonic()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._seconds[item.nodeid] = time.monotonic() - begun
            if self._failed:
                break
        measured.stop()
        data = measured.get_data()
        return {str(mutant.path): data.contexts_by_lineno(str(mutant.path)) for mutant in self.chosen}

    def _tests(self, mutant: Mutant, passed: dict[int, list[str]]) -> list[str]:
        """Return the tests that execute the mutant's lines, quickest first."""
        tests = {test for line in mutant.lines for test in passed.get(line, ()) if test}
        return sorted(tests, key=lambda test: (self._seconds[test], test))

    def _check_that_a_fork_passes(self, items: list[pytest.Item]) -> None:
        """Run every test in a fork without a change. A test that fails there would seem to kill every mutant.

        Raises:
            RuntimeError: if a test fails.
        """
        _, status = os.waitpid(self._fork(None, items), 0)
        if os.waitstatus_to_exitcode(status) != SURVIVED:
            raise RuntimeError("The tests pass, but not a second time in a fork.")

    def _fork(self, mutant: Mutant | None, items: list[pytest.Item]) -> int:
        """Run tests against a mutant in a fork. Return its process id."""
        pid = os.fork()
        if pid == 0:
            os._exit(self._try(mutant, items))
        return pid

    def _try(self, mutant: Mutant | None, items: list[pytest.Item]) -> int:
        """Run tests against a mutant. Return ``SURVIVED``, ``KILLED`` or ``BROKEN``. Call it only in a fork."""
        quiet = os.open(os.devnull, os.O_WRONLY)
        try:
            if mutant is not None:
                change_function(mutant, self._functions)
        except BaseException as broken:  # noqa: BLE001  the parent reports any error
            print(f"Not changed: {broken!r}", file=sys.stderr)
            return BROKEN
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        for item, following in zip(items, [*items[1:], None], strict=True):
            # The alarm ends this process if the mutant makes the test hang.
            signal.alarm(10 + int(5 * self._seconds[item.nodeid]))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return KILLED
        return SURVIVED

    def _reap(self) -> None:
        pid, status = os.wait()
        mutant = self._children.pop(pid, None)
        if mutant is None:
            return
        code = os.waitstatus_to_exitcode(status)
        if code == BROKEN:
            raise RuntimeError(f"Could not be tried: {mutant.name}")
        if code == SURVIVED:
            self.survived.append(mutant)
        else:
            self.killed += 1


def report(run: Run) -> int:
    """Write the survivors, print the figures, and return the exit code."""
    explained = tomllib.loads((Path(__file__).parent / "explained.toml").read_text(encoding="utf-8"))
    names = {each.name for each in run.survived}
    new = sorted(name for name in names if name not in explained)
    tried = run.killed + len(new)
    score = 100 * run.killed / max(tried, 1)
    reached = {each.name for each in run.chosen} - {each.name for each in run.left}
    stale = sorted(name for name in explained if name in reached - names)
    unpassed = {each.name for each in run.unpassed}
    lines = [f"{name}{'  (no test runs this line)' if name in unpassed else ''}" for name in new]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(
        f"\n{run.killed} killed, {len(new)} survived ({REPORT.relative_to(ROOT)}), {len(names) - len(new)} explained,"
    )
    print(f"{len(run.left)} not reached in time. Score: {score:.1f} % (at least {LEAST}).")
    for name in stale:
        print(f"Listed in explained.toml, but a test notices it now: {name}")
    return int(score < LEAST)


if __name__ == "__main__":
    main()
