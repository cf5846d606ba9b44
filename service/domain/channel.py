"""How a person shows that a number is theirs."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from service.domain.numbers import E164


class Channel(StrEnum):
    """What travels, and which way."""

    CALL = "call"
    """The person dials a number of the provider's."""

    TEXT_IN = "text_in"
    """The person sends us a short text that we showed."""

    CODE = "code"
    """We send a code, the person types it."""


@dataclass(frozen=True, slots=True)
class TextIn:
    """What is to be sent, and where to."""

    number: E164
    text: str = field(repr=False)

    @property
    def uri(self) -> str:
        """``sms:`` URI (RFC 5724) that opens the message ready to be sent."""
        return f"sms:{self.number.value}?body={quote(self.text)}"


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text message that the provider vouches for.

    Attributes:
        cli: the sender's number as ``+`` and digits; not checked against a numbering plan.
        to: the number that received it, as ``+`` and digits; empty where it is no number.
        like_call: the provider's inbox may list it as if it were a call.
    """

    cli: str
    to: str
    text: str
    like_call: bool = False

    def __repr__(self) -> str:
        return "InboundText()"


@dataclass(frozen=True, slots=True)
class Captcha:
    """What a visitor typed under the provider's picture, and the address that the picture was shown to."""

    code: str
    user_ip: str

    def __repr__(self) -> str:
        return "Captcha()"
