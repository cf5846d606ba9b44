"""The service uses its libraries by their documented names: it reads none of their private names and replaces nothing in them.

ruff's SLF001 finds private names that are read from an object. This test finds the cases that ruff does not look for.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAIN = ["service", "config"]

PLACES = {"g"}
"""Imported names that may be given attributes: ``flask.g`` is made for that."""


def trespasses(source: str) -> Iterator[str]:
    """Yield a description of each private name read from an import or from ``super()``, and of each change to an import."""
    tree = ast.parse(source)
    imported = set(_imported(tree)) - PLACES
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"imports {each.name}" for each in node.names if _is_private(each.name))
        if not isinstance(node, ast.Attribute):
            continue
        root = _root(node)
        if _is_private(node.attr) and (root in imported or _is_super(node.value)):
            yield f"reads {ast.unparse(node)}"
        if node.attr == "__dict__":
            yield f"reads {ast.unparse(node)}"
        if isinstance(node.ctx, ast.Store | ast.Del) and root in imported:
            yield f"changes {ast.unparse(node)}"
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("setattr" | "delattr"), args=[ast.Name(name), *_]) if (
                name in imported
            ):
                yield f"changes {ast.unparse(node)}"


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((each.asname or each.name).partition(".")[0] for each in node.names)


def _root(node: ast.expr) -> str | None:
    """Return the name that a chain of attributes and calls begins with, or None."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def modules(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("folder", PLAIN)
def test_libraries_are_used_by_their_public_names(folder: str) -> None:
    found = {
        str(path.relative_to(ROOT)): list(trespasses(path.read_text())) for path in modules(ROOT / folder)
    }
    assert {path: each for path, each in found.items() if each} == {}


@pytest.mark.parametrize("folder", PLAIN)
def test_no_private_name_is_excused(folder: str) -> None:
    excused = [path.name for path in modules(ROOT / folder) if "SLF001" in path.read_text()]
    assert excused == []


@pytest.mark.parametrize(
    "planted",
    [
        "from gunicorn import util\nutil.close = print",
        "import gunicorn.util\ngunicorn.util.close = print",
        "from gunicorn.http.unreader import SocketUnreader\nSocketUnreader.chunk = print",
        "from gunicorn import util\nsetattr(util, 'close', print)",
        "from gevent import get_hub\nget_hub().print_exception = print",
        "from flask import Flask\nFlask('x')._got_first_request",
        "from gunicorn.http.message import _private",
        "class Worker:\n    def run(self):\n        super()._run()",
        "class Worker:\n    def run(self):\n        self.cfg.__dict__.update({})",
    ],
)
def test_a_planted_trespass_is_found(planted: str) -> None:
    assert len(list(trespasses(planted))) == 1


@pytest.mark.parametrize(
    "sound",
    [
        "from flask import g\ng.client = 'web'",
        "class Worker:\n    def __init__(self):\n        super().__init__()\n        self._idle = set()",
        "import logging\n_log = logging.getLogger(__name__)",
    ],
)
def test_sound_code_is_left_alone(sound: str) -> None:
    assert list(trespasses(sound)) == []
