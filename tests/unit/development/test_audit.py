"""`make security` on locked dependencies, with a fake pip-audit whose answers the tests choose."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCK = """\
flask==3.1.3 \\
    --hash=sha256:aaaa
Zope.Interface==8.7 \\
    --hash=sha256:bbbb
pywin32==1 ; sys_platform == 'win32' \\
    --hash=sha256:cccc
"""
SOUND = [{"name": name, "version": "1", "vulns": []} for name in ("flask", "zope-interface")]
WEAK = {"id": "PYSEC-1", "fix_versions": ["3.2"], "description": ""}


class Auditing:
    """Folder with a lock file and a fake pip-audit, in which the command runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "pip-audit"
        (folder / "requirements.txt").write_text(LOCK)

    def answers(self, script: str) -> None:
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)

    def answers_json(self, dependencies: Any, status: int = 0) -> None:
        document = json.dumps({"dependencies": dependencies, "fixes": []})
        self.answers(f"cat <<'EOF'\n{document}\nEOF\nexit {status}")

    def run(self, *more: str) -> tuple[int, str, str]:
        """Run the command. Return its exit status, the last line of stderr that is not a ruler, and stdout."""
        summary = self.folder / "build" / "audit.txt"
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "development.audit", "--root", str(self.folder)),
                *("--pip-audit", str(self.program), "--summary", str(summary), *more),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in ended.stderr
        last = [line for line in ended.stderr.splitlines() if line.strip("=")][-1]
        assert summary.read_text() == f"{last}\n"
        return ended.returncode, last, ended.stdout


@pytest.fixture
def auditing(tmp_path: Path) -> Auditing:
    return Auditing(tmp_path)


def test_packages_without_weaknesses_pass_and_are_counted(auditing: Auditing) -> None:
    auditing.answers_json(SOUND)
    assert auditing.run()[:2] == (0, "Audited: 2 locked packages, no known vulnerabilities.")


def test_a_weakness_fails_and_is_named(auditing: Auditing) -> None:
    auditing.answers_json([SOUND[1], SOUND[0] | {"vulns": [WEAK]}], status=1)
    status, last, printed = auditing.run()
    assert (status, last) == (1, "FAILED: 1 known vulnerabilities in the locked dependencies.")
    assert "requirements.txt: flask 1: PYSEC-1, fixed in 3.2" in printed


NOTHING = "NOT AUDITED: 2 of 2 locked packages (flask, zope-interface): "


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'no network' >&2; exit 1", "no readable answer (no network)"),
        ("exit 1", "no readable answer (no error message)"),
        ("echo '{\"dependencies\": [{'", "no readable answer"),
        ("echo '[]'", "no readable answer"),
        ("echo '{\"dependencies\": null}'", "no readable answer"),
        ('echo \'{"dependencies": [{"vulns": []}]}\'', "no readable answer"),
        ("echo '{\"dependencies\": []}'", "no data on them here"),
        (
            'echo \'{"dependencies": [{"name": "flask", "skip_reason": "not found"}]}\'',
            "no data on them here",
        ),
    ],
)
def test_a_run_without_data_passes_and_its_last_line_says_so(
    auditing: Auditing, script: str, reason: str
) -> None:
    auditing.answers(script)
    status, last, _ = auditing.run()
    assert status == 0
    assert last.startswith(NOTHING + reason)


def test_packages_without_data_are_named(auditing: Auditing) -> None:
    auditing.answers_json([SOUND[0], {"name": "zope-interface", "skip_reason": "not found"}])
    partial = "NOT AUDITED: 1 of 2 locked packages (zope-interface): no data on them here."
    assert auditing.run()[1].startswith(partial)
    # A package that the answer leaves out counts as not audited too.
    auditing.answers_json([SOUND[0]])
    status, last, _ = auditing.run()
    assert (status, last.startswith(partial)) == (0, True)


def test_a_weakness_among_unknown_packages_fails_and_both_are_said(auditing: Auditing) -> None:
    auditing.answers_json([SOUND[0] | {"vulns": [WEAK]}], status=1)
    status, last, _ = auditing.run()
    assert status == 1
    assert "FAILED: 1 known vulnerabilities" in last
    assert "NOT AUDITED: 1 of 2" in last


def test_a_pip_audit_that_hangs_is_given_up(auditing: Auditing) -> None:
    auditing.answers("exec sleep 60")
    status, last, _ = auditing.run("--timeout", "0.2")
    assert (status, last.startswith(NOTHING + "no answer in 0.2 s")) == (0, True)


def test_a_pip_audit_that_cannot_be_started_fails(auditing: Auditing) -> None:
    assert auditing.run()[:2] == (1, "FAILED: pip-audit cannot be run (No such file or directory).")


def test_a_line_that_is_not_pinned_fails_before_pip_audit_runs(auditing: Auditing) -> None:
    (auditing.folder / "requirements.txt").write_text("flask>=3\n")
    assert auditing.run()[:2] == (1, "FAILED: 1 lines not pinned in 1 lock files.")


def test_no_lock_file_at_all_fails(auditing: Auditing) -> None:
    (auditing.folder / "requirements.txt").unlink()
    assert auditing.run()[0] == 1


def test_a_weakness_that_is_not_fully_described_fails_too(auditing: Auditing) -> None:
    auditing.answers_json([SOUND[1], {"name": "flask", "vulns": [{"aliases": []}]}], status=1)
    assert auditing.run()[0] == 1


def ci(folder: Path, make: str) -> tuple[int, str]:
    """Run `.ci/run` with a script as make, without installing packages. Return its exit status and last line."""
    (folder / ".ci").mkdir()
    (folder / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text())
    tools = folder / "tools"
    tools.mkdir()
    for name, script in {"make": make, "id": "echo 1000"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    ended = subprocess.run(
        ["bash", str(folder / ".ci" / "run")],
        env={"PATH": f"{tools}:{os.environ['PATH']}", "CLUSTER": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout.splitlines()[-1]


@pytest.mark.parametrize("status", [0, 2])
def test_ci_prints_the_result_of_the_audit_last_whether_or_not_it_passed(tmp_path: Path, status: int) -> None:
    make = f"mkdir -p build; echo 'NOT AUDITED: nothing.' >build/audit.txt; echo tests; exit {status}"
    assert ci(tmp_path, make) == (status, "NOT AUDITED: nothing.")


def test_ci_says_that_nothing_was_audited_when_it_ended_earlier(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "audit.txt").write_text("Audited: of an earlier run.\n")
    assert ci(tmp_path, "exit 1") == (1, "NOT AUDITED: the run ended before `make security`.")
