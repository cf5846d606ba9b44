"""Phone numbers: E.164 inside the house, masked wherever a person reads along."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from service.domain.errors import InvalidPhoneNumber

REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""CLDR two-letter regions that libphonenumber knows; the closed set of the ``region`` words."""

NUMBER_TYPES = {PhoneNumberType.to_string(value).lower(): value for value in PhoneNumberType.values()}
"""libphonenumber's names in lower case, for instance ``mobile``, to its numbers."""

UNKNOWN_REGION = "ZZ"
"""CLDR's word for a number that belongs to no region, for instance +800."""

_CODE_TYPES = frozenset({"mobile", "fixed_line_or_mobile"})
_NO_CODES = (
    "+7954",  # RU: satellite phones of GlobalTel
    *("+7840", "+7940"),  # Abkhazia, within Russia's plan and at foreign prices
    *(
        "+861349",
        "+8617400",
        "+8617401",
        "+8617402",
        "+8617403",
        "+8617404",
        "+8617405",
    ),  # CN: satellite phones
    "+62868",  # ID: satellite phones
)
"""Ranges that libphonenumber calls mobile, and that no mobile network of that country serves."""

_DIALLABLE_TYPES = frozenset(
    {"fixed_line", "mobile", "fixed_line_or_mobile", "voip", "toll_free"},
)
LONGEST_WRITTEN = 250
"""Digits and signs that libphonenumber reads as such."""

# What is left once the other spellings of a character are gone. Letters, extensions and signs that dial something else
# are refused, because libphonenumber would read vanity letters, `;ext=` and `~` as part of a number.
_WRITTEN = re.compile(r"[ ().\-/\[\]]*+\+*+[0-9 ().\-/\[\]]++", re.ASCII)
# By Unicode category: what nobody sees, spaces, hyphens and dashes.
_PLAIN_KINDS = {"Cf": "", "Zs": " ", "Pd": "-"}
_PLAIN_SIGNS = str.maketrans("\t＋−ー．／（）［］", " +--./()[]")  # noqa: RUF001  full width among them


@dataclass(frozen=True, slots=True)
class E164:
    """A valid number in E.164 form: ``+`` and at most 15 digits."""

    value: str

    def __repr__(self) -> str:
        return f"E164({self.masked})"

    __str__ = __repr__

    @property
    def digits(self) -> str:
        """The international digits without ``+``."""
        return self.value[1:]

    @property
    def masked(self) -> str:
        """What may appear in a log: the first two and the last two digits."""
        return mask(self.value)

    @property
    def region(self) -> str:
        """CLDR region of the number, ``ZZ`` where there is none."""
        return _region(self.value)

    @property
    def number_type(self) -> str:
        """The type by libphonenumber, in lower case, for instance ``mobile``."""
        return _number_type(self.value)

    @property
    def display(self) -> str:
        """International form with spaces, for people."""
        return _display(self.value)

    @property
    def uri(self) -> str:
        """``tel:`` URI (RFC 3966)."""
        return f"tel:{self.value}"

    @classmethod
    def parse(cls, text: str, default_region: str | None = None) -> "E164":
        """Read what a caller sent.

        Args:
            text: E.164, or a national form when ``default_region`` is given, with or without ``tel:``; spaces,
                dots, hyphens, slashes and brackets of every kind are tolerated, and so is what nobody sees.
            default_region: CLDR region of national forms.

        Raises:
            InvalidPhoneNumber: not a number that exists in its region's numbering plan.
        """
        return cls(_read(text, default_region))


# libphonenumber takes some 0.1 ms for each of these; the numbers to dial are few, and one request asks again and again.
_remembered = lru_cache(maxsize=4096)


@_remembered
def _parsed(value: str) -> phonenumbers.PhoneNumber:
    return phonenumbers.parse(value)


@_remembered
def _read(text: str, default_region: str | None) -> str:
    if len(text) > LONGEST_WRITTEN:
        raise InvalidPhoneNumber
    text = _plain(text)
    if not _WRITTEN.fullmatch(text):
        raise InvalidPhoneNumber
    try:
        # What begins with + needs no region, and is mostly the form that is asked about next.
        number = _parsed(text) if text.startswith("+") else phonenumbers.parse(text, default_region)
    except phonenumbers.NumberParseException as error:
        raise InvalidPhoneNumber from error
    if not phonenumbers.is_valid_number(number):
        raise InvalidPhoneNumber
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def _plain(text: str) -> str:
    """``text`` in ASCII where it can be, without what nobody sees, without spaces around it and ``tel:``."""
    text = text.translate(_PLAIN_SIGNS)
    if not text.isascii():
        text = "".join(map(_plain_character, text))
    text = text.strip()
    return text[4:].lstrip() if text[:4].lower() == "tel:" else text


def _plain_character(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    return _PLAIN_KINDS.get(unicodedata.category(character), character)


@_remembered
def _region(value: str) -> str:
    region = phonenumbers.region_code_for_number(_parsed(value))
    return region if region in REGIONS else UNKNOWN_REGION


@_remembered
def _number_type(value: str) -> str:
    return str(PhoneNumberType.to_string(phonenumbers.number_type(_parsed(value))).lower())


@_remembered
def _display(value: str) -> str:
    return str(phonenumbers.format_number(_parsed(value), PhoneNumberFormat.INTERNATIONAL))


def mask(number: str) -> str:
    """Hide all digits but the first two and the last two."""
    return f"{number[:3]}{'*' * max(len(number) - 5, 3)}{number[-2:]}"


def may_be_dialled(number: E164, dial_regions: Collection[str]) -> bool:
    """Whether a number can be one that the provider gives out to be dialled."""
    return number.region in dial_regions and number.number_type in _DIALLABLE_TYPES


def may_get_codes(number: E164) -> bool:
    """Tell whether a code may be sent to a number, whatever the policy says (contract, section 5.8).

    A message costs what the recipient's network asks: premium, shared-cost and satellite numbers pay an attacker, and
    toll-free, pager and fixed ones read none. A number of no country (+800, +881, +979 and the like) gets none either.
    """
    ordinary = number.number_type in _CODE_TYPES and number.region != UNKNOWN_REGION
    return ordinary and not number.value.startswith(_NO_CODES)


def may_be_shown(number: E164, subscriber: E164, dial_regions: Collection[str]) -> bool:
    """Whether ``subscriber`` may be told to dial ``number`` (contract, section 5.4).

    Only ordinary numbers of the allowed regions: nobody is ever charged premium for a verification.
    """
    return number != subscriber and may_be_dialled(number, dial_regions)
