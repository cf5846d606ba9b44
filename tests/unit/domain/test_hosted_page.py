"""Tokens and results of the hosted page under old and new peppers, and the URLs that a page may lead back to."""

import pytest

from waitcall.domain.errors import ValidationFailed
from waitcall.domain.hosted_page import LONGEST_RETURN_URL, PageSeals, check_return_url, place_of

ID = "ver_" + "0123456789abcdef" * 4
OTHER_ID = "ver_" + "0123456789abcdef" * 3 + "f" * 16
OLD, NEW = PageSeals("old pepper"), PageSeals("new pepper")
ROTATING = PageSeals("new pepper", "old pepper")
ORIGINS = ("https://login.example.org", "http://127.0.0.1:5000")


def test_a_token_opens_its_own_verification_under_the_pepper_that_made_it_and_while_it_rotates() -> None:
    token = OLD.token(ID)
    assert OLD.opens(token, ID)
    assert ROTATING.opens(token, ID)
    assert ROTATING.token(ID) == NEW.token(ID) != token
    assert not NEW.opens(token, ID)
    # Both ids have the same place, so only the seal tells them apart.
    assert place_of(token) == place_of(OLD.token(OTHER_ID))
    assert not OLD.opens(token, OTHER_ID)
    assert not OLD.opens("f" + token[1:], ID)
    assert not OLD.opens(token[:-1], ID)


def test_a_result_proves_its_own_verification_and_is_no_token() -> None:
    result = OLD.result(ID)
    assert len(result) == 32
    assert OLD.proves(result, ID)
    assert ROTATING.proves(result, ID)
    assert ROTATING.result(ID) == NEW.result(ID)
    assert not NEW.proves(result, ID)
    assert not OLD.proves(result, OTHER_ID)
    assert result not in OLD.token(ID)


@pytest.mark.parametrize("token", ["", "0" * 55, "0" * 57, "g" * 56, "A" * 56, "0" * 56 + "\n"])
def test_a_text_that_is_no_token_has_no_place(token: str) -> None:
    assert place_of(token) is None
    assert place_of("0" * 24 + "f" * 32) == "0" * 24


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_page_leads_back_to_an_origin_of_the_client(origin: str) -> None:
    longest = f"{origin}/" + "x" * (LONGEST_RETURN_URL - len(origin) - 1)
    for url in (f"{origin}/", f"{origin}/done?flow=7", longest):
        assert check_return_url(url, ORIGINS) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.org",
        "https://login.example.org.evil.example/",
        "https://login.example.org/#fragment",
        "https://login.example.org/ with spaces",
        "https://other.example.org/",
        "https://login.example.org/" + "x" * 1000,
    ],
)
def test_a_page_leads_nowhere_else(url: str) -> None:
    with pytest.raises(ValidationFailed):
        check_return_url(url, ORIGINS)
