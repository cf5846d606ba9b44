"""Output of the commands: tables on a terminal and in a pipe, colours."""

import io
from contextlib import redirect_stdout

import pytest

from waitcall.cli.console import say, show_object, show_rows

ID = "ver_" + "0123456789abcdef" * 4
ADDRESS = "https://login.example.org/callbacks/smsc?charset=utf-8&sha1=SECRET"
PROSE = "a sentence that is far too long for what is left of the line beside its label"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_an_id_and_an_address_stay_whole_in_80_columns(terminal: Terminal) -> None:
    finding = {"check": "address to register", "state": "ok", "found": f"{ADDRESS} (SECRET: ours)"}
    with redirect_stdout(terminal):
        show_object({"a_long_name": "x", "id": ID}, json_wanted=False)
        show_rows([finding], tuple(finding), json_wanted=False)

    lines = terminal.getvalue().splitlines()
    assert ID in lines
    assert ADDRESS in lines
    assert "…" not in terminal.getvalue()


def test_prose_is_wrapped_between_words_beside_its_label(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        show_object({"a_long_name": PROSE, "empty": ""}, json_wanted=False)

    first, second, last = terminal.getvalue().splitlines()
    assert max(map(len, (first, second))) <= 80
    assert first.startswith("a long name  a sentence")
    assert f"{first.removeprefix('a long name  ')} {second.strip()}" == PROSE
    assert last == "empty        -"


def test_a_pipe_gets_one_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"id": ID, "text": PROSE * 3, "done": False}], ("id", "done", "text"), json_wanted=False)

    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "done", "text"]
    assert row == f"{ID}  no    {PROSE * 3}"


def test_a_table_without_rows_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], ("id", "file_name"), json_wanted=False)
    assert capsys.readouterr().out == "id  file name\n"


def test_a_terminal_gets_colours_unless_no_color_is_set(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redirect_stdout(terminal):
        say("✓ Verified", "green")
        monkeypatch.setenv("NO_COLOR", "1")
        say("✓ Verified", "green")

    assert terminal.getvalue() == "\x1b[32m✓ Verified\x1b[0m\n✓ Verified\n"


def test_a_pipe_gets_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    say("✓ Verified", "green")
    assert capsys.readouterr().out == "✓ Verified\n"
