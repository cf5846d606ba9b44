"""Phone numbers: E.164 in code, masked in everything that people read."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from waitcall.domain.errors import InvalidPhoneNumber

REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""CLDR two-letter regions that libphonenumber knows; the closed set of ``region`` values."""

NUMBER_TYPES = {PhoneNumberType.to_string(value).lower(): value for value in PhoneNumberType.values()}
"""Number types of libphonenumber by lower-case name, for instance ``mobile``."""

UNKNOWN_REGION = "ZZ"
"""CLDR's code for a number without a region, for instance +800."""

_CODE_TYPES = frozenset({"mobile", "fixed_line_or_mobile"})
_NO_CODES = (
    "+7954",  # RU: satellite phones of GlobalTel
    *("+7840", "+7940"),  # Abkhazia: in Russia's numbering plan, at foreign prices
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
"""Prefixes that libphonenumber classifies as mobile, although no mobile network of the country serves them."""

# Ranges that no subscriber gets, of those that libphonenumber reads: US and Canada (NANPA: 555-0100 to 555-0199), Australia
# (ACMA: numbers for use in TV shows, films and creative works), France (Arcep, decision 2018-0881: 0199 00, 0261 91, 0353 01,
# 0465 71, 0536 49), Sweden (PTS: telephone numbers for use in books and films).
_FICTITIOUS = re.compile(
    r"\+(1[2-9][0-9]{2}55501[0-9]{2}|61491570(006|110|15[6-9])"
    r"|33(19900|26191|35301|46571|53649)[0-9]{4}|467017406(0[5-9]|[1-9][0-9]))"
)

_DIALLABLE_TYPES = frozenset(
    {"fixed_line", "mobile", "fixed_line_or_mobile", "voip", "toll_free"},
)
_WITHHELD = frozenset(
    {
        *("+266696687", "+2562533", "+8656696", "+86282452253"),  # ANONYMOUS, BLOCKED, UNKNOWN, UNAVAILABLE
        *("+7378742833", "+7378742883"),  # RESTRICTED, and a misspelling of it that many lists have
        *("+7748283", "+464"),  # PRIVATE, INFO
    }
)
"""Words that networks spell on a phone's keypad where a caller withholds the number."""
_CALLER = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)

LONGEST_WRITTEN = 250
"""Longest text, in characters, that libphonenumber reads."""

# Accepted texts, after other spellings of a character were replaced. Letters, extensions and dialling signs are refused,
# because libphonenumber would read vanity letters, `;ext=` and `~` as part of a number.
_WRITTEN = re.compile(r"[ ().\-/\[\]]*+\+*+[0-9 ().\-/\[\]]++", re.ASCII)
# Spellings of one subscriber beside libphonenumber's normal form; docs/numbers.md has the sources. Mexico has dropped the 1 of
# mobiles. Argentina's 9 stands before a mobile's number in calls from abroad and not in texts. Russia and Kazakhstan dial 8
# before a national number.
_MEXICO = re.compile(r"\+521([0-9]{10})")
_ARGENTINA = re.compile(r"\+549?([1-3][0-9]{9})")
_TRUNK_PREFIX = re.compile(r"\+8([0-9]{10})")
# Replacements by Unicode category: invisible characters, spaces, hyphens and dashes.
_PLAIN_KINDS = {"Cf": "", "Zs": " ", "Pd": "-"}
_PLAIN_SIGNS = str.maketrans("\t＋−ー．／（）［］", " +--./()[]")  # noqa: RUF001  full-width signs are meant


@dataclass(frozen=True, slots=True)
class E164:
    """A valid number in E.164 form: ``+`` and at most 15 digits."""

    value: str

    def __repr__(self) -> str:
        return f"E164({self.masked})"

    __str__ = __repr__

    @property
    def digits(self) -> str:
        """International digits without ``+``."""
        return self.value[1:]

    @property
    def masked(self) -> str:
        """Form for logs, with the first two and the last two digits only."""
        return mask(self.value)

    @property
    def region(self) -> str:
        """CLDR region of the number; ``ZZ`` if it has none."""
        return _region(self.value)

    @property
    def number_type(self) -> str:
        """Number type by libphonenumber, in lower case, for instance ``mobile``."""
        return _number_type(self.value)

    @property
    def subscriber(self) -> str:
        """Number under which its subscriber is known; see :func:`subscriber_of`."""
        # The value is in normal form already. Lists may hold thousands of numbers, so they are not parsed here.
        return _without_variants(self.value)

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
        """Read a number as people write it.

        Args:
            text: E.164, or a national form if ``default_region`` is given, or a ``tel:`` URI of either. Spaces, dots,
                hyphens, slashes, brackets and invisible characters of every kind are ignored.
            default_region: CLDR region of national forms.

        Raises:
            InvalidPhoneNumber: the text is not a number of its region's numbering plan.
        """
        return cls(_read(text, default_region))


