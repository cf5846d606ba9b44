"""Language tags in requests: only a few of a header are read, and only a limited number is remembered."""

import pytest

from waitcall.adapters.http import languages
from waitcall.adapters.http.languages import (
    LONGEST_TAG,
    MOST_TAGS,
    MOST_WISHES,
    LanguageMatcher,
    accepted_languages,
    is_tag,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the tags that langcodes is asked about, because it never forgets one."""
    told: list[str] = []

    def tag_is_valid(tag: str) -> bool:
        told.append(tag)
        return True

    monkeypatch.setattr(languages, "tag_is_valid", tag_is_valid)
    monkeypatch.setattr(languages, "_valid", {})
    return told


def test_the_first_ten_wishes_count_and_the_most_wanted_comes_first() -> None:
    header = ",".join(["de;q=0.1", "fr;q=0.9", *(f"x-{number};q=0.5" for number in range(20)), "ru"])
    assert list(accepted_languages(header)) == [
        "fr",
        *(f"x-{number}" for number in range(MOST_WISHES - 2)),
        "de",
    ]


@pytest.mark.parametrize(
    "header", ["", ",", ",,,,", "*", ";q=1", "en;q=x", '"', "\xff", "a" * 60_000, "en," * 20_000]
)
def test_any_header_has_few_wishes(header: str) -> None:
    assert len(list(accepted_languages(header))) <= MOST_WISHES


@pytest.mark.parametrize(
    "tag", ["en" + "-aaaaa" * 1300, "x-" + "a-" * 5000, "a" * (LONGEST_TAG + 1), "", "-", "én", "en-"]
)
def test_a_text_that_is_no_tag_is_near_to_no_language(tag: str) -> None:
    """langcodes would exceed Python's recursion limit with the longest of them."""
    assert LanguageMatcher(["en"]).match(tag) is None
    assert not is_tag(tag)


def test_langcodes_is_asked_about_so_many_tags_and_no_more(asked: list[str]) -> None:
    matcher = LanguageMatcher(["en", "ru"])
    assert matcher.match("ru-KZ") == "ru"
    for number in range(2 * MOST_TAGS):
        assert matcher.match(f"de-x-{number}") is None
    assert len(asked) == MOST_TAGS
    assert [matcher.match(tag) for tag in ("ru-KZ", "RU-by", "en-GB", "uk", "sr-RS")] == [
        "ru",
        "ru",
        "en",
        None,
        None,
    ]


def test_tags_of_visitors_do_not_use_up_the_share_of_clients(asked: list[str]) -> None:
    matcher = LanguageMatcher(["en"])
    for number in range(2 * MOST_TAGS):
        matcher.match(f"de-x-{number}")
        assert is_tag(f"fr-x-{number}")
    assert len(asked) == 2 * MOST_TAGS


def test_langcodes_is_not_asked_about_a_text_that_is_not_written_like_a_tag(asked: list[str]) -> None:
    for number in range(100):
        assert not is_tag(f"{number}!")
        assert LanguageMatcher(["en"]).match(f"{number}!") is None
    assert asked == []
