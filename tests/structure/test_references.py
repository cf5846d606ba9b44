"""Every text about ``reference`` gives callers one advice: a fresh, unguessable value for each attempt."""

import ast
import re
from pathlib import Path

import pytest

from waitcall.adapters.http.api import build_document

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/runbooks").glob("*.md")),
    *sorted(
        path
        for folder in ("clients", "examples", "development", "simulator", "service", "config", "helm")
        for suffix in ("py", "ts", "md", "toml", "html", "yaml", "json")
        for path in (ROOT / folder).rglob(f"*.{suffix}")
        if not {"build", "dist", "node_modules"} & set(path.parts)
    ),
]
_WHOSE = r"(?:account|session|user|person|customer|login|flow)"
_AS_VALUE = re.compile(rf"""["']?reference["']?\s*[=:]\s*\\?["']?{_WHOSE}[-_ ]?(?:id\b|[0-9])""")
_AS_WORDS = re.compile(rf"\b{_WHOSE}(?:'s)?(?: or (?:\w+(?:'s)?))? ids?\b|reference. that is your \w+")
_DENIED = re.compile(r"\b(?:never|not|no|nor)\b", re.IGNORECASE)


def recommends_an_id(text: str) -> list[str]:
    """Return the sentences that recommend another thing's id as reference. A sentence that denies it is left out."""
    wrong = [match[0] for match in _AS_VALUE.finditer(text)]
    for sentence in re.split(r"(?<=\.)\s|\n\s*\n|\n(?=\s*[-*|#])", text):
        named = "reference" in sentence and _AS_WORDS.search(sentence)
        if named and not _DENIED.search(sentence):
            wrong.append(" ".join(sentence.split())[:120])
    return wrong


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_recommends_the_id_of_an_account_or_a_session(path: Path) -> None:
    assert recommends_an_id(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "Your session or account id; reference: consume must repeat it.",
        "reference: your session's or account's id; consume must repeat it.",
        'waitcall.start(number, reference="session-1")',
        "waitcall.start(number, reference=session_id)",
        '{"reference": "account-42"}',
        "- **You:** send a `reference` that is your session, keep the id on your server.",
    ],
)
def test_such_a_recommendation_is_found(text: str) -> None:
    assert recommends_an_id(text) != []


@pytest.mark.parametrize(
    "text",
    [
        build_document("1")["components"]["schemas"]["Create"]["properties"]["reference"]["description"],
        (ROOT / "clients/python/src/waitcall_client/aio.py").read_text(),
        (ROOT / "clients/python/src/waitcall_client/sync.py").read_text(),
        (ROOT / "clients/python/README.md").read_text(),
        (ROOT / "clients/typescript/README.md").read_text(),
        (ROOT / "clients/typescript/src/client.ts").read_text().replace("*", ""),
        (ROOT / "README.md").read_text(),
        (ROOT / "docs/integration.md").read_text(),
        (ROOT / "docs/what-a-call-proves.md").read_text(),
        (ROOT / "docs/clients.md").read_text(),
        (ROOT / "docs/hosted-page.md").read_text(),
    ],
    ids=[
        *("openapi", "aio", "sync", "python readme", "typescript readme", "typescript"),
        *("readme", "integration", "proves", "clients", "hosted"),
    ],
)
def test_each_text_says_what_to_send_as_reference(text: str) -> None:
    said = " ".join(text.split())
    assert re.search(
        r"[Ff]resh(?: and|,) unguessable(?: `reference`)? for each attempt|fresh for each attempt", said
    )
    assert "server-side session" in said or "session on your server" in said or "# on the server" in said


def test_each_text_says_what_to_do_when_the_number_is_taken() -> None:
    create = build_document("1")["paths"]["/v1/verifications"]["post"]["description"]
    texts = [
        create,
        *((ROOT / name).read_text() for name in ("README.md", "docs/integration.md", "docs/clients.md")),
    ]
    for text in texts:
        assert re.search(r"cancel .{0,60}attempt", " ".join(text.split()))
        assert "wait" in text


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*/app.py")), ids=lambda path: path.parent.name
)
def test_the_examples_make_a_new_reference_for_each_attempt(path: Path) -> None:
    """The function that starts a verification makes its reference with ``secrets.token_urlsafe``."""
    starting = [
        each
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.FunctionDef)
        and any(isinstance(node, ast.keyword) and node.arg == "reference" for node in _own_nodes(each))
        and "waitcall.start(" in ast.unparse(each)
        and not any(isinstance(node, ast.FunctionDef) for node in _own_nodes(each))
    ]
    assert starting
    for each in starting:
        assert "reference = secrets.token_urlsafe(16)" in ast.unparse(each)


def _own_nodes(function: ast.FunctionDef) -> list[ast.AST]:
    return [node for node in ast.walk(function) if node is not function]
