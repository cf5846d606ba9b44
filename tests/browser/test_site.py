"""Open every page of the built documentation site in Chromium, as a reader does, and use its search."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from development import reference
from development.api_reference import anchor
from tests.browser.conftest import PHONE, SIZES
from tests.docs.test_site import ROOT, TOOLS, build
from waitcall.adapters.http.problems import STATUS_OF
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.configuration.settings import PREFIX, SETTINGS
from waitcall.domain.event import EventType

pytestmark = pytest.mark.skipif(
    not (TOOLS / "node_modules").exists(), reason="not installed: make docs-tools, with npm"
)
LAPTOP = {"width": 1280, "height": 800}
MOST_SCREENS = 30
ACCESSIBLE = ("index", "own-numbers", "reference/settings", "reference/api", "runbooks/wrong-numbers")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
"""Rules of axe-core: WCAG 2.2, levels A and AA."""
RAW = re.compile(
    r"^\s*(?:={3,}|-{3,}|\?{3}|!{3}|#{1,6} |\|)|\{ ?[.#:\w-]+=|\*\*|\| ?:?-{3}|\]\(|```|<!--|&[a-z]+;",
    re.MULTILINE,
)
"""Markup of Markdown, MkDocs and HTML that a page must not show."""
SHOWN = """() => {
    const copy = document.querySelector("article").cloneNode(true);
    for (const each of copy.querySelectorAll("pre, code, .mermaid, script, style")) each.remove();
    return copy.textContent;
}"""
BROKEN = "[...document.images].filter(each => !each.complete || !each.naturalWidth).map(each => each.src)"
TOO_WIDE = """async () => {
    const root = document.documentElement, wide = () => root.scrollWidth - root.clientWidth;
    // The drawer of a phone takes a moment to leave.
    for (let frame = 0; frame < 120 && wide() > 0; frame++) await new Promise(requestAnimationFrame);
    return wide();
}"""
FOUND = """async ([page, anchor]) => {
    const found = () => [...document.querySelectorAll(".md-search-result__item:first-child a")]
        .map(each => new URL(each.href)).some(each => each.pathname === page && each.hash === anchor);
    const until = performance.now() + 10_000;
    while (!found() && performance.now() < until) await new Promise(requestAnimationFrame);
    return found();
}"""
"""Tells whether the search's first result has this part of this page, as soon as it does, or after 10 seconds."""


