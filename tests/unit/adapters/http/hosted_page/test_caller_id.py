"""Hints that show a hidden caller ID."""

import pytest

from waitcall.adapters.http.hosted_page.caller_id import Prefixes, prefixes_of
from waitcall.domain.numbers import E164


@pytest.mark.parametrize(
    ("caller", "prefixes"),
    [
        ("+79991234567", ("*31#", "#31#")),
        ("+77010001234", ("*31#", "#31#")),
        ("+491701234567", ("*31#", "#31#")),
        ("+12015550123", ("*82", "*67")),
        ("+442079460000", ("1470", "141")),
        ("+447400123456", ("*31#", "#31#")),
        ("+35312345678", ("142", "141")),
        ("+85251234567", ("1357", "133")),
        ("+819012345678", ("186", "184")),
        # *31# hides the number on a fixed line of Germany. Nothing is known about one of Russia.
        ("+49301234567", None),
        ("+74951234567", None),
    ],
)
def test_a_prefix_is_named_where_it_is_known(caller: str, prefixes: tuple[str, str] | None) -> None:
    assert prefixes_of(E164.parse(caller)) == (Prefixes(*prefixes) if prefixes else None)
