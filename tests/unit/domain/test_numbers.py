import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import NUMBER
from waitcall.domain.errors import InvalidPhoneNumber
from waitcall.domain.numbers import (
    E164,
    NUMBER_TYPES,
    caller_of,
    earlier_forms,
    is_fictitious,
    may_be_shown,
    may_get_codes,
    normal_form,
    subscriber_of,
)

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
        "\u202d+79991234567\u202c", "\u202a+7 999\u202c 123-45-67", "\u200e+79991234567\u200f", "+7\u20669991234567\u2069",
        "+7\u2068999\u20691234567", "+7\u200b999\u20601234567", "\ufeff+79991234567", "+7\u00a0999\u00a0123\u00a045\u00a067",
        "+7\u2009999\u202f123\u20034567", "+7\u3000999 123 45 67", "+7 999 123\u201145\u201167",
        "+7\u2010999\u2012123\u201345\u201467", "+7\u2015999\u2212123\uff0d45\ufe6367", "+7\u00ad999\u00ad1234567",
        "+7\t999\t1234567", "\t+79991234567\n", "+7 999/123/45/67", "+7 [999] 123.45.67", "tel:+79991234567",
        "TEL: +7-999-123-45-67", "tel://+79991234567", "tel:+7-999-123-45-67;isub=1234", "tel:+79991234567;phone-context=+7",
        "tel:9991234567;phone-context=+7", "tel:999-123-45-67;PHONE-CONTEXT=+7", "tel:1234567;phone-context=+7-999",
        "tel:+79991234567;tgrp=x;trunk-context=example.org", "tel:+79991234567;npdi", "+7 (8) 999 123-45-67", "+7\u00a0\u2011999\u00ad1234567",
        "+7\u061c9991234567", "+7\u180e9991234567", "\u2066+7 999 123\u201345\u201367\u2069", "＋７ ９９９ １２３ ４５ ６７", "+\u06f7\u06f9\u06f9\u06f9\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7", "\u200etel:+79991234567", "+79991234567", "＋７（９９９）１２３．４５／６７", "+٧٩٩٩١٢٣٤٥٦٧",
        "(+7) 999 123 45 67", "++79991234567", "tel:+7%20999%20123-45-67", "tel:%2B7%C2%A0(999)%C2%A01234567", "TEL:%2b79991234567;isub=1", " " * 200 + "+79991234567",
    ],
)  # fmt: skip
def test_invisible_and_typographic_characters_are_accepted(text: str) -> None:
    """libphonenumber reads these texts, some of them only without the marks that a clipboard adds."""
    assert E164.parse(text) == NUMBER


def test_a_domain_as_the_context_of_a_tel_uri_leaves_the_default_region() -> None:
    assert E164.parse("tel:8(999)123-45-67;phone-context=example.org", "RU") == NUMBER


def test_brackets_may_open_a_national_number() -> None:
    assert E164.parse("(999) 123-45-67", "RU") == E164.parse("８ ９９９ １２３-４５-６７", "RU") == NUMBER


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "+", "abc", "+7999", "+70000000000", "89991234567", "79991234567", "+79991234567;ext=5",
        "+7999123456789012345", "+7999FLOWERS", "+7999123456\n7x", "1" * 5000, "+7\x009991234567",
        "00 7 999 123 45 67", "tel:", "tel:+79991234567;ext=5", "tel:+79991234567;EXT=5", "tel:+79991234567;", "tel:+79991234567;;", "tel:9991234567",
        "tel:9991234567;phone-context=example.org", "tel:9991234567;phone-context=+", "tel:9991234567;phone-context=7",
        "tel:+79991234567;=5", "tel:+79991234567; ext=5", "+79991234567;phone-context=+7", "+79991234567, +79991234568",
        "+79991234567\n+79991234568", "+79991234567 / 79991234568", "tel:" + ";" * 240, "tel:tel:+79991234567",
        "+79991234567 x5", "+79991234567~5", "+79991234567 доб. 5", "+7*9991234567", "*31#+79991234567", "+7999123456²", "+7999123456⑦",
        " " * 250 + "+79991234567", "(" * 250, "+" * 250, "\u200b" * 250, "7+9991234567", "+7999 +1234567", "+7%209991234567", "tel:+79991234567%3Bext=5", "tel:+79991234567%00", "tel:+7999%31234567%FF",
    ],
)  # fmt: skip
def test_a_text_that_is_no_number_is_refused(text: str) -> None:
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
    """Premium-rate, shared-cost and foreign numbers are not shown. The caller's own is not shown either."""
    assert may_be_shown(E164(number), NUMBER, RU) is shown