# libphonenumber takes about 0.1 ms for each of these. Numbers to dial are few, and one request asks repeatedly.
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
        # A text that begins with + needs no region. It is mostly E.164 already, so the parsed number is reused soon.
        number = _parsed(text) if text.startswith("+") else phonenumbers.parse(text, default_region)
    except phonenumbers.NumberParseException as error:
        raise InvalidPhoneNumber from error
    value = str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    if phonenumbers.is_valid_number(number):
        return value
    mexican = _MEXICO.sub(r"+52\1", value)
    if mexican == value or not phonenumbers.is_valid_number(_parsed(mexican)):
        raise InvalidPhoneNumber
    return mexican


@_remembered
def normal_form(reported: str) -> str:
    """Return a number that a provider reports, as ``+`` and digits, in E.164; unchanged if it is none.

    A national form with the prefix 8 of Russia and Kazakhstan is read, unless the digits are a number of another country.
    """
    for spelling in dict.fromkeys((reported, _TRUNK_PREFIX.sub(r"+7\1", reported))):
        try:
            return _read(spelling, None)
        except InvalidPhoneNumber:
            continue
    return reported


def caller_of(text: str) -> str | None:
    """Return the number of a caller in E.164; None if it is withheld, in any spelling, or not a valid number.

    Args:
        text: caller as a network reports it. Only ``+`` and digits are a number: digits alone may be of any country.
    """
    if not _CALLER.fullmatch(text) or text in _WITHHELD:
        return None
    try:
        return _read(normal_form(text), None)
    except InvalidPhoneNumber:
        return None


@_remembered
def subscriber_of(reported: str) -> str:
    """Return the number under which a subscriber is stored, counted and compared. Equivalent forms have the same one.

    Args:
        reported: ``+`` and digits, as a provider reports them or in E.164.

    Returns:
        A number to compare, neither to show nor to dial. It is ``reported`` itself if that is no number.
    """
    return _without_variants(normal_form(reported))


def _without_variants(value: str) -> str:
    return _ARGENTINA.sub(r"+549\1", _MEXICO.sub(r"+52\1", value))


@_remembered
def earlier_forms(reported: str) -> tuple[str, ...]:
    """Return other forms under which an earlier version of the service stored the subscriber of a number."""
    subscriber = subscriber_of(reported)
    known = (reported, normal_form(reported), _ARGENTINA.sub(r"+54\1", subscriber))
    return tuple(each for each in dict.fromkeys(known) if each != subscriber)


def _plain(text: str) -> str:
    """Replace other spellings by ASCII; remove invisible characters, surrounding spaces and ``tel:``."""
    text = _ascii(text).strip()
    # A link's address that is copied from a browser has its spaces and other marks percent-encoded.
    return _from_uri(_ascii(unquote(text[4:]))) if text[:4].lower() == "tel:" else text


def _ascii(text: str) -> str:
    text = text.translate(_PLAIN_SIGNS)
    return text if text.isascii() else "".join(map(_plain_character, text))


def _from_uri(path: str) -> str:
    """Return the number of a ``tel:`` URI without its parameters (RFC 3966).

    ``phone-context`` completes a local number if it is a prefix with ``+``; a domain there says nothing, so the default
    region decides. All other parameters concern the routing of a call.

    Raises:
        InvalidPhoneNumber: the number has an extension, which is another phone, or a parameter is malformed.
    """
    number, *parameters = path.strip().split(";")
    given = {name.lower(): value for name, _, value in (each.partition("=") for each in parameters)}
    if "ext" in given or not all(name.replace("-", "").isalnum() and name.isascii() for name in given):
        raise InvalidPhoneNumber
    context = given.get("phone-context", "")
    return context + number if context.startswith("+") and not number.startswith("+") else number


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


def is_fictitious(number: E164) -> bool:
    """Tell whether a number belongs to a range that its country keeps for films and documentation."""
    return _FICTITIOUS.fullmatch(number.value) is not None


def may_be_dialled(number: E164, dial_regions: Collection[str]) -> bool:
    """Tell whether the provider could give out this number to be dialled."""
    return number.region in dial_regions and number.number_type in _DIALLABLE_TYPES


def may_get_codes(number: E164) -> bool:
    """Tell whether a code may ever be sent to a number. The policy cannot allow more (contract, section 5.8).

    The recipient's network sets the price of a message: premium, shared-cost and satellite numbers can earn an attacker
    money. Toll-free, pager and fixed numbers receive no messages. Numbers without a country (such as +800, +881, +979)
    get no codes either.
    """
    ordinary = number.number_type in _CODE_TYPES and number.region != UNKNOWN_REGION
    return ordinary and not number.value.startswith(_NO_CODES)


def may_be_shown(number: E164, subscriber: E164, dial_regions: Collection[str]) -> bool:
    """Tell whether ``subscriber`` may be asked to dial ``number`` (contract, section 5.4).

    Only ordinary numbers of the allowed regions are shown, so that a verification never costs a premium rate.
    """
    return number.subscriber != subscriber.subscriber and may_be_dialled(number, dial_regions)
