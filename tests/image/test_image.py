"""Build the image from the Dockerfile and run it as the chart does: without root, on a read-only file system.

The base image is replaced by a debootstrapped Debian with the same Python, because a registry of images may be out of reach.
"""

import itertools
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from development import newest_python
from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.end_to_end.conftest import POLICY, ROOT, SECRET, Answered, Service, sound_settings
from tests.redis_servers import Server, free_port, wait_for

TOOLS = ("buildah", "podman", "runc", "debootstrap")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
# All processes of the machine share its images, so the process id keeps these names apart.
IMAGE, STAND_IN = (f"localhost/waitcall{name}:image-test-{os.getpid()}" for name in ("", "-stand-in"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="images are built as root"),
]


def said(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert ran.returncode == 0, f"{command}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    base = tmp_path_factory.mktemp("stand-in")
    newest_python.debootstrap(base)
    archive = base.parent / "stand-in.tar"
    said("tar", "-C", str(base), "-cf", str(archive), ".")
    said("podman", "import", "--quiet", str(archive), STAND_IN)
    archive.unlink()
    shutil.rmtree(base, ignore_errors=True)
    probe = subprocess.run(
        run(STAND_IN, "true", options=("--rm",)), capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"no container can be started here: {probe.stderr.strip()[-200:]}")
    said(
        "buildah", "build", "--isolation", "chroot", "--build-arg", f"BASE={STAND_IN}", "-t", IMAGE, str(ROOT)
    )
    yield IMAGE
    said("podman", "rmi", "--force", IMAGE, STAND_IN)


def run(image: str, *words: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the command that runs the image, with a read-only root and one tmpfs.

    The container uses the network of the host, because Redis and the simulator run there.
    """
    return [
        *(
            "podman",
            "--runtime",
            "runc",
            "run",
            "--network",
            "host",
            "--read-only",
            "--tmpfs",
            "/tmp:size=64m",
        ),
        *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=2048:2048", "--cap-drop", "all"),
        *("--security-opt", "no-new-privileges", *options, image, *words),
    ]


class Container:
    """Running container of the image. ``role`` is the command's arguments."""

    def __init__(self, image: str, role: tuple[str, ...], environ: dict[str, str], policy: Path) -> None:
        self.name = f"waitcall-test-{role[-1]}-{os.getpid()}"
        told = [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
        options = ("--detach", "--name", self.name, "--volume", f"{policy}:/run/policy.toml:ro", *told)
        said(*run(image, *role, options=options))

    def sh(self, line: str) -> subprocess.CompletedProcess[str]:
        command = ["podman", "--runtime", "runc", "exec", self.name, "sh", "-c", line]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def terminate(self) -> None:
        said("podman", "--runtime", "runc", "kill", "--signal", "TERM", self.name)

    def ended(self) -> str:
        return said("podman", "--runtime", "runc", "wait", self.name)

    def remove(self) -> None:
        said("podman", "--runtime", "runc", "rm", "--force", self.name)


class Running:
    """Containers of the internal side, the public side and the worker, with Redis and the simulator."""

    def __init__(self, image: str, directory: Path) -> None:
        callback = free_port()
        handler = Handler(f"http://127.0.0.1:{callback}/callbacks/smsc", SECRET)
        self.redis = Server("valkey").start()
        self.simulator = Simulator(Options(handler, calm=True))
        policy = directory / "policy.toml"
        policy.write_text(POLICY)
        policy.chmod(0o444)
        api, ops, public_ops, worker = (free_port() for _ in range(4))
        settings = sound_settings(directory, self.redis.url, self.simulator.base_url) | {
            "WAITCALL_POLICY": "/run/policy.toml",
            "WAITCALL_API_BIND": f"127.0.0.1:{api}",
            "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{callback}",
            "WAITCALL_OPS_BIND": f"127.0.0.1:{ops}",
            "WAITCALL_WORKER_OPS_BIND": f"127.0.0.1:{worker}",
            "WAITCALL_DRAIN_SECONDS": "3",
        }
        environ = {name: value for name, value in settings.items() if name.startswith("WAITCALL_")}
        # The public side needs neither the clients' API keys nor the provider account.
        public = environ | {"WAITCALL_OPS_BIND": f"127.0.0.1:{public_ops}"}
        del public["WAITCALL_API_KEYS"], public["WAITCALL_SMSC_APIKEY"]
        self.api = Container(image, ("serve", "--surface", "api"), environ, policy)
        self.public = Container(image, ("serve", "--surface", "callback"), public, policy)
        self.worker = Container(image, ("worker",), environ, policy)
        self.public_ops = f"http://127.0.0.1:{public_ops}"
        urls = [f"http://127.0.0.1:{port}" for port in (api, callback, ops)]
        self.service = Service(None, directory / "none", *urls)  # type: ignore[arg-type]  # podman owns the process
        self.worker_ops = f"http://127.0.0.1:{worker}"
        wait_for(self.ready, seconds=60)

    def ready(self) -> bool:
        doors = (self.service.ops, self.public_ops)
        return all(self.service.ask("GET", f"{door}/readyz", timeout=2).status == 200 for door in doors)

    def close(self) -> None:
        self.api.remove()
        self.public.remove()
        self.worker.remove()
        self.simulator.close()
        self.redis.close()


@pytest.fixture
def running(image: str, tmp_path: Path) -> Iterator[Running]:
    tmp_path.chmod(0o755)
    started = Running(image, tmp_path)
    yield started
    started.close()


def test_the_image_has_no_build_tools_and_no_development_code(
    image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("simulator", "tests", "development", "pip", "uv_build"):
        missing = f"import importlib.util as u, sys; sys.exit(u.find_spec('{module}') is not None)"
        said(*run(image, "-c", missing, options=("--rm", "--entrypoint", "/opt/waitcall/bin/python")))
    said(*run(image, "-c", "! command -v gcc", options=("--rm", "--entrypoint", "/bin/sh")))
    inspected = "{{.Size}} {{.User}} {{.Config.StopSignal}} {{.Config.Labels}}"
    told = said("podman", "image", "inspect", "--format", inspected, image)
    size, user, stop, labels = told.split(" ", 3)
    base = int(said("podman", "image", "inspect", "--format", "{{.Size}}", STAND_IN))
    assert (user, stop) == ("10001:10001", "SIGTERM")
    assert "org.opencontainers.image.version" in labels
    with capsys.disabled():
        print(f"\nimage: {int(size) / 1e6:.0f} MB, of which the stand-in base {base / 1e6:.0f} MB")  # noqa: T201  a figure


def test_the_image_serves_without_root_on_a_read_only_file_system(running: Running) -> None:
    service = running.service
    made = service.create()
    assert made.status == 201
    service.call("79991234567", int(time.time()))
    assert service.read(made.json["id"], wait=5).json["status"] == "verified"
    assert service.consume(made.json["id"]).status == 200
    for serve in (running.api, running.public):
        assert serve.sh("id -u").stdout.strip() == "10001"
        # /var/tmp is left out, because podman mounts a writable one.
        for path in ("/app", "/opt/waitcall", "/etc", "/run", "/usr", "/var/lib", "/home"):
            assert serve.sh(f"touch {path}/x").returncode != 0, path
        assert serve.sh("touch /tmp/x").returncode == 0
        assert serve.sh("grep CapEff /proc/1/status").stdout.split()[1].strip("0") == ""
    assert b"waitcall_leader_fence" in service.ask("GET", f"{running.worker_ops}/metrics").body
    assert running.api.sh("waitcall check").stdout == "The settings are sound.\n"
    running.worker.terminate()
    assert running.worker.ended() == "0"


def test_sigterm_under_load_drops_no_request(running: Running) -> None:
    """A load balancer polls /readyz every 0.1 s, and clients send requests until it is not ready."""
    answers: Counter[str] = Counter()
    routable, ended = threading.Event(), threading.Event()
    routable.set()
    numbers = itertools.count(79991240000)

    def look() -> None:
        while not ended.wait(0.1):
            try:
                ready = running.ready()
            except OSError:
                ready = False
            if not ready:
                routable.clear()

    def ask() -> None:
        while not ended.is_set() and routable.is_set():
            try:
                made: Answered = running.service.create(f"+{next(numbers)}")
                answers[str(made.status)] += 1
                answers[str(running.service.read(made.json["id"], wait=1).status)] += 1
            except Exception as error:  # noqa: BLE001  any error is a dropped request
                answers[repr(error)] += 1

    threads = [threading.Thread(target=look), *(threading.Thread(target=ask) for _ in range(16))]
    for thread in threads:
        thread.start()
    wait_for(lambda: answers["201"] > 50, seconds=60)
    running.api.terminate()
    assert running.api.ended() == "0"
    ended.set()
    for thread in threads:
        thread.join(30)
    assert not routable.is_set()
    assert {*answers} == {"201", "200"}, answers
