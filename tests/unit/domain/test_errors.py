"""Details that errors tell."""

from waitcall.domain.errors import CodeMismatch


def test_a_wrong_code_says_how_many_attempts_are_left() -> None:
    assert CodeMismatch(3).errors == {"code": ["Wrong. Attempts left: 3."]}
