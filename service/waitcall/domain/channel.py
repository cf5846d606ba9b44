"""Channels over which a person proves a phone number."""

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
class InboundText:
    """A text message that the provider reports.

    Attributes:
        cli: the sender's number as ``+`` and digits; not checked against a numbering plan.
        to: the number that received the text, as ``+`` and digits; empty if the recipient is not a number.
        like_call: True if the provider's inbox could list this text as a call.
    """

    cli: str
    to: str
    text: str
    like_call: bool = False

    def __repr__(self) -> str:
        return "InboundText()"


@dataclass(frozen=True, slots=True)
class Captcha:
    """A visitor's answer to the provider's captcha, and the IP address that the picture was shown to."""

    code: str
    user_ip: str

    def __repr__(self) -> str:
        return "Captcha()"
