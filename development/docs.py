"""MkDocs hook: fills in what is generated from the code, lists runbooks and decisions, handles links to other files, and
lets the site draw its diagrams.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File
from pymdownx.superfences import fence_code_format

from development import client
from waitcall import __version__
from waitcall.adapters.http.api import build_document
from waitcall.adapters.http.problems import STATUS_OF

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MERMAID = ROOT / ".tools/docs/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
OAD = (sys.executable, "-c", "from openapidocs.main import main; main()")
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+(?!docs/)[^)#]+)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Add every runbook and every decision to the navigation, and draw diagrams if the library is installed."""
    for section in config["nav"]:
        if "Operate" in section:
            section["Operate"][-1]["Runbooks"] = [f"runbooks/{path.name}" for path in _pages("runbooks")]
        if "Decisions" in section:
            section["Decisions"] = [
                "adr/README.md",
                *(f"adr/{path.name}" for path in _pages("adr") if path.name != "README.md"),
            ]
    if MERMAID.is_file():
        # Without this script the theme would load one from another host, so then diagrams stay text.
        config["extra_javascript"].append(MERMAID.name)
        fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
        config["mdx_configs"]["pymdownx.superfences"] = {"custom_fences": [fence]}
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the library that draws diagrams to the site, if it is installed."""
    if MERMAID.is_file():
        files.append(File.generated(config, MERMAID.name, abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fill in the generated parts. Replace links to files outside the site by the files' names.

    Raises:
        ValueError: if such a file does not exist.
    """
    for mark, written in {"<!-- codes -->": codes, "<!-- api -->": api}.items():
        if mark in markdown:
            markdown = markdown.replace(mark, written())
    here = (DOCS / page.file.src_uri).parent

    def told(match: re.Match[str]) -> str:
        target = (here / match[2]).resolve()
        if target.is_relative_to(DOCS):
            return match[0]
        if not target.exists():
            raise ValueError(f"{page.file.src_uri}: {match[2]} does not exist.")
        return f"{match[1]} (`{target.relative_to(ROOT)}`)"

    return _OUTSIDE.sub(told, markdown)


def codes() -> str:
    """Return the rows of the table of problem codes."""
    return "\n".join(f"| {STATUS_OF[code]} `{code}` | `{client.class_of(code)}` |" for code in client.codes())


def api() -> str:
    """Return the API's reference in Markdown, made by essentials-openapi."""
    written = ROOT / "site-openapi.json"
    made = ROOT / "site-openapi.md"
    document = build_document(__version__)
    # The server's URL is "/", which on the site would be the site itself.
    del document["servers"]
    try:
        written.write_text(json.dumps(document), encoding="utf-8")
        command = [*OAD, "gen-docs", "-s", str(written), "-d", str(made), "--style", "MKDOCS"]
        subprocess.run(command, check=True, capture_output=True)
        text = made.read_text(encoding="utf-8")
    finally:
        written.unlink(missing_ok=True)
        made.unlink(missing_ok=True)
    # Remove its title, because the page has its own.
    return re.sub(r"\A# .*\n", "", text)


def _pages(folder: str) -> list[Path]:
    return sorted((DOCS / folder).glob("*.md"))
