"""Test ``make run`` and ``make demo``, and the commands that they and the README tell people to paste."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from development.processes import StartFailed
from development.stack import ROOT, Ports, Stack
from development.steps import lines
from tests.redis_servers import wait_for

pytestmark = pytest.mark.slow
needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed (apt install curl)"
)


@pytest.fixture(scope="module")
def stack():
    with Stack(Ports.free()) as running:
        yield running


def pasted(script: str, stack: Stack) -> str:
    """Run a script in bash, with the usual ports replaced by this stack's, and return its output."""
    for usual, mine in zip(vars(Ports()).values(), vars(stack.ports).values(), strict=True):
        script = script.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{mine}")
    ended = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@needs_curl
def test_the_readmes_curl_lines_do_what_they_say(stack: Stack) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    curl = [block for block in blocks if "curl" in block]
    assert len(curl) == 1

    told = pasted(curl[0], stack)

    assert re.findall(r'"status": ?"?(\w+)', told) == [
        "pending",
        "pending",
        "200",
        "verified",
        "consumed",
        "409",
    ]
    assert '"code": "already_verified"' in told


@needs_curl
def test_the_lines_that_make_run_prints_complete_a_verification(stack: Stack) -> None:
    script = "\n".join(lines(stack)).replace("+79991234567", "+79991234599")

    assert re.findall(r'"status": ?"?(\w+)', pasted(script, stack)) == [
        "pending",
        "200",
        "verified",
        "consumed",
    ]


def test_the_readme_opens_with_two_commands() -> None:
    first = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]

    assert [line.split()[:2] for line in first.splitlines()][:2] == [["make", "run"], ["make", "test"]]


@pytest.mark.everyday
def test_the_demo_succeeds() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "development", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Verified by a call, and consumed once" in ended.stdout


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stack_leaves_nothing_behind(ending: signal.Signals) -> None:
    """The children end even if the launcher is killed outright. Only in that case do its files stay."""
    script = (
        "import sys, development.__main__ as m; from development.stack import Ports; "
        "free = Ports.free(); m.Ports = lambda: free; sys.argv = ['development', 'run']; sys.exit(m.main())"
    )
    # A shell starts a background job with SIGINT ignored, and so does this test.
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {script}"
    launcher = subprocess.Popen(
        [sys.executable, "-u", "-c", ignoring],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert launcher.stdout is not None
    directory = ""
    for line in launcher.stdout:
        if line.startswith("logs"):
            directory = line.split()[1].removesuffix("/*.log")
        if "Ctrl-C" in line:
            break
    children = _descendants(launcher.pid)
    assert len(children) >= 5

    launcher.send_signal(ending)
    launcher.wait(30)
    launcher.stdout.close()

    wait_for(lambda: not [pid for pid in children if _alive(pid)], 30)
    if ending is signal.SIGKILL:
        shutil.rmtree(directory)
    assert not Path(directory).exists()


def test_a_taken_port_is_named(stack: Stack) -> None:
    with pytest.raises(StartFailed, match=rf"Port {stack.ports.api} \(api\) is in use"), Stack(stack.ports):
        pass


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in children for found in (int(child), *_descendants(int(child)))]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
