"""Rules for prose that a machine can check. Vale has them, with the styles in ``development/prose``."""

import pytest

from development import prose

pytestmark = pytest.mark.skipif(
    not prose.VALE.exists(), reason="Vale is not built: make prose-tools, with Go"
)

TEN_WORDS = "Ten words are in this sentence, and none is new. "
HARD = {
    "Plain.Openings": [
        "Of one server, or of a node.",
        "What it stores lasts a week.",
        "By this rule a call counts.",
    ],
    "Plain.Inversions": ["Stored is a keyed hash.", "It is refused, nor does a repeat help."],
    "Plain.Words": ["You need not build a page."],
    "Plain.Terms": ["A cabinet of records."],
    "Plain.Semicolons": ["One; two; three."],
    "Plain.Colons": ["One: two: three."],
    "Plain.Sentence": ["word " * 33 + "ends."],
    "Plain.Paragraph": [TEN_WORDS * 10],
    "Plain.Item": ["- " + TEN_WORDS * 8],
    "Plain.Cell": ["| a |\n|---|\n| " + TEN_WORDS * 5 + "|"],
    "Docstrings.Openings": ["As a rule.", "Nobody asks."],
}
PLAIN = """\
# What a call proves

The service stores a keyed hash. It refuses a number with 422, except in tests; see [limits](limits.md).

| what | by |
|---|---|
| As a rule, the person calls within 15 minutes: | the provider |
"""


def test_every_sentence_keeps_the_rules() -> None:
    assert [str(mistake) for mistake in prose.found(prose.texts())] == []


def test_pages_docstrings_comments_and_titles_are_read() -> None:
    texts = prose.texts()
    assert texts["docs/adr/0003-compare-and-set-with-pure-transitions.md"].startswith("# 0003")
    assert "## [0.1.0]" not in texts["CHANGELOG.md"]
    assert {"README.md", "docs/limits.md", "helm/waitcall/values.yaml.md", "simulator/server.py.md"} <= set(
        texts
    )


def test_a_sentence_that_is_hard_to_read_is_found() -> None:
    texts = {
        f"{rule}/{number}{'.py' if rule.startswith('Docstrings') else ''}.md": f"{text}\n"
        for rule, hard in HARD.items()
        for number, text in enumerate(hard)
    }
    found = prose.found(texts)
    assert {mistake.path for mistake in found} == set(texts)
    assert [mistake for mistake in found if mistake.rule != mistake.path.partition("/")[0]] == []


def test_plain_sentences_are_left_alone() -> None:
    assert prose.found({"page.md": PLAIN}) == []


def test_the_docstring_of_a_constant_is_read_and_keeps_its_line() -> None:
    source = 'def act():\n    """Of one server."""\n\n\nLIMIT = 1\n"""Of many."""\n'
    assert prose.docstrings(source).splitlines()[1::4] == ["Of one server.", "Of many."]