def test_a_number_is_masked_wherever_it_is_printed() -> None:
    assert NUMBER.masked == "+79*******67"
    assert str(NUMBER) == repr(NUMBER) == "E164(+79*******67)"


@pytest.mark.parametrize(
    ("number", "gets"),
    [
        ("+79991234567", True),
        ("+77011234567", True),
        ("+37120000000", True),
        ("+5491123456789", True),
        ("+12124567890", True),  # the plan of North America does not tell mobiles from fixed lines
        ("+74951234567", False),
        ("+78005553535", False),
        ("+78091234567", False),
        ("+78401234567", False),
        ("+79401234567", False),
        ("+79541234567", False),
        ("+8613491234567", False),
        ("+8617401234567", False),
        ("+62868123456", False),
        ("+19002345678", False),
        ("+15215550006", False),
        ("+447012345678", False),
        ("+447640123456", False),
        ("+448431234567", False),
        ("+443001234567", False),
    ],
)
def test_codes_go_to_ordinary_mobile_numbers_alone(number: str, gets: bool) -> None:
    assert may_get_codes(E164.parse(number)) is gets


@pytest.mark.parametrize("code", sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
def test_numbers_of_no_country_get_no_codes(code: int) -> None:
    """They are toll-free, shared-cost, satellite, premium-rate and universal numbers that belong to no country."""
    example = phonenumbers.example_number_for_non_geo_entity(code)
    value = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    assert not may_get_codes(E164.parse(value))


@pytest.mark.parametrize(
    "kind", sorted(set(NUMBER_TYPES) - {"mobile", "fixed_line_or_mobile", "unknown"}), ids=str
)
def test_no_country_has_a_number_of_another_type_that_gets_codes(kind: str) -> None:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, NUMBER_TYPES[kind])
        if example is None:
            continue
        number = E164(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))
        # libphonenumber has a type of its own for ranges that serve both mobile and fixed lines.
        assert not may_get_codes(number) or number.number_type == "fixed_line_or_mobile", number.value


@pytest.mark.parametrize(
    ("reported", "normal"),
    [
        ("+79991234567", "+79991234567"),
        ("+89991234567", "+79991234567"),
        ("+789991234567", "+79991234567"),
        ("+87011234567", "+77011234567"),
        ("+84951234567", "+84951234567"),  # a mobile of Vietnam, not of Moscow
        ("+5215512345678", "+525512345678"),
        ("+525512345678", "+525512345678"),
        ("+54111555551234", "+5491155551234"),
        ("+4407911123456", "+447911123456"),
        ("+378886377", "+3780549886377"),
        ("+5511987654321", "+5511987654321"),
        ("+551187654321", "+551187654321"),  # Brazil has no number without the ninth digit any more
        ("+9991234567", "+9991234567"),
        ("+1", "+1"),
        ("+", "+"),
    ],
)
def test_a_reported_number_is_read_as_its_plan_says(reported: str, normal: str) -> None:
    assert normal_form(reported) == normal


