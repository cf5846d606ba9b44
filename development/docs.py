"""MkDocs hook: lists runbooks and decisions, handles links to other files, ranks pages in the search, and lets the site
draw its diagrams and search without a server.
"""

import re
from os.path import normpath
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url
from pymdownx.superfences import fence_code_format

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LIBRARIES = ROOT / ".tools/docs/node_modules"
MERMAID = LIBRARIES / "@mermaid-js/tiny/dist/mermaid.tiny.js"
SEARCH_WORKER = LIBRARIES / "iframe-worker/shim/index.js"
BOOSTS = {"reference": 4, "adr": 0.0001}
"""Factors by which search ranks pages of a folder. References come first. Decisions come last: a word in a title counts
1000 times, so their factor is smaller than the inverse of that.
"""
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+(?!docs/)[^)#]+)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Add every runbook and every decision to the navigation, and use the libraries that are installed."""
    pages = {
        "Runbooks": [f"runbooks/{path.name}" for path in _pages("runbooks")],
        "Decisions": [f"adr/{path.name}" for path in _pages("adr") if path.name != "README.md"],
    }
    pages["Decisions"].insert(0, "adr/README.md")
    for part in config["nav"]:
        for entry in (each for entries in part.values() for each in entries if isinstance(each, dict)):
            entry.update({name: pages[name] for name in pages if name in entry})
    if MERMAID.is_file():
        # Without our script the theme would load one from another host, so then diagrams stay text.
        fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
        config["mdx_configs"]["pymdownx.superfences"] = {"custom_fences": [fence]}
    if not SEARCH_WORKER.is_file():
        # Then only a served site can be searched.
        config["extra"]["polyfills"] = []
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the libraries that are installed to the site."""
    for name, path in ((MERMAID.name, MERMAID), ("iframe-worker.js", SEARCH_WORKER)):
        if path.is_file():
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Rank the page in the search. Replace links to files outside the site by the files' names.

    Raises:
        ValueError: if such a file does not exist.
    """
    folder = page.file.src_uri.partition("/")[0]
    page.meta.setdefault("search", {"boost": BOOSTS.get(folder, 1)})
    here = (DOCS / page.file.src_uri).parent

    def told(match: re.Match[str]) -> str:
        target = Path(normpath(here / match[2]))
        if target.is_relative_to(DOCS):
            return match[0]
        if not target.exists():
            raise ValueError(f"{page.file.src_uri}: {match[2]} does not exist.")
        return f"{match[1]} (`{target.relative_to(ROOT)}`)"

    return _OUTSIDE.sub(told, markdown)


def on_page_content(html: str, *, page: Any, **_: Any) -> str:
    """Load the library that draws diagrams, 2.5 MB, on pages that have one."""
    if '<pre class="mermaid">' not in html:
        return html
    return f'{html}\n<script src="{get_relative_url(MERMAID.name, page.url)}"></script>'


def _pages(folder: str) -> list[Path]:
    return sorted((DOCS / folder).glob("*.md"))
