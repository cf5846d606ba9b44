"""Run compose.yaml with podman-compose, and walk through it as `make examples` is walked.

The images of Python and Valkey are replaced by one debootstrapped Debian, because a registry of images may be out of reach.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from development import newest_python
from development.compose_env import PUBLISHED
from development.ports import check_free, moved
from development.processes import StartFailed
from development.stack import answers
from examples.__main__ import KNOWN
from tests.end_to_end.conftest import ROOT
from tests.redis_servers import wait_for

TOOLS = ("podman-compose", "podman", "runc", "debootstrap")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
PROJECT = f"waitcall-test-{os.getpid()}"
STAND_IN = f"localhost/{PROJECT}"
SERVICES = ("redis", "api", "public", "worker", "simulator", "login", "reset")
# The runtime and the limits are those of tests/image/test_image.py.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=2048:2048"]
[engine]
runtime = "runc"
"""
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="images are built as root"),
]


@dataclass
class Composed:
    """A copy of the tree in which compose.yaml runs."""

    folder: Path
    environ: dict[str, str]
    base: int

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{moved(PUBLISHED, str(self.base))[name]}"

    def run(self, *command: str) -> str:
        ran = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{command}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
        return ran.stdout

    def compose(self, *words: str) -> str:
        return self.run("podman-compose", "-p", PROJECT, *words)

    def ready(self) -> bool:
        paths = {"API_PORT": "/openapi.json", "PAGES_PORT": "/callbacks/smsc", "HANDSET_PORT": "/"}
        paths |= {"LOGIN_PORT": "/", "RESET_PORT": "/"}
        return all(answers(self.url(name) + path) for name, path in paths.items())


def is_free(base: int) -> bool:
    ports = moved(PUBLISHED, str(base))
    try:
        check_free(ports | {"api": ports["API_PORT"]})
    except StartFailed:
        return False
    return True


@pytest.fixture
def composed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Composed]:
    told = subprocess.run(["podman-compose", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"podman-compose\w* version +(\d+)\.(\d+)", told)
    if version is None or (int(version[1]), int(version[2])) < (1, 1):
        pytest.skip("podman-compose 1.1 or newer is needed: older ones do not know `network_mode: service:`")
    (tmp_path / "containers.conf").write_text(CONTAINERS)
    base = next(base for base in range(18_080, 60_000, 1_000) if is_free(base))
    environ = os.environ | {
        "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "BASE_IMAGE": STAND_IN,
        "REDIS_IMAGE": STAND_IN,
        "PORT_BASE": str(base),
    }
    stack = Composed(tmp_path / "waitcall", environ, base)
    newest_python.debootstrap(tmp_path / "debian", "valkey-server")
    stack.folder.mkdir()
    pack = f"cd '{ROOT}' && git ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -c"
    stack.run("sh", "-c", f"({pack}) | tar -x")
    stack.run("sh", "-c", f"tar -C '{tmp_path}/debian' -c . | podman import --quiet - {STAND_IN}")
    shutil.rmtree(tmp_path / "debian")
    probe = subprocess.run(
        ["podman", "run", "--rm", STAND_IN, "true"], env=environ, capture_output=True, text=True, check=False
    )
    try:
        if probe.returncode:
            pytest.skip(f"no container can be started here: {probe.stderr.strip()[-200:]}")
        told = stack.run(sys.executable, "-m", "development.compose_env")
        began = time.monotonic()
        stack.compose("up", "--detach", "--build", *SERVICES)
        wait_for(stack.ready, 120)
        with capsys.disabled():
            print(f"\ncompose: {time.monotonic() - began:.0f} s from up --build to an answer of all")  # noqa: T201  a figure
        assert f"Then: {stack.url('HANDSET_PORT')}/ " in told
        yield stack
    finally:
        subprocess.run(
            ["podman-compose", "-p", PROJECT, "down", "--volumes", "--timeout", "1"],
            cwd=stack.folder,
            env=environ,
            capture_output=True,
            check=False,
        )
        images = stack.run(
            "podman", "images", "--quiet", "--filter", f"reference=localhost/{PROJECT}*"
        ).split()
        stack.run("podman", "rmi", "--force", *images)


def test_a_login_and_a_reset_work_in_the_containers(chromium: Any, composed: Composed) -> None:
    # The module is only there after `make browser-tools`.
    from playwright.sync_api import expect  # noqa: PLC0415

    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en")
    page = context.new_page()
    page.goto(composed.url("HANDSET_PORT"))
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Log in").click()
    app = opened.value
    app.get_by_role("button", name="Continue").click()
    page.locator("#did:not(:placeholder-shown)").wait_for()
    page.get_by_role("button", name="Call", exact=True).click()
    app.get_by_text(KNOWN).wait_for()

    app.get_by_role("link", name="Reset a password").click()
    app.locator("#phone").fill(KNOWN)
    app.get_by_role("button", name="Continue").click()
    number = app.locator(".number a").get_attribute("href").removeprefix("tel:")
    expect(page.locator("#did")).to_have_value(number)
    page.get_by_role("button", name="Call", exact=True).click()
    text = page.locator("#received li").filter(has_text="verification code")
    text.wait_for()
    app.locator("#code").fill("".join(filter(str.isdigit, text.inner_text())))
    app.get_by_role("button", name="Continue").click()
    app.get_by_role("heading", name="Choose a new password").wait_for()
    context.close()
    # The webhook reached the login's container.
    log = composed.run("sh", "-c", f"podman logs {PROJECT}_login_1 2>&1")
    assert re.search(r'"[^"]*POST /waitcall HTTP/1.1[^"]*" 204', log)
    assert "failure" not in composed.compose("exec", "-T", "api", "waitcall", "doctor")
