"""Badges of the README, drawn from what the code declares: ``make badges``."""

import re
import sys
import tomllib
from collections.abc import Mapping
from html import escape
from pathlib import Path

from waitcall.adapters.http.api import build_document

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "badges"
LETTER, PADDING = 6.5, 14
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{name}: {value}">
<title>{name}: {value}</title>
<clipPath id="round"><rect width="{width}" height="20" rx="3"/></clipPath>
<g clip-path="url(#round)">
<rect width="{split}" height="20" fill="#374151"/>
<rect x="{split}" width="{right}" height="20" fill="#1d4ed8"/>
</g>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{name_at}" y="14" textLength="{name_length}">{name}</text>
<text x="{value_at}" y="14" textLength="{value_length}">{value}</text>
</g>
</svg>
"""


def facts() -> dict[str, tuple[str, str]]:
    """Return the name and the value of each badge, by the name of its file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = project["project"]["requires-python"].removeprefix(">=")
    (newest,) = re.findall(r"^ARG BASE=python:(3\.\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    languages = list((ROOT / "service/waitcall/adapters/http/hosted_page/locales").glob("*.toml"))
    return {
        "python": ("Python", f"{oldest} to {newest}"),
        "licence": ("licence", project["project"]["license"]),
        "api": ("API", f"OpenAPI {build_document('1')['openapi'].rpartition('.')[0]}"),
        "page": ("hosted page", f"{len(languages)} languages"),
        "types": ("types", "mypy, strict" if project["tool"]["mypy"]["strict"] else "mypy"),
    }


def draw(name: str, value: str) -> str:
    """Return a badge as SVG."""
    lengths = [round(len(text) * LETTER) for text in (name, value)]
    split, right = (length + PADDING for length in lengths)
    return SVG.format(
        name=escape(name),
        value=escape(value),
        width=split + right,
        split=split,
        right=right,
        name_at=split / 2,
        value_at=split + right / 2,
        name_length=lengths[0],
        value_length=lengths[1],
    )


def badges() -> Mapping[str, str]:
    """Return all badges as SVG, by the name of the file."""
    return {f"{file}.svg": draw(*fact) for file, fact in facts().items()}


def main() -> int:
    """Write the badges."""
    FOLDER.mkdir(exist_ok=True)
    for file, text in badges().items():
        (FOLDER / file).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