@pytest.mark.parametrize(
    "forms",
    [
        ("+5491155551234", "+541155551234", "+54111555551234"),
        ("+5493514123456", "+543514123456"),
        ("+525512345678", "+5215512345678"),
        ("+79991234567", "+89991234567"),
    ],
)
def test_equivalent_forms_are_one_subscriber(forms: tuple[str, ...]) -> None:
    assert len({subscriber_of(form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+5491155551234", "+5491155551235"),
        ("+5511987654321", "+551187654321"),
        ("+79991234567", "+77991234567"),
        ("+84951234567", "+74951234567"),
        ("+54800123456", "+549800123456"),
        ("+390612345678", "+39612345678"),
    ],
)
def test_other_numbers_are_other_subscribers(one: str, other: str) -> None:
    assert subscriber_of(one) != subscriber_of(other)


@pytest.mark.parametrize(
    "value", ["+79991234567", "+541155551234", "+5491155551234", "+525512345678", "+5215512345678"]
)
def test_a_number_and_its_report_have_one_subscriber(value: str) -> None:
    assert E164(value).subscriber == subscriber_of(value)


def test_only_some_numbers_had_other_forms() -> None:
    assert earlier_forms("+79991234567") == ()
    assert earlier_forms("+5491155551234") == ("+541155551234",)
    assert earlier_forms("+541155551234") == ("+541155551234",)
    assert earlier_forms("+89991234567") == ("+89991234567",)


@pytest.mark.parametrize("text", ["+52 1 55 1234 5678", "+5215512345678", "tel:+52-1-55-1234-5678"])
def test_mexicos_old_form_is_a_number(text: str) -> None:
    assert E164.parse(text).value == "+525512345678"


def test_a_number_is_shown_as_it_was_given_in_argentina() -> None:
    """Codes go to one form and calls to the other, and only the person knows which of them is a mobile."""
    assert E164.parse("+54 11 5555-1234").value == "+541155551234"
    assert E164.parse("+54 9 11 5555-1234").value == "+5491155551234"


@pytest.mark.parametrize(
    ("number", "fictitious"),
    [
        ("+12025550101", True),
        ("+12025550199", True),
        ("+12025550200", False),
        ("+12025551101", False),
        ("+33199001234", True),
        ("+33199011234", False),
        ("+46701740605", True),
        ("+46701740699", True),
        ("+46701740604", False),
        ("+61491570156", True),
        ("+61491570155", False),
        ("+79991234567", False),
    ],
)
def test_a_number_kept_for_fiction_is_known(number: str, fictitious: bool) -> None:
    assert is_fictitious(E164.parse(number)) is fictitious


WITHHELD = [
    *("+266696687", "+2562533", "+8656696", "+86282452253", "+464"),
    *("+7378742833", "+7378742883", "+7748283"),
    *("anonymous", "Anonymous", "UNKNOWN", "restricted", "private", "unavailable", "blocked", ""),
]


@pytest.mark.parametrize("text", [*WITHHELD, *(each.removeprefix("+") for each in WITHHELD)])
def test_a_withheld_caller_is_nobody(text: str) -> None:
    assert caller_of(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+12025550123", "+12025550123"),
        ("+79991234567", "+79991234567"),
        ("+89991234567", "+79991234567"),
        ("+5215512345678", "+525512345678"),
    ],
)
def test_a_number_is_read_in_its_normal_form(text: str, number: str) -> None:
    assert caller_of(text) == number == normal_form(number)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "12025550123",
            "84951234567",
            "<null>",
            "+",
            "0",
            "+0123456789",
            "1" * 300,
            "+1202555012a",
            "+1 202 555 0123",
            "%2B12025550123",
        ),
        *("+12025550123;npdi", "+12025550123;ext=1", "sip:+12025550123@x", "client:a", "+12025550123\n"),
        *("+１２０２５５５０１２３", "+١٢٠٢٥٥٥٠١٢٣", "12025550123 ", "++12025550123", "\0", "+9999999999"),
    ],
)
def test_anything_else_is_nobody(text: str) -> None:
    assert caller_of(text) is None


@given(st.text(max_size=40) | st.from_regex(r"\+?[0-9]{5,17}", fullmatch=True))
def test_whatever_is_read_is_a_valid_number(text: str) -> None:
    number = caller_of(text)
    assert number is None or E164.parse(number).value == number
