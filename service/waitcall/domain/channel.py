"""Channels over which a person proves a phone number, what each shows to the person, and how much each proves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from waitcall.domain.numbers import E164


class Channel(StrEnum):
    """Channel of a proof."""

    CALL = "call"
    """The person calls a number of the provider."""

    TEXT_IN = "text_in"
    """The person sends us a short text that we showed to them."""

    CODE = "code"
    """We send a code, and the person types it."""


class Provider(StrEnum):
    """Provider of numbers to dial."""

    SMSC = "smsc"
    SMSRU = "smsru"
    OWN = "own"
    """The operator's own numbers, on a SIP trunk or at Twilio or Telnyx."""


class Dialect(StrEnum):
    """Form in which the calls to one of our own numbers are reported to us."""

    SIP = "sip"
    """Signed JSON of our own, from the SIP proxy in ``sip/``."""
    TWILIO = "twilio"
    TELNYX = "telnyx"


class Attestation(StrEnum):
    """Level at which the originating carrier signed a call (RFC 8588), as far as the signature was validated."""

    FULL = "A"
    """The carrier knows the customer and the customer's right to the number."""
    PARTIAL = "B"
    """The carrier knows the customer, but not the right to the number."""
    GATEWAY = "C"
    """The carrier knows only where the call entered its network."""
    NONE = "none"
    """No valid signature, or an unknown level."""


@dataclass(frozen=True, slots=True)
class TextIn:
    """A text for the person to send, and the number to send it to."""

    number: E164
    text: str = field(repr=False)

    @property
    def uri(self) -> str:
        """``sms:`` URI (RFC 5724) that opens the message, ready to send."""
        return f"sms:{self.number.value}?body={quote(self.text)}"


@dataclass(frozen=True, slots=True)
class Captcha:
    """A visitor's answer to the provider's captcha, and the IP address that the picture was shown to."""

    code: str
    user_ip: str

    def __repr__(self) -> str:
        return "Captcha()"


class Capability(StrEnum):
    """Ability of a provider, in addition to giving out numbers to dial."""

    DIALLED_IN_CALLBACK = "dialled_in_callback"
    """Its callback confirms which number was called, not only who called."""
    POLL = "poll"
    """It can be asked about a call whose callback was lost."""
    TEXT_IN = "text_in"
    CODE = "code"
    ATTESTED_CALLS = "attested_calls"
    """Each of its calls says whether the network vouches for the caller."""


@dataclass(frozen=True, slots=True)
class ProviderOrder:
    """Order at a provider whose callbacks name the order. Other providers' callbacks name the caller.

    Attributes:
        provider: the provider's name in policy and settings, for instance ``smsru``.
        id: the order's id at the provider; it is never reused.
    """

    provider: str
    id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """Result of a successful order.

    Attributes:
        call_number: the number to dial; it was checked and may be shown to the subscriber.
        order: the order that the provider's callback will name; None if it names the caller.
        window_seconds: seconds that the provider waits for the call; None if it waits as long as our longest window.
        provider: the provider that gave the number. Only a call that this provider reports counts.
    """

    call_number: E164
    order: ProviderOrder | None = None
    window_seconds: int | None = None
    provider: Provider = Provider.SMSC


class Assurance(StrEnum):
    """Level of assurance, from the weakest to the strongest (docs/what-a-call-proves.md)."""

    ASSERTED = "asserted"
    """The provider reports this caller ID, which may be forged."""

    NETWORK = "network"
    """The caller's network vouches for the caller ID: the law obliges it to, or it signed this very call."""

    ROUNDTRIP = "roundtrip"
    """The phone received a secret that was typed back to us. Calls and texts from the phone never reach this level."""

    def reaches(self, minimum: "Assurance") -> bool:
        """Tell whether this level is at least ``minimum``."""
        levels = list(Assurance)
        return levels.index(self) >= levels.index(minimum)

    def at_most(self, limit: "Assurance") -> "Assurance":
        """Return the weaker of this level and ``limit``."""
        return self if limit.reaches(self) else limit


@dataclass(frozen=True, slots=True)
class Attested:
    """Assurance that the operator assigns to calls from one region, and the source of that judgement.

    Attributes:
        except_prefixes: prefixes of the region's numbers for which the judgement does not hold, beside those that
            ``ELSEWHERE`` names.
    """

    assurance: Assurance
    source: str
    except_prefixes: tuple[str, ...] = ()


ELSEWHERE: Mapping[str, str] = {
    "+7840": "Abkhazia, fixed lines: memorandum of 28 September 2009, in force since 2010 (interfax.com/newsroom/top-stories/66660)",
    "+7940": "Abkhazia, mobiles: the same memorandum",
    "+7850": "South Ossetia, fixed lines: agreement on codes lent by Russia (ict-online.ru/news/…-130860)",
    "+7998": "South Ossetia, mobiles: the same agreement",
    "+79298": "South Ossetia, Ostelekom with MegaFon's code 929 (ekhokavkaza.com/a/2067997.html, ostelecom.megafon.ru)",
}
"""Prefixes that libphonenumber counts to a region, although networks outside its jurisdiction serve them, with sources.

The rules of the region's networks do not bind those, so calls from them are only ``asserted``. Kazakhstan's +7 6 and +7 7 are
a region of their own in libphonenumber.
"""


def assurance_of_call(number: E164, table: Mapping[str, Attested]) -> Assurance:
    """Return the assurance of a call from ``number``: that of its region in the table, else ``asserted``."""
    attested = table.get(number.region)
    if attested is None or number.value.startswith((*ELSEWHERE, *attested.except_prefixes)):
        return Assurance.ASSERTED
    return attested.assurance