class Quiet(SimpleHTTPRequestHandler):
    """Server of files without a log."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def directory(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = build(ROOT, target)
    assert built.returncode == 0, built.stdout + built.stderr
    return target


@pytest.fixture(scope="module")
def address(directory: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Reader:
    """A tab that notes what a page does wrong."""

    def __init__(self, context: Any, address: str) -> None:
        self.address = address
        self.faults: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self._note(message.type == "error", message.text))
        self.page.on("pageerror", lambda error: self._note(True, str(error)))
        self.page.on(
            "request", lambda each: self._note(not each.url.startswith((address, "data:", "blob:")), each.url)
        )

    def _note(self, wrong: bool, what: str) -> None:
        if wrong:
            self.faults.append(f"{self.page.url.removeprefix(self.address)}: {what}")

    def search(self, query: str) -> None:
        """Type a query into the search box."""
        box = self.page.locator(".md-search__input")
        box.fill(query)
        # The search listens to keys.
        box.press("End")

    def open(self, name: str) -> None:
        """Open a page, and wait until its diagrams are drawn."""
        self.page.goto(f"{self.address}/{name}")
        self.page.wait_for_function("!document.querySelector('pre.mermaid')")

    def look(self) -> None:
        """Note what is wrong with the page that is open."""
        page = self.page
        self._note(bool(found := RAW.findall(page.evaluate(SHOWN))), f"raw markup: {found}")
        self._note(bool(found := page.evaluate(BROKEN)), f"broken images: {found}")
        self._note((found := page.evaluate(TOO_WIDE)) > 0, f"{found} px too wide")
        for diagram in page.locator(".mermaid").all():
            box = diagram.bounding_box()
            self._note(box is None or box["height"] < 100, "a diagram is empty")


@pytest.fixture
def reader(chromium: Any, address: str) -> Iterator[Reader]:
    context = chromium.new_context(viewport=LAPTOP)
    context.set_default_timeout(20_000)
    yield Reader(context, address)
    context.close()


def test_every_page_is_whole_on_a_laptop_and_a_phone(reader: Reader, directory: Path) -> None:
    names = [str(path.relative_to(directory)) for path in sorted(directory.rglob("*.html"))]
    assert len(names) > 90
    for name in names:
        reader.open(name)
        for size in (LAPTOP, PHONE["viewport"]):
            reader.page.set_viewport_size(size)
            reader.look()
    assert reader.faults == []


@pytest.mark.parametrize(
    "shown",
    [
        "===",
        '??? note "More"',
        "!!! warning",
        'a picture{ width="260" }',
        "stray **bold",
        "| a | b |",
        "a |---| b",
        "[a link](page.md)",
        "## heading",
        "a &nbsp; b",
    ],
)
def test_raw_markup_is_found(shown: str) -> None:
    assert RAW.search(f"Text\n{shown}\nText")


def test_the_api_reference_is_readable(reader: Reader) -> None:
    reader.open("reference/api.html")
    height = reader.page.evaluate("document.documentElement.scrollHeight")
    assert height <= MOST_SCREENS * LAPTOP["height"], f"{height / LAPTOP['height']:.1f} screens"
    contents = reader.page.locator(".md-sidebar--secondary .md-nav__link:visible").all_inner_texts()
    assert {"Statuses", "Start a verification", "Consume the proof, exactly once", "Objects"} <= set(contents)


def searched() -> dict[str, tuple[str, str]]:
    """Page and anchor that the search must find for each name."""
    metrics = Metrics("1", [], [], worker=True).registry.collect()
    names = {
        "settings": [f"{PREFIX}{each}" for each in SETTINGS],
        "metrics": [f"{each.name}_total" if each.type == "counter" else each.name for each in metrics],
        "problems": [*STATUS_OF],
        "webhooks": [each.value for each in EventType],
        "policy": re.findall(r"^### `(.+)`$", reference.policy(), re.MULTILINE),
    }
    return {
        name: (f"/reference/{page}.html", f"#{anchor(name)}") for page, each in names.items() for name in each
    } | {
        "docker": ("/deploy.html", "#the-service"),
        "rotate": ("/operating.html", "#rotate-keys-and-secrets"),
        "min_assurance": ("/reference/policy.html", f"#{anchor('purposes.NAME.min_assurance')}"),
    }


def test_the_search_finds_every_name_as_it_is_typed(reader: Reader) -> None:
    reader.open("index.html")
    missed = []
    for name, expected in searched().items():
        reader.search(name)
        if not reader.page.evaluate(FOUND, [*expected]):
            missed.append(name)
    assert missed == []
    assert reader.faults == []


def test_the_search_works_in_a_page_opened_as_a_file(chromium: Any, directory: Path) -> None:
    reader = Reader(chromium.new_context(viewport=LAPTOP), directory.as_uri())
    reader.open("index.html")
    reader.search("WAITCALL_REDIS_URL")
    expected = f"{directory}/reference/settings.html", f"#{anchor('WAITCALL_REDIS_URL')}"
    assert reader.page.evaluate(FOUND, [*expected])
    assert reader.faults == []
    reader.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_pages_are_accessible(chromium: Any, address: str, size: str, scheme: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="not installed: make browser-tools"
    )
    reader = Reader(chromium.new_context(**SIZES[size] | {"color_scheme": scheme}), address)
    for name in ACCESSIBLE:
        reader.open(f"{name}.html")
        found = axe.Axe().run(reader.page, options={"runOnly": WCAG}).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], name
    reader.page.context.close()


def diagrams() -> list[tuple[str, str]]:
    """File and text of each Mermaid diagram of the repository's own Markdown."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "clients").glob("*/README.md")]
    return [
        (str(path.relative_to(ROOT)), found)
        for path in pages
        for found in re.findall(r"^```mermaid\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    ]


def test_every_diagram_can_be_parsed(reader: Reader) -> None:
    reader.open("hosted-page.html")
    found = diagrams()
    assert {"README.md", "docs/architecture.md", "docs/hosted-page.md"} <= {file for file, _ in found}
    for file, text in found:
        assert reader.page.evaluate("text => mermaid.parse(text, {suppressErrors: true})", text), file
    assert not reader.page.evaluate(
        "mermaid.parse('sequenceDiagram\\n a->>b: one; two', {suppressErrors: true})"
    )
