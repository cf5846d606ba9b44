"""Linter of prose: Vale with the style ``styles/Plain``, over pages, docstrings, the chart's comments and the changelog."""

import ast
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VALE = ROOT / ".tools/bin/vale"
CONFIGURATION = Path(__file__).with_name("vale.ini")


@dataclass(frozen=True, order=True)
class Mistake:
    """A place where Vale stops, and why."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message} ({self.rule})"


def found(texts: Mapping[str, str]) -> list[Mistake]:
    """Run Vale over texts by path. A path that ends in ``.py.md`` gets the rules for docstrings, too."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in texts.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_text(text)
        ran = subprocess.run(
            [VALE, "--config", CONFIGURATION, "--no-global", "--output", "JSON", "--no-exit", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    return sorted(
        Mistake(path, alert["Line"], alert["Check"], alert["Message"])
        for path, alerts in json.loads(ran.stdout).items()
        for alert in alerts
    )


def texts() -> dict[str, str]:
    """All prose of the tree that a person reads, by path. Lines keep their numbers."""
    return {
        f"{path.relative_to(ROOT)}{'' if path.suffix == '.md' else '.md'}": prose(path.read_text())
        for pattern, prose in KINDS.items()
        for path in sorted(ROOT.glob(pattern))
    }


def docstrings(source: str) -> str:
    """First paragraphs of the docstrings, those of constants and fields too."""
    lines = [""] * (source.count("\n") + 2)
    for node in ast.walk(ast.parse(source)):
        for child in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            value = child.value if isinstance(child, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                first = value.value.strip().partition("\n\n")[0].partition("Args:")[0]
                for number, line in enumerate(first.splitlines(), start=child.lineno - 1):
                    lines[number] = line.strip()
    return "\n".join(lines)


def _title(text: str) -> str:
    return text.partition("\n")[0]


def _comments(text: str) -> str:
    """Comments of the chart's values, each a paragraph."""
    return "\n".join(
        line.strip()[4:] if line.strip().startswith("# --") else "" for line in text.splitlines()
    )


def _newest(text: str) -> str:
    """Parts of the changelog about what is not yet released, and about the newest release."""
    return text.partition("\n## [0.1.0]")[0]


def _whole(text: str) -> str:
    return re.sub(r"\{ width=.*?\}", "", text)


KINDS: Mapping[str, Callable[[str], str]] = {
    "[!C]*.md": _whole,
    "CONTRIBUTING.md": _whole,
    "CHANGELOG.md": _newest,
    "docs/*.md": _whole,
    "docs/adr/*.md": _title,
    "docs/[!a]*/*.md": _whole,
    "clients/*/*.md": _whole,
    "*/README.md": _whole,
    "development/*/README.md": _whole,
    "helm/waitcall/README.md": _whole,
    "helm/waitcall/values.yaml": _comments,
} | dict.fromkeys(
    (
        f"{folder}/**/*.py"
        for folder in (
            "service",
            "config",
            "simulator",
            "clients/python/src",
            "development",
            "benchmarks",
            "examples",
            "tests",
        )
    ),
    docstrings,
)
"""Files with prose, and how to get the prose from one. Old decisions are records, so only their titles are linted."""
