"""Follow the quickstart as a newcomer: run its commands in an empty folder and make its clicks in Chromium."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import taken
from tests.end_to_end.conftest import ROOT
from tests.redis_servers import wait_for

PAGE = ROOT / "docs" / "quickstart.md"
SUBSCRIBER = "+79991234567"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_from_a_clone_to_the_login(chromium: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    busy = [port for port in (8080, 8081, 8082, 8083, 8085, 8086, 9090, 9091) if taken(port)]
    assert busy == [], f"ports of make examples in use: {busy}"
    walk, demo = blocks()
    began = time.monotonic()
    with (tmp_path / "walk.log").open("w+") as log:
        walking = subprocess.Popen(
            ["bash", "-ec", walk],
            cwd=tmp_path,
            env=os.environ | {"WAITCALL": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:

            def begins() -> str | None:
                assert walking.poll() is None, (tmp_path / "walk.log").read_text()[-3000:]
                found = re.search(r"begin here +(\S+)", (tmp_path / "walk.log").read_text())
                return found[1] if found else None

            wait_for(begins, 400)
            address = begins()
            started = time.monotonic() - began
            context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en")
            page = context.new_page()
            page.goto(address)
            with page.expect_popup() as opened:
                page.get_by_role("button", name="Open the login beside").click()
            opened.value.get_by_role("button", name="Continue").click()
            page.wait_for_function("document.getElementById('did').value !== ''")
            page.get_by_role("button", name="Call", exact=True).click()
            opened.value.get_by_text(SUBSCRIBER).wait_for()
            context.close()
            seconds = time.monotonic() - began
        finally:
            os.killpg(walking.pid, signal.SIGTERM)
            walking.wait(60)
    with capsys.disabled():
        print(f"\nquickstart: {started:.0f} s to the address, {seconds:.0f} s to the login")  # noqa: T201  a figure
    wait_for(lambda: not any(taken(port) for port in (8080, 8085)))
    done = subprocess.run(
        ["bash", "-ec", demo],
        cwd=tmp_path / "waitcall",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "consumed once" in done.stdout


def test_the_quickstart_shows_the_address_that_is_printed() -> None:
    assert "http://127.0.0.1:8082/?login=http%3A%2F%2F127.0.0.1%3A8085" in PAGE.read_text()
