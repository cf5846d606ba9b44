"""Test the package as `pip install` gives it: the same bytes from each build, and a service that runs in an empty folder."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import ROOT, Service, Working, answers, sound_settings
from tests.redis_servers import Server, free_port, wait_for

pytestmark = pytest.mark.slow
UV = Path(sys.executable).with_name("uv")
NUMBER = "+79991234567"


def said(*command: str | Path, cwd: Path, umask: int = -1, environ: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        command, cwd=cwd, env=environ, umask=umask, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}"
    return ran.stdout


def copy_of_the_tree(target: Path) -> Path:
    """Copy what git knows, with its links, so that nothing else can get into the package."""
    listed = said("git", "ls-files", "-coz", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_symlink() or (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


def built(source: Path, target: Path, *options: str, umask: int = 0o022) -> dict[str, bytes]:
    tool = ["build", "--quiet", "--force-pep517", "--no-build-isolation", "--python", sys.executable]
    said(UV, *tool, *options, "--out-dir", target, source, cwd=source, umask=umask)
    return {each.name: each.read_bytes() for each in sorted(target.glob("waitcall*"))}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("first")
    assert len(built(copy_of_the_tree(folder / "tree"), folder / "dist")) == 2
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commands of an environment with the locked dependencies and the wheel, and nothing of the source tree."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    (wheel,) = dist.glob("*.whl")
    said(UV, "venv", "--quiet", "--python", sys.executable, environment, cwd=dist)
    install = [UV, "pip", "install", "--quiet", "--python", environment / "bin/python"]
    said(*install, "--require-hashes", "-r", ROOT / "requirements.txt", cwd=dist)
    said(*install, "--no-deps", wheel, cwd=dist)
    return environment / "bin"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def environ(redis_server: Server, simulator: Simulator, empty: Path) -> dict[str, str]:
    """Settings without a policy, so that the package's holds. No variable leads to the source tree."""
    callback = simulator.dialler.handler.url.split(":")[2].split("/")[0]
    settings = sound_settings(empty, redis_server.url, simulator.base_url)
    given = {name: value for name, value in settings.items() if name.startswith("WAITCALL_")}
    del given["WAITCALL_POLICY"]
    return given | {
        "PATH": "/usr/bin:/bin",
        "HOME": str(empty),
        "WAITCALL_API_BIND": f"127.0.0.1:{free_port()}",
        "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{callback}",
        "WAITCALL_OPS_BIND": f"127.0.0.1:{free_port()}",
        "WAITCALL_WORKER_OPS_BIND": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture(scope="module")
def running(installed: Path, empty: Path, environ: dict[str, str]) -> Iterator[tuple[Service, Working]]:
    """`waitcall serve` and `waitcall worker` of the installed package. The service tells a supervisor when it serves."""
    urls = [f"http://{environ[f'WAITCALL_{name}_BIND']}" for name in ("API", "CALLBACK", "OPS", "WORKER_OPS")]
    with ExitStack() as started:
        supervisor = started.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        supervisor.bind(str(empty.parent / "notify"))
        supervisor.settimeout(60)
        processes = {}
        for command in ("serve", "worker"):
            log = started.enter_context((empty.parent / f"{command}.log").open("wb"))
            processes[command] = subprocess.Popen(
                [installed / "waitcall", command],
                cwd=empty,
                env=environ | {"NOTIFY_SOCKET": str(empty.parent / "notify")},
                stdout=log,
                stderr=log,
            )
        service = Service(processes["serve"], empty.parent / "serve.log", *urls[:3], environ)
        working = Working(processes["worker"], empty.parent / "worker.log", urls[3])
        started.callback(service.stop)
        started.callback(working.stop)
        # systemd's protocol (sd_notify(3)); the unit waitcall-serve.service has Type=notify.
        assert b"READY=1" in supervisor.recv(1024)
        wait_for(lambda: answers(service, "readyz"))
        wait_for(working.metrics)
        yield service, working


def test_two_builds_in_other_folders_at_other_times_are_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "elsewhere" / "tree")
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            os.utime(path, (1_000_000_000, 1_000_000_000))
            path.chmod(0o700 if path.is_dir() else 0o600)

    again = built(tree, tmp_path / "dist", umask=0o077)

    assert again == {each.name: each.read_bytes() for each in sorted(dist.glob("waitcall*"))}


def test_the_wheel_is_the_same_with_and_without_a_source_distribution(dist: Path, tmp_path: Path) -> None:
    direct = built(copy_of_the_tree(tmp_path / "tree"), tmp_path / "dist", "--wheel")
    assert list(direct.items()) == [(each.name, each.read_bytes()) for each in dist.glob("*.whl")]


@pytest.mark.usefixtures("running")
def test_a_verification_is_completed_by_the_installed_package(
    running: tuple[Service, Working], simulator: Simulator
) -> None:
    service, _ = running
    created = service.create(NUMBER)
    assert created.status == 201, created.body
    dialled = {"cli": NUMBER, "did": created.json["call"]["number"]}
    assert service.ask("POST", f"{simulator.control_url}/dial", dialled).status == 200

    assert service.read(created.json["id"], wait=10).json["status"] == "verified"
    assert service.consume(created.json["id"]).json["status"] == "consumed"


def test_the_installed_worker_leads_and_passes(running: tuple[Service, Working]) -> None:
    _, working = running
    wait_for(lambda: working.fence() > 0)
    wait_for(lambda: working.metrics().get('waitcall_worker_loop_timestamp_seconds{loop="sweep"}', 0) > 0)


@pytest.mark.parametrize(
    ("command", "said_there"),
    [
        (["waitcall", "check"], "The settings are sound."),
        (["waitcall", "check", "--values"], "waitcall/configuration/policy.toml"),
        (["waitcall", "check", "--example-policy"], "[purposes.login]"),
        (["waitcall", "doctor"], "redis"),
        (["waitcall", "explain", NUMBER], NUMBER),
        (["python", "-m", "waitcall", "--version"], "waitcall, version "),
    ],
)
@pytest.mark.usefixtures("running")
def test_commands_work_in_an_empty_folder(
    installed: Path, empty: Path, environ: dict[str, str], command: list[str], said_there: str
) -> None:
    program, *words = command
    told = said(installed / program, *words, cwd=empty, environ=environ)
    assert said_there.lower() in told.lower()


def test_commands_write_nothing_into_the_folder_that_they_run_in(empty: Path) -> None:
    assert list(empty.iterdir()) == []


def test_the_wheel_runs_as_a_tool_without_an_installation(
    dist: Path, empty: Path, environ: dict[str, str]
) -> None:
    """`uv tool run` (uvx) makes an environment of its own. The locked versions keep it from asking for newer ones."""
    (wheel,) = dist.glob("*.whl")
    tool = ["tool", "run", "--quiet", "--python", sys.executable, "--constraints", ROOT / "requirements.txt"]
    # uv needs its cache, and what it knows of this machine's index.
    told = said(UV, *tool, "--from", wheel, "waitcall", "check", cwd=empty, environ=environ | os.environ)
    assert told == "The settings are sound.\n"


def test_the_metadata_has_what_an_index_shows(installed: Path, empty: Path) -> None:
    script = "import importlib.metadata as m, json; print(json.dumps(m.metadata('waitcall').json))"
    metadata = json.loads(said(installed / "python", "-c", script, cwd=empty))
    assert metadata["license_expression"] == "Apache-2.0"
    assert metadata["provides_extra"] == ["tracing"]
    assert metadata["description"].startswith("# waitcall")
    assert {"Framework :: Flask", "Typing :: Typed"} <= set(metadata["classifier"])
