"""The beginning of each channel: order a number to dial, choose a text to send, or send a code."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from langcodes import closest_match

from waitcall.application.ports import OrderIndex
from waitcall.application.providers import CallProvider, CodeSender
from waitcall.domain.channel import Captcha, Channel, PlacedOrder, TextIn
from waitcall.domain.code import CODE_DIGITS, Code, CodeSeals
from waitcall.domain.policy import Policy
from waitcall.domain.verification import Verification

TEXT_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Letters and digits of a text to send, without 0, 1, I, L, O and U, which are easily mistaken for others."""
TEXT_CHARACTERS = 8
FIRST_ASKED_AFTER = timedelta(seconds=20)
"""Time from an order to its first status query. Most calls are reported earlier, so that no query is needed."""
_LONGEST_MESSAGE_ID = 2147483647
"""Highest message id that the provider accepts (smsc-api.md, section 9)."""
_FARTHEST_LOCALE = 25
"""Largest distance between languages, as langcodes measures it: ``ru-KZ`` finds ``ru``, ``sr`` does not."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A code that was not sent yet.

    Attributes:
        code: the digits to send. They are never stored.
        digest: keyed hash of the code, which the record keeps.
        message_id: id of the message for the provider.
    """

    code: str
    digest: str
    message_id: int

    def noted(self, record: Verification, now: datetime) -> Verification:
        """Return the record with the code, which is about to be sent."""
        return replace(record, code=Code((self.digest,), now.replace(microsecond=0), self.message_id))

    def __repr__(self) -> str:
        return f"Prepared({self.message_id})"


@dataclass(frozen=True, slots=True)
class Opened:
    """Result of opening a channel. Both are None for a code, which is on its way to the person.

    Attributes:
        order: the number to dial.
        text_in: the text that the person is to send, and where to.
    """

    order: PlacedOrder | None = None
    text_in: TextIn | None = None

    def shown(self, record: Verification) -> Verification:
        """Return the record with the number or the text."""
        return record.show(self.order) if self.order else replace(record, text_in=self.text_in)


class ChannelOpening:
    """Opens channels: orders a number to dial, chooses a text to send, or sends a code. Errors of the provider are passed on."""

    def __init__(
        self,
        provider: CallProvider,
        sender: CodeSender,
        seals: CodeSeals,
        policy: Policy,
        orders: OrderIndex,
    ) -> None:
        self._provider = provider
        self._sender = sender
        self._seals = seals
        self._policy = policy
        self._orders = orders

    def open(
        self, record: Verification, prepared: Prepared | None, captcha: Captcha | None, now: datetime
    ) -> Opened:
        """Order or send what the record's channel begins with. ``prepared``: for the channel code.

        Raises:
            ProviderFailure
        """
        if record.channel is Channel.CALL:
            return Opened(order=self.order(record, now))
        if prepared is None:
            return Opened(text_in=self.ask_for_text(record))
        self.send(record, prepared, captcha)
        return Opened()

    def order(self, record: Verification, now: datetime) -> PlacedOrder:
        """Order a number to dial. If the provider reports by order, index the order before the number is shown."""
        placed = self._provider.order(record.phone_number)
        if placed.order is not None:
            self._orders.remember(placed.order, record.id, now + FIRST_ASKED_AFTER, now)
        return placed

    def ask_for_text(self, record: Verification) -> TextIn:
        """Make a fresh text, and choose one of our numbers to which the person is to send it."""
        numbers = [each for each in self._policy.text_in_numbers if each != record.phone_number]
        text = "".join(secrets.choice(TEXT_ALPHABET) for _ in range(TEXT_CHARACTERS))
        return TextIn(secrets.choice(numbers or self._policy.text_in_numbers), text)

    def prepare(self, record: Verification) -> Prepared:
        """Make a fresh code for a verification."""
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        return Prepared(code, self._seals.seal(record.id, code), secrets.randbelow(_LONGEST_MESSAGE_ID) + 1)

    def send(self, record: Verification, prepared: Prepared, captcha: Captcha | None = None) -> None:
        """Send a code in the person's language."""
        text = text_for(record.locale, self._policy.code_texts).format(code=prepared.code)
        self._sender.send(record.phone_number, text, prepared.message_id, captcha)


def text_for(locale: str | None, texts: Mapping[str, str]) -> str:
    """Return the text in the language nearest to ``locale``; the first text if no language is near."""
    first = next(iter(texts))
    if locale is None:
        return texts[first]
    nearest, _ = closest_match(locale, list(texts), max_distance=_FARTHEST_LOCALE)
    return texts.get(nearest, texts[first])
