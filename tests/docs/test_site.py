"""The documentation site builds without a warning, has every page, and loads nothing from another host."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from development import client
from waitcall import __version__
from waitcall.adapters.http.api import build_document
from waitcall.adapters.http.problems import STATUS_OF

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools/docs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("material") is None, reason="not installed: make docs-tools"),
]


class Links(HTMLParser):
    """Links of a page, the files that it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(given.get("href", ""))
        elif "src" in given:
            self.loads.append(given["src"])


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--site-dir",
            str(target),
            "--config-file",
            str(source / "mkdocs.yml"),
        ],
        cwd=source,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{source}:{TOOLS}",
            "NO_MKDOCS_2_WARNING": "1",
            "HOME": "/tmp",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    target = tmp_path_factory.mktemp("site")
    built = build(ROOT, target)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    yield target
    shutil.rmtree(target)


@pytest.fixture(scope="module")
def site(directory: Path) -> dict[str, Links]:
    return {
        str(path.relative_to(directory)): Links(path.read_text(encoding="utf-8"))
        for path in sorted(directory.rglob("*.html"))
    }


def test_every_link_leads_somewhere(site: dict[str, Links], directory: Path, tmp_path: Path) -> None:
    broken = []
    for name, page in site.items():
        if name == "404.html":
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path, anchor = urldefrag(unquote(link))
            target = (
                str((tmp_path / name).parent.joinpath(path).resolve().relative_to(tmp_path)) if path else name
            )
            if target.endswith(".html"):
                found = target in site and (not anchor or anchor in site[target].anchors)
            else:
                found = (directory / target).is_file()
            if not found:
                broken.append(f"{name}: {link}")
    assert broken == []
    assert sum(len(page.links) for page in site.values()) > 1000


def test_no_page_loads_anything_from_another_host(site: dict[str, Links]) -> None:
    foreign = {url for page in site.values() for url in page.loads if urlsplit(url).netloc}
    assert foreign == set()


@pytest.mark.skipif(not (TOOLS / "node_modules").exists(), reason="not installed: make docs-tools, with npm")
def test_diagrams_are_drawn_by_a_script_of_the_site(site: dict[str, Links], directory: Path) -> None:
    assert 'class="mermaid"' in (directory / "architecture.html").read_text(encoding="utf-8")
    (script,) = [url for url in site["architecture.html"].loads if "mermaid" in url]
    assert (directory / script).is_file()
    assert [url for url in site["index.html"].loads if "mermaid" in url] == []


def test_no_diagram_is_drawn_in_characters() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert [path.name for path in pages if re.search("[│┌└├─▶◀]{2}", path.read_text())] == []


def test_every_page_of_the_documentation_is_on_the_site(site: dict[str, Links]) -> None:
    pages = {
        str(path.relative_to(ROOT / "docs")).replace(".md", ".html").replace("README", "index")
        for path in (ROOT / "docs").rglob("*.md")
        if not path.name.endswith(".in.md")
    }
    assert pages - set(site) == set()


def test_the_reference_has_every_path_and_every_code_with_its_class(directory: Path) -> None:
    reference = re.sub(r"<[^>]+>", "", (directory / "reference/api.html").read_text(encoding="utf-8"))
    for path in build_document(__version__)["paths"]:
        assert path in reference
    problems = (directory / "reference/problems.html").read_text(encoding="utf-8")
    for code in set(STATUS_OF) - client.NOT_OF_THE_API:
        assert f'id="{code}"' in problems
        assert f"<code>{client.class_of(code)}</code>" in problems


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy of everything that the site is made from, which a test may break."""
    for name in ("docs", "development", "service"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "adr", "runbooks")
        )
    for name in ("adr", "runbooks"):
        shutil.copytree(ROOT / "docs" / name, tmp_path / "docs" / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    # Pages link to files of all other folders.
    for path in ROOT.iterdir():
        if not (tmp_path / path.name).exists():
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def append(page: Path, *lines: str) -> None:
    page.write_text("\n".join([page.read_text(), *lines, ""]))


def test_each_broken_link_between_pages_fails_the_build(copy: Path) -> None:
    append(
        copy / "docs/captcha.md", "[nowhere](nowhere.md)", "", "[no anchor](channels.md#nothing-of-that-name)"
    )

    built = build(copy, copy / "site")

    assert built.returncode != 0
    warnings = [line for line in built.stderr.splitlines() if line.startswith("WARNING")]
    assert ["nowhere.md" in line for line in warnings] == [True, False]
    assert ["nothing-of-that-name" in line for line in warnings] == [False, True]
    assert "Aborted with 2 warnings in strict mode" in built.stdout + built.stderr


def test_a_link_to_a_file_that_is_nowhere_fails_the_build(copy: Path) -> None:
    append(copy / "docs/captcha.md", "[outside](../nowhere.txt)")

    built = build(copy, copy / "site")

    assert built.returncode != 0
    assert "nowhere" in built.stdout + built.stderr
