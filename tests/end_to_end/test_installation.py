"""Test ``make install`` in a copy of the tree. If it fails, the environment before it must still work."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.slow
AWAY = {"UV_OFFLINE": "1", "UV_NO_CACHE": "1", "PIP_NO_INDEX": "1"}
"""Environment of a machine that reaches no package index."""
UNKNOWN = f"never-heard-of-this==1.0 \\\n    --hash=sha256:{'0' * 64}\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree") / "waitcall"
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    made = make(tree)
    assert made.returncode == 0, made.stdout + made.stderr
    return tree


def make(tree: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "install"],
        cwd=tree,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | environ,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def works(tree: Path) -> bool:
    told = subprocess.run(
        [tree / ".venv/bin/waitcall", "--help"], cwd=tree, capture_output=True, text=True, check=False
    )
    return told.returncode == 0 and (tree / ".venv/bin/gunicorn").exists()


def test_the_service_is_installed_without_development_tools(installed: Path) -> None:
    assert works(installed)
    names = {path.name for path in (installed / ".venv/bin").iterdir()}
    assert names.isdisjoint({"pytest", "mypy", "ruff", "schemathesis", "bandit"})


def test_without_an_index_a_touched_project_is_installed_again(installed: Path) -> None:
    (installed / "pyproject.toml").touch()

    again = make(installed, **AWAY)

    assert again.returncode == 0, again.stdout + again.stderr
    assert works(installed)


def test_the_stack_starts_without_a_network(installed: Path) -> None:
    """In a network of its own the stack has only loopback, and all its ports are free."""
    command = "ip link set lo up && exec make run"
    isolated = ["unshare", "--net", "--map-root-user", "bash", "-c"]
    if subprocess.run([*isolated, "ip link set lo up"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    (installed / "pyproject.toml").touch()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    running = subprocess.Popen(
        [*isolated, command], cwd=installed, env=environ, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    told = ""
    for line in running.stdout:
        told += line
        if "Ctrl-C" in line:
            break
    running.terminate()
    running.communicate(timeout=30)

    assert "http://127.0.0.1:8080/docs" in told


def test_an_installation_that_was_killed_is_undone_by_the_next(installed: Path) -> None:
    (installed / ".venv").rename(installed / ".venv.old")
    (installed / ".venv/bin").mkdir(parents=True)

    again = make(installed, **AWAY)

    assert again.returncode == 0, again.stdout + again.stderr
    assert works(installed)
    assert not (installed / ".venv.old").exists()


def test_two_installations_at_once_wait_for_each_other(installed: Path) -> None:
    shutil.rmtree(installed / ".venv")

    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(make, [installed, installed]))

    assert [each.returncode for each in ended] == [0, 0], "".join(each.stderr for each in ended)
    assert works(installed)


def test_a_lock_that_cannot_be_installed_leaves_the_working_environment(installed: Path) -> None:
    lock = installed / "requirements-run.txt"
    before = lock.read_text()
    lock.write_text(before + UNKNOWN)

    refused = make(installed, **AWAY)
    lock.write_text(before)

    assert refused.returncode != 0
    assert ".venv is as it was before" in refused.stderr
    assert works(installed)


def test_a_damaged_environment_is_kept_until_it_can_be_replaced(installed: Path) -> None:
    (installed / ".venv/bin/uv").unlink()
    (installed / "pyproject.toml").touch()

    refused = make(installed, **AWAY)

    assert refused.returncode != 0
    assert works(installed)
    assert not (installed / ".venv.old").exists()
    assert make(installed).returncode == 0
    assert works(installed)
