"""Output of `make demo`: a line for each step, colours for a terminal only, and whether all went well."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from development import demo
from development.steps import Step, steps

STACK: Any = SimpleNamespace(api="http://api", control="http://control")
ANSWERS = [
    (201, {"id": "ver_1", "status": "pending", "call": {"number": "+79585551234"}}),
    (200, {"reported": True}),
    (200, {"status": "verified", "assurance": "network"}),
    (200, {"status": "consumed"}),
    (409, {"code": "already_consumed"}),
]


class Screen(io.TextIOWrapper):
    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


def shown(
    monkeypatch: pytest.MonkeyPatch, screen: Screen, answers: list[Any] = ANSWERS, *, verbose: bool = False
) -> bool:
    left = iter(answers)
    monkeypatch.setattr(Step, "perform", lambda *_: next(left))
    monkeypatch.setattr(sys, "stdout", screen)
    return demo.demonstrate(STACK, verbose=verbose)


def test_each_step_is_one_line_without_colours_where_no_person_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=False)
    assert shown(monkeypatch, screen)
    assert [line[:1] for line in screen.text().splitlines()] == ["✓"] * len(steps(STACK)) + ["", "V"]
    assert "dial +79585551234" in screen.text()


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=True)
    shown(monkeypatch, screen)
    assert "\033[32m✓" in screen.text()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Screen(terminal=True)
    shown(monkeypatch, plain)
    assert "\033" not in plain.text()


def test_more_words_show_each_request_and_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=False)
    shown(monkeypatch, screen, verbose=True)
    assert screen.text().count("curl -s") == len(steps(STACK))
    assert '"number": "+79585551234"' in screen.text()


@pytest.mark.parametrize("wrong", range(len(ANSWERS)))
def test_the_demo_ends_at_the_first_step_that_is_not_as_expected(
    monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    answers = [*ANSWERS[:wrong], (503, {"code": "store_unavailable"})]
    screen = Screen(terminal=False)
    assert not shown(monkeypatch, screen, answers)
    assert screen.text().count("✓") == wrong
    # The whole answer is shown where something is wrong.
    assert '"code": "store_unavailable"' in screen.text()


def test_a_terminal_without_the_marks_shows_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=False, encoding="ascii")
    assert shown(monkeypatch, screen)
    assert screen.text().startswith("? ")
