"""Test ``make run`` and ``make demo``, and the commands that they and the README tell people to paste."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from development.__main__ import operate
from development.examples import Examples
from development.ports import Ports
from development.processes import StartFailed
from development.stack import ROOT, Stack
from development.steps import lines, steps
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


def block_of_the_readme(word: str) -> str:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return found


@needs_curl
@pytest.mark.parametrize("time", ["the first time", "the second time"])
def test_the_readmes_curl_lines_do_what_they_say(stack: Stack, time: str) -> None:
    told = pasted(block_of_the_readme("curl"), stack)

    assert re.findall(r'"status": ?"?(\w+)', told) == [
        "pending",
        "200",
        "verified",
        "consumed",
    ]
    # The title of each step stands above its answer.
    assert [line[0] for line in told.splitlines()] == ["1", "{", "2", "{", "3", "{", "4", "{"]


def test_the_readmes_commands_operate_the_running_stack(stack: Stack, tmp_path: Path) -> None:
    """The shell has settings of another waitcall, and stands in another folder."""
    export = next(line for line in operate(stack).splitlines() if line.startswith("export "))
    create = steps(stack)[0]
    assert create.perform({"phone": "+79991234570", "reference": "explained"})[0] == 201
    script = "\n".join(
        (
            "export WAITCALL_REDIS_URL=redis://127.0.0.1:1/0",
            "PHONE=+79991234570",
            export,
            block_of_the_readme("explain"),
        )
    )

    ended = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "status: pending" in ended.stdout
    assert "redis" in ended.stdout


def test_the_doctor_finds_the_stack_of_the_examples_sound_however_often_it_is_asked() -> None:
    with Examples(Ports.free()) as examples:
        command = [examples.commands / "waitcall", "doctor", "--json"]
        asked = [
            subprocess.run(command, capture_output=True, text=True, timeout=60, check=False) for _ in range(4)
        ]

    assert [(each.returncode, each.stderr) for each in asked] == [(0, "")] * 4
    first, *_, last = (json.loads(each.stdout) for each in asked)
    assert {each["state"] for each in first} == {"ok", "note"}
    (number,) = (each["found"] for each in first if each["check"] == "dedicated number")
    assert number.endswith("rented")
    # The provider answers two such questions a minute, which the later runs keep to.
    (unknown,) = (each for each in last if each["check"] == "numbers")
    assert unknown["state"] == "warning"
    assert unknown["found"].startswith("not checked; try again in ")


def test_the_stacks_command_admits_the_development_secrets_and_no_variable_does(stack: Stack) -> None:
    environ = stack.environ_of_service()
    command = [sys.executable, "-m", "waitcall", "check"]
    refused = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "a development secret, refused outside make run" in refused.stderr
    admitted = subprocess.run(
        [stack.commands / "waitcall", "check"], capture_output=True, text=True, check=False
    )
    assert (admitted.returncode, admitted.stdout) == (0, "The settings are sound.\n")


@needs_curl
@pytest.mark.parametrize("time", ["the first time", "the second time"])
def test_the_lines_that_make_run_prints_complete_a_verification(stack: Stack, time: str) -> None:
    script = "\n".join(lines(stack))

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
    assert ended.stdout.count("\n✓ ") == 5
    assert "Verified by a call, and consumed once" in ended.stdout
    # A page of text at most, and no colours, because this is not a terminal.
    assert len(ended.stdout.splitlines()) < 12
    assert "\033" not in ended.stdout


@pytest.mark.parametrize(
    "endings",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM], [signal.SIGKILL]],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM twice, as from a make that is stopped", "SIGKILL"],
)
def test_a_stack_leaves_nothing_behind(endings: list[signal.Signals]) -> None:
    """The children end even if the launcher is killed outright. Only in that case do its files stay."""
    script = (
        "import sys, development.__main__ as m; from development.ports import Ports; "
        "free = Ports.free(); m._ports = lambda: free; sys.argv = ['development', 'run']; sys.exit(m.main())"
    )
    # A shell starts a background job with SIGINT ignored, and so does this test.
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {script}"
    launcher = subprocess.Popen(
        # With faulthandler SIGABRT makes it tell where it is.
        [sys.executable, "-X", "faulthandler", "-u", "-c", ignoring],
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

    for alive, ending in zip((len(children), len(children) - 1), endings, strict=False):
        # The second signal comes while the first is stopping the children.
        wait_for(lambda most=alive: sum(map(_alive, children)) <= most, 30)
        launcher.send_signal(ending)
    try:
        launcher.wait(30)
    except subprocess.TimeoutExpired:
        launcher.send_signal(signal.SIGABRT)
        pytest.fail(
            f"The launcher does not end. Its processes that still run: {list(filter(_alive, children))}"
        )
    finally:
        launcher.wait()
        launcher.stdout.close()

    wait_for(lambda: not [pid for pid in children if _alive(pid)], 30)
    if endings == [signal.SIGKILL]:
        shutil.rmtree(directory)
    assert not Path(directory).exists()


def test_a_taken_port_is_named(stack: Stack) -> None:
    with pytest.raises(StartFailed, match=rf"{stack.ports.api} \(api: in use\)"), Stack(stack.ports):
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
