"""Texts of codes, and numbers that take texts."""

from dataclasses import replace

from tests.fakes.outside import FakeProvider, FakeSender
from tests.making import NUMBER, POLICY, opened, opening_of
from waitcall.application.open_channel import text_for
from waitcall.domain.numbers import E164


def test_a_person_without_a_language_gets_the_first_text() -> None:
    texts = {"ru": "Код {code}", "en": "{code} is your code."}
    assert text_for(None, texts) == texts["ru"]
    assert text_for("en-GB", texts) == texts["en"]
    assert text_for("sr", texts) == texts["ru"]


def test_a_text_goes_to_another_number_than_the_persons_where_there_is_one() -> None:
    texted = E164("+79585550001")

    def shown(*numbers: E164) -> set[E164]:
        opening = opening_of(FakeProvider(), FakeSender(), replace(POLICY, text_in_numbers=numbers))
        return {opening.ask_for_text(opened("ver_1")).number for _ in range(20)}

    assert shown(NUMBER, texted) == {texted}
    assert shown(NUMBER) == {NUMBER}
