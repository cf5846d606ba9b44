"""How each channel begins: what is ordered or sent, and the record once that has happened."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from langcodes import closest_match

from service.application.ports import OrderIndex
from service.application.providers import CallProvider, CodeSender
from service.domain.channel import Captcha, Channel, TextIn
from service.domain.code import CODE_DIGITS, Code, CodeSeals
from service.domain.order import PlacedOrder
from service.domain.policy import Policy
from service.domain.steps import shown
from service.domain.verification import Verification

Opened = Callable[[Verification, datetime], Verification]
"""The transition that writes down what has happened."""

TEXT_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Nothing that is read as something else."""
TEXT_CHARACTERS = 8
FIRST_ASKED_AFTER = timedelta(seconds=20)
"""A call is reported within seconds; asked earlier, most orders would be asked about in vain."""
_LONGEST_MESSAGE_ID = 2147483647
"""Of the provider's message ids (smsc-api.md, section 9)."""
_FARTHEST_LOCALE = 25
"""Distance as langcodes measures it: ``ru-KZ`` finds ``ru``, ``sr`` does not."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A code that was not sent yet. Only its digest is kept."""

    code: str
    digest: str
    message_id: int

    def __repr__(self) -> str:
        return f"Prepared({self.message_id})"


class Opening:
    """Channel → what happens outside. Errors are the provider's."""

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

    def begin(
        self, record: Verification, now: datetime, captcha: Captcha | None = None
    ) -> tuple[Verification, Callable[[], Opened]]:
        """How the record's channel begins.

        Returns:
            The record as it must be stored before, and what then orders or sends; it raises ProviderFailure.
        """
        match record.channel:
            case Channel.CALL:
                return record, lambda: self._called(record, now)
            case Channel.TEXT_IN:
                return record, lambda: self._asked(record)
            case Channel.CODE:
                prepared = self.prepare(record)
                code = Code((prepared.digest,), now.replace(microsecond=0), prepared.message_id)
                return replace(record, code=code), lambda: self._sent(record, prepared, captcha)

    def _called(self, record: Verification, now: datetime) -> Opened:
        placed = self.order(record, now)
        return lambda current, now: shown(current.open_window(now), placed)

    def _asked(self, record: Verification) -> Opened:
        text_in = self.ask_for_text(record)
        return lambda current, now: replace(current.open_window(now), text_in=text_in)

    def _sent(self, record: Verification, prepared: Prepared, captcha: Captcha | None) -> Opened:
        self.send(record, prepared, captcha)
        return lambda current, now: current.open_window(now)

    def order(self, record: Verification, now: datetime) -> PlacedOrder:
        """A number to dial. What the provider will report on is remembered before anybody sees the number."""
        placed = self._provider.order(record.phone_number)
        if placed.order is not None:
            self._orders.remember(placed.order, record.id, now + FIRST_ASKED_AFTER, now)
        return placed

    def ask_for_text(self, record: Verification) -> TextIn:
        """A text that nobody was shown before, and one of our numbers."""
        numbers = [each for each in self._policy.text_in_numbers if each != record.phone_number]
        text = "".join(secrets.choice(TEXT_ALPHABET) for _ in range(TEXT_CHARACTERS))
        return TextIn(secrets.choice(numbers or self._policy.text_in_numbers), text)

    def prepare(self, record: Verification) -> Prepared:
        """A fresh code for a verification."""
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        return Prepared(code, self._seals.seal(record.id, code), secrets.randbelow(_LONGEST_MESSAGE_ID) + 1)

    def send(self, record: Verification, prepared: Prepared, captcha: Captcha | None = None) -> None:
        """Hand the code over, in the person's language."""
        text = text_for(record.locale, self._policy.code_texts).format(code=prepared.code)
        self._sender.send(record.phone_number, text, prepared.message_id, captcha)


def text_for(locale: str | None, texts: Mapping[str, str]) -> str:
    """The text whose language is nearest; the first where none is near."""
    first = next(iter(texts))
    if locale is None:
        return texts[first]
    nearest, _ = closest_match(locale, list(texts), max_distance=_FARTHEST_LOCALE)
    return texts.get(nearest, texts[first])
