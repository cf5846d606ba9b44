"""Files of the everyday suite keep to the budget of processes and waits in tests/steps.py."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.steps import OLDEST

ROOT = Path(__file__).resolve().parents[2]
EVERYDAY = ("contract", "fakes", "integration", "simulator", "structure", "unit")
CONFTEST = """
from tests.steps import Steps

def pytest_configure(config):
    config.pluginmanager.register(Steps())
    config.addinivalue_line("markers", "slow: as here")
"""
STARTS = """
import subprocess, sys
import pytest
{mark}
@pytest.mark.parametrize("number", range(4))
def test_of_a_command(number):
    for _ in range(3):
        {step}
"""
PROCESS = 'subprocess.run(["true"], check=True)'
WAIT = 'sys.audit("waitcall.wait"); sys.audit("waitcall.wait")'


@pytest.mark.skipif(sys.version_info[:2] != OLDEST, reason="the budget belongs to the oldest Python")
@pytest.mark.parametrize(
    ("step", "mark", "said"),
    [
        (PROCESS, "", "test_it.py: 12 processes, but its tests may have at most 10"),
        (WAIT, "", "test_it.py: 24 waits, but its tests may have at most 20"),
        (PROCESS, "@pytest.mark.slow", None),
        ("pass", "", None),
    ],
)
def test_the_test_that_takes_its_file_over_the_budget_fails(
    tmp_path: Path, step: str, mark: str, said: str | None
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(STARTS.format(step=step, mark=mark))

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.splitlines()[-1].startswith("4 passed, 1 error" if said else "4 passed in")
    assert said is None or said in ended.stdout


@pytest.mark.parametrize("folder", EVERYDAY)
def test_no_test_sleeps(folder: str) -> None:
    """Tests wait by wait_for, which counts each wait."""
    files = list((ROOT / "tests" / folder).rglob("*.py"))
    calls = [
        (path.name, node.lineno)
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "sleep"
    ]
    assert files
    assert not calls
