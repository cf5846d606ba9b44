import pytest

from service.domain.errors import InvalidPhoneNumber
from service.domain.numbers import E164, may_be_shown
from tests.making import NUMBER

RU = {"RU"}


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("+79991234567", None),
        ("+7 (999) 123-45-67", None),
        ("8 999 123-45-67", "RU"),
        ("9991234567", "RU"),
        ("79991234567", "RU"),
        ("+79991234567", "US"),
    ],
)
def test_what_people_write_becomes_e164(text: str, region: str | None) -> None:
    assert E164.parse(text, region) == NUMBER


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "+", "abc", "+7999", "+70000000000", "89991234567", "79991234567", "+79991234567;ext=5",
        "+7999123456789012345", "tel:+79991234567", "+7999FLOWERS", "+٧٩٩٩١٢٣٤٥٦٧", "+7999123456\n7x", "1" * 5000,
        "+7\x009991234567", "00 7 999 123 45 67",
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidPhoneNumber):
        E164.parse(text)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+79585551234", True),
        ("+74951234567", True),
        ("+78005553535", True),
        ("+78095551234", False),
        ("+78035551234", False),
        ("+77011234567", False),
        ("+12025550123", False),
        (NUMBER.value, False),
    ],
)
def test_only_ordinary_numbers_of_the_allowed_regions_are_shown(number: str, shown: bool) -> None:
    """Premium and shared-cost numbers, foreign ones, and the caller's own are not."""
    assert may_be_shown(E164(number), NUMBER, RU) is shown


def test_a_number_is_masked_wherever_it_is_printed() -> None:
    assert NUMBER.masked == "+79*******67"
    assert str(NUMBER) == repr(NUMBER) == "E164(+79*******67)"
