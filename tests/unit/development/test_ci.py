"""When CI runs the tests on a real cluster, with a fake make."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
RUN = "made cluster-test"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Clone whose only commit is three days old."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text((ROOT / ".ci/run").read_text(encoding="utf-8"), encoding="utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in {"make": 'echo "made $1"', "id": "echo 1000"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "helm/Chart.yaml", timedelta(days=3))
    return tmp_path


def git(clone: Path, *words: str, **environ: str) -> None:
    named = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *named, *words], cwd=clone, env={**os.environ, **environ}, check=True)


def commit(clone: Path, file: str, age: timedelta = timedelta(hours=1)) -> None:
    path = clone / file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as written:
        written.write("line\n")
    git(clone, "add", file)
    date = (datetime.now(UTC) - age).isoformat()
    git(clone, "commit", "--quiet", "--message=change", GIT_COMMITTER_DATE=date)


def ci(clone: Path, **environ: str) -> str:
    """Run CI, and return what it prints."""
    path = {"PATH": f"{clone / 'tools'}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", str(clone / ".ci/run")],
        env={**path, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def test_the_cluster_is_tested_when_a_subject_changed_within_a_day(clone: Path) -> None:
    assert RUN not in ci(clone)
    commit(clone, "docs/index.md")
    assert RUN not in ci(clone)
    commit(clone, "helm/values.yaml")
    assert RUN in ci(clone)


def test_a_variable_decides_whatever_changed(clone: Path) -> None:
    assert RUN in ci(clone, CLUSTER="1")
    commit(clone, "helm/values.yaml")
    assert RUN not in ci(clone, CLUSTER="0")


def test_the_cluster_is_tested_when_the_history_is_unknown(clone: Path) -> None:
    git(clone, "commit", "--quiet", "--amend", "--message=young")
    assert RUN in ci(clone)
