"""Fixtures that drive the examples with Debian's Chromium on the embedded stack."""

import io
import json
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from development.examples import Examples
from development.ports import Ports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
COLOURS = 64
IS_LIGHT = "matchMedia('(prefers-color-scheme: light)').matches"
SCREENSHOTS = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
DESKTOP = {"viewport": {"width": 1280, "height": 720}}
NARROW = PHONE | {"viewport": {"width": 320, "height": 640}}
SIZES = {"phone": PHONE, "desktop": DESKTOP, "narrow": NARROW}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="not installed: make browser-tools")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def stack(chromium: Any) -> Iterator[Examples]:
    with Examples(Ports.free()) as running:
        yield running


@dataclass
class Visitor:
    """A person with a browser and a phone."""

    context: Any
    page: Any
    stack: Examples
    number: str
    lang: str = "en"
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> Any:
        """Collect script errors, dialogs and refusals of the content security policy. Return the page."""

        def heard(message: Any) -> None:
            if "Content Security Policy" in message.text or "Refused to" in message.text:
                self.complaints.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        return page

    def turn_to_a_new_page(self) -> None:
        """Close the visitor's page and open an empty one."""
        self.page.close()
        self.page = self.watch(self.context.new_page())

    def tell(self, path: str, **order: Any) -> Any:
        request = urllib.request.Request(
            f"{self.stack.control}/{path}",
            data=json.dumps(order).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.stack.control}/{path}", timeout=10) as response:
            return json.load(response)

    def call(self) -> None:
        """Call the number that the page shows."""
        phone = self.number.removeprefix("+")
        self.tell("dial", cli=self.number, did=self.ask(f"orders?phone={phone}")["numbers"][-1])

    def code(self) -> str:
        """Return the code of the latest message received."""
        phone = self.number.removeprefix("+")
        text = self.ask(f"messages?phone={phone}")["messages"][-1]["text"]
        return "".join(filter(str.isdigit, text))

    def begin(self, example: str = "login") -> None:
        """Open an example, type the phone number and submit it."""
        address = self.stack.login if example == "login" else self.stack.reset
        self.page.goto(address)
        self.page.locator("#phone").fill(self.number)
        self.page.locator("form button").click()

    def logged_in(self, page: Any = None) -> None:
        (page or self.page).get_by_text(self.number).wait_for()

    def check_accessible(self, page: Any = None) -> None:
        """Assert that axe-core finds no accessibility violation, neither in light nor in dark colours."""
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="not installed: make browser-tools"
        )
        page = page or self.page
        schemes = ("dark", "light") if page.evaluate(IS_LIGHT) else ("light", "dark")
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            found = axe.Axe().run(page).response["violations"]
            wrong = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
            assert wrong == [], scheme

    def slow_down(self, milliseconds: int) -> None:
        """Make every answer that the page gets from now on arrive later. An open poll is not delayed."""
        self.context.new_cdp_session(self.page).send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": milliseconds, "downloadThroughput": -1, "uploadThroughput": -1},
        )

    def shoot(self, name: str, request: pytest.FixtureRequest) -> None:
        """Save a screenshot in docs/screenshots if ``--screenshots`` is given."""
        if request.config.getoption("--screenshots"):
            pillow = pytest.importorskip("PIL.Image", reason="not installed: make browser-tools")
            picture = pillow.open(io.BytesIO(self.page.screenshot(scale="css"))).convert("RGB")
            # Pages have few colours, so a palette makes the file three times smaller.
            picture.quantize(COLOURS, dither=pillow.Dither.NONE).save(
                SCREENSHOTS / f"{name}.png", optimize=True
            )


_numbers = iter(range(10000))


@pytest.fixture
def visiting(chromium: Any, stack: Examples) -> Iterator[Any]:
    made: list[Visitor] = []

    def make(size: str = "desktop", lang: str = "en", **options: Any) -> Visitor:
        context = chromium.new_context(**SIZES[size] | {"locale": lang} | options)
        # Generous on purpose: the timeout only ends a test that hangs.
        context.set_default_timeout(60000)
        number = f"+7999777{next(_numbers):04}"
        visitor = Visitor(context, None, stack, number, lang)
        visitor.page = visitor.watch(context.new_page())
        made.append(visitor)
        return visitor

    yield make
    for each in made:
        each.context.close()
    assert [complaint for each in made for complaint in each.complaints] == []


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
