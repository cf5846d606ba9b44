"""Test that input of strangers is read in linear time, counted in instructions.

Unlike seconds, instructions hardly depend on the machine and its load. Valgrind's callgrind counts them in a Python
process that reads each input of strangers.py at two sizes. Four times as many bytes may cost four times as much plus a
quarter, and no input may cost more than MOST_INSTRUCTIONS.

``python -m tests.integration.test_linear_time`` prints a table of all costs.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.strangers import CASES, CHUNKED, ENTRIES, PATTERNS

MOST_INSTRUCTIONS = 60_000_000
"""Most instructions for one input, about 3 ms. The limit is 50 ms of CPU."""

MOST_BEFORE_US = {"chunked body": 300_000_000, "head": 500_000_000}
"""Most instructions of gunicorn's own parser for chunks of one byte and for the largest head, about 20 ms.

Between the chunks other connections have a turn.
"""

SLACK = 1.25
CONSTANT = 300_000
PLACES = (
    "adapters/http",
    "adapters/providers/callback_form.py",
    "adapters/strict_json.py",
    "adapters/redis",
    "adapters/providers/smsc/callback.py",
    "adapters/providers/smsru/callback.py",
    "adapters/providers/sip/callback.py",
    "adapters/providers/telnyx/callback.py",
    "adapters/providers/twilio/callback.py",
    "adapters/telemetry",
    "application",
    "domain",
)
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Count:
    """Instruction counts of one input at both sizes."""

    entry: str
    case: str
    small: int
    large: int

    @property
    def ratio(self) -> float:
        """Cost of a byte of the larger input, as a multiple of a byte of the smaller one."""
        smaller, larger = ENTRIES[self.entry].sizes
        return self.large / self.small / (larger / smaller)

    @property
    def grows_too_fast(self) -> bool:
        """Tell whether the cost of a byte grows with the size by more than SLACK and CONSTANT allow."""
        smaller, larger = ENTRIES[self.entry].sizes
        return self.large > self.small * larger / smaller * SLACK + CONSTANT


def count(folder: Path) -> Iterator[Count]:
    """Count all inputs with callgrind, which starts and stops at the system calls that strangers.py makes."""
    out = folder / "out"
    callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no"]
    marks = ["--zero-before=getpgrp", "--dump-before=getppid", f"--callgrind-out-file={out}"]
    with subprocess.Popen(
        [*callgrind, *marks, sys.executable, "-m", "tests.integration.strangers"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as reader:
        assert reader.stdout.readline() == "ready\n"
        subprocess.run(
            ["callgrind_control", "--instr=on", str(reader.pid)], check=True, capture_output=True, timeout=60
        )
        reader.communicate("go\n", timeout=600)
    totals = [_total(Path(f"{out}.{each + 1}")) for each in range(2 * len(CASES))]
    for (entry, case), small, large in zip(CASES, totals[::2], totals[1::2], strict=True):
        yield Count(entry, case, small, large)


def _total(dump: Path) -> int:
    lines = dump.read_text().splitlines()
    return next(int(line.split()[1]) for line in reversed(lines) if line.startswith("totals:"))


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> list[Count]:
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        pytest.skip("needs valgrind (apt-get install valgrind)")
    return list(count(tmp_path_factory.mktemp("callgrind")))


@pytest.mark.slow
def test_four_times_the_bytes_cost_four_times_as_much(counts: list[Count]) -> None:
    assert [each for each in counts if each.grows_too_fast] == []


@pytest.mark.slow
def test_no_input_is_expensive_at_the_largest_size(counts: list[Count]) -> None:
    dear = [each for each in counts if each.large > MOST_BEFORE_US.get(each.entry, MOST_INSTRUCTIONS)]
    assert dear == []


def test_chunks_are_read_to_their_end() -> None:
    """A reader that failed early would look cheap, so this one is shown to read everything."""
    body = CHUNKED + b"1\r\na\r\n" * 10 + b"0\r\n\r\n"
    assert ENTRIES["chunked body"].read(body) == b"a" * 10


def patterns_in(source: str) -> set[str]:
    """Return the source of every pattern that a module passes to ``re`` or to marshmallow."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {
        _written(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in {"re", "validate"}
        and call.func.attr
        in {
            "compile",
            "search",
            "match",
            "fullmatch",
            "split",
            "findall",
            "finditer",
            "sub",
            "subn",
            "Regexp",
        }
    }


def _written(argument: ast.expr) -> str:
    match argument:
        case ast.Constant(bytes(value)):
            return value.decode()
        case ast.Constant(str(value)):
            return value
        case _:
            return ast.unparse(argument)


def modules() -> Iterator[Path]:
    """Yield the modules that handle bytes of strangers."""
    for place in PLACES:
        at = ROOT / "service/waitcall" / place
        yield from [at] if at.is_file() else sorted(at.rglob("*.py"))


def test_every_pattern_is_on_the_list() -> None:
    """Add a new pattern to PATTERNS with the entry that feeds it, or with why no stranger reaches it."""
    found = {
        str(path.relative_to(ROOT / "service/waitcall")): patterns_in(path.read_text()) for path in modules()
    }
    assert {path: patterns for path, patterns in found.items() if patterns} == {
        path: set(patterns) for path, patterns in PATTERNS.items()
    }


def test_re_is_imported_by_its_own_name() -> None:
    """The test above finds only patterns that are passed to a function of ``re`` by that name."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "re"), path
            assert not (
                isinstance(node, ast.Import) and any(each.name == "re" and each.asname for each in node.names)
            ), path


def test_every_entry_that_a_pattern_names_exists() -> None:
    reached = {why for patterns in PATTERNS.values() for why in patterns.values() if why not in ENTRIES}
    assert all(why.startswith("no stranger: ") for why in reached), reached


def main() -> None:
    """Print a table of the inputs and their costs, the highest cost first."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(count(Path(folder)))
    for each in sorted(found, key=lambda each: -each.large):
        size = ENTRIES[each.entry].sizes[1]
        sys.stdout.write(f"{each.entry:32}{each.case:38}{size:7}{each.large:14,}{each.ratio:6.2f}\n")


if __name__ == "__main__":
    main()
