"""Rules for prose that a machine can check: how a docstring begins, and how long its first paragraph may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "service",
    "config",
    "simulator",
    "clients/python/src",
    "development",
    "benchmarks",
    "examples",
    "tests",
)
RIDDLES = re.compile(
    r"(Of|As|By|What|Whether|Whoever|Whatever|Whose|Whom|Who|The same|So many|From now on|Nobody|Somebody)\b"
)
MOST_CHARACTERS = 400


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each docstring, those of constants and fields too."""
    for node in ast.walk(ast.parse(source)):
        for child in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            value = child.value if isinstance(child, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield child.lineno, value.value.strip()


def mistakes(source: str) -> Iterator[str]:
    for line, text in docstrings(source):
        if RIDDLES.match(text):
            yield f"{line}: begins with {text.split()[0]!r}"
        first = text.partition("\n\n")[0]
        if len(first) > MOST_CHARACTERS and not first.startswith("Args:"):
            yield f"{line}: the first paragraph is too long"


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_say_what_a_thing_does(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{mistake}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for mistake in mistakes(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "text", ["Of one server.", "What decides.", "Whether it may.", "The same of many.", "x" * 401]
)
def test_a_riddle_is_found(text: str) -> None:
    assert list(mistakes(f'def act():\n    """{text}"""\n'))
    assert list(mistakes(f'LIMIT = 1\n"""{text}"""\n'))
