"""Follow the quickstart as a newcomer: in an empty folder, with its commands and files, and clicks in Chromium."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from development.ports import Ports, check_free
from development.processes import StartFailed
from tests.end_to_end.conftest import ROOT
from tests.redis_servers import wait_for

PAGE = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
SUBSCRIBER = "+79991234567"
OWN_PORT = 8090
INSTALL_SECONDS = 400


class Newcomer:
    """Reader who follows the page in an empty folder, on ports that are free."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = next(base for base in range(18_080, 60_000, 1_000) if _is_free(base))
        self.environ = os.environ | {"WAITCALL": str(ROOT), "PORT_BASE": str(self.base)}
        self.took: dict[str, float] = {}
        usual = sorted({*vars(Ports()).values(), OWN_PORT})
        # A port stands behind a colon, which is written %3A in a parameter, or behind the option --port.
        self._page = re.sub(
            rf"(?<=:|A| )({'|'.join(map(str, usual))})\b",
            lambda port: str(int(port[0]) + self.base - Ports.api),
            PAGE,
        )

    def block(self, beginning: str) -> str:
        """Return the page's only block that begins so."""
        blocks = re.findall(r"^```\w+[^\n]*\n(.*?)^```$", self._page, re.MULTILINE | re.DOTALL)
        (found,) = [each for each in blocks if each.startswith(beginning)]
        return str(found)

    def address(self, beginning: str) -> str:
        """Return the address that follows these words of the page."""
        (found,) = set(re.findall(rf"{beginning}\s+<?(http:[^\s>]+)", self._page))
        return str(found)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.took[title] = time.monotonic() - began

    def run(self, script: str, folder: str) -> str:
        ended = subprocess.run(
            ["bash", "-ec", script],
            cwd=self.folder / folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    @contextmanager
    def running(self, script: str, folder: str, said: str) -> Iterator[None]:
        """Run a script in the background, from the moment that it has ``said`` something until the end of the block."""
        path = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                ["bash", "-ec", script],
                cwd=self.folder / folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:

            def ready() -> bool:
                assert process.poll() is None, path.read_text()[-3000:]
                return said in path.read_text()

            wait_for(ready, INSTALL_SECONDS)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _is_free(base: int) -> bool:
    try:
        check_free(vars(Ports.given(str(base))) | {"own": base + OWN_PORT - Ports.api, "api": base})
    except StartFailed:
        return False
    return True


@pytest.fixture
def newcomer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Newcomer]:
    following = Newcomer(tmp_path)
    yield following
    with capsys.disabled():
        for title, seconds in (following.took | {"all of it": sum(following.took.values())}).items():
            print(f"\n{title:<40} {seconds // 60:2.0f} min {seconds % 60:4.1f} s", end="")  # noqa: T201  a figure
        print()  # noqa: T201


def test_from_a_clone_to_the_examples_and_to_a_login_of_ones_own(chromium: Any, newcomer: Newcomer) -> None:
    clone, install, examples = newcomer.block("git clone").splitlines()
    with newcomer.step("clone"):
        newcomer.run(clone, ".")
    with newcomer.step("make install"):
        newcomer.run(install, "waitcall")
    with newcomer.step("make examples, and the login in it"):
        handset = newcomer.address("begin here")
        with newcomer.running(examples, "waitcall", handset):
            log_in_at_the_example(chromium, handset)
    wait_for(lambda: _is_free(newcomer.base))
    with newcomer.step("make demo"):
        assert "consumed once" in newcomer.run(newcomer.block("make demo"), "waitcall")

    with newcomer.step("a folder for the own app"):
        newcomer.run(newcomer.block("mkdir"), "waitcall")
    own = newcomer.folder / "my-login"
    (own / "app.py").write_text(newcomer.block("import secrets"))
    newcomer.run(newcomer.block("cp "), "my-login")
    with (
        newcomer.step("start both, and the own login"),
        newcomer.running(newcomer.block("make -C"), "my-login", "Ctrl-C stops everything"),
        newcomer.running(newcomer.block(".venv/bin/flask"), "my-login", "Running on"),
    ):
        log_in_at_the_own_app(chromium, newcomer.address("Open"), newcomer.address("your app, and"))


def log_in_at_the_example(chromium: Any, handset: str) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 800}, locale="en")
    page.goto(handset)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Log in").click()
    opened.value.get_by_role("button", name="Continue").click()
    call(page)
    opened.value.get_by_text(SUBSCRIBER).wait_for()
    page.close()


def log_in_at_the_own_app(chromium: Any, app: str, handset: str) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en")
    login, phone = context.new_page(), context.new_page()
    leave_and_begin_again(login, phone, app)
    phone.goto(handset)
    call(phone)
    login.get_by_text("Your call has come.").wait_for()
    login.get_by_role("button", name="Continue").click()
    login.get_by_text(f"You are logged in as {SUBSCRIBER}.").wait_for()
    # A browser without an attempt, which brings a result, is not logged in.
    context.clear_cookies()
    login.goto(f"{app}/back?result={'0' * 32}")
    login.get_by_role("button", name="Continue").click()
    login.get_by_text("Enter your phone number.").wait_for()
    context.close()


def leave_and_begin_again(login: Any, other: Any, app: str) -> None:
    """Begin five times with the same number, which each time is free at once. The last attempt stays."""
    for page in (other, login):  # the second start of this session cancels the first
        begin(page, app)
    for way in ("Start again", "Cancel", "Wrong number?"):
        login.get_by_role("link", name=way).click()
        login.get_by_text("You are not logged in yet.").wait_for()
        login.get_by_role("button", name="Continue").click()
        login.get_by_text("Enter your phone number.").wait_for()
        begin(login, app)


def begin(page: Any, app: str) -> None:
    page.goto(app)
    page.get_by_label("Phone").fill(SUBSCRIBER)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="Call this number").wait_for()


def call(handset: Any) -> None:
    """Call from the handset as soon as it shows the number to dial."""
    handset.locator("#did:not(:placeholder-shown)").wait_for()
    handset.get_by_role("button", name="Call", exact=True).click()
