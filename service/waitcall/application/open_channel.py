"""The beginning of each channel: order a number from a provider, choose a text, or send a code."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from langcodes import closest_match

from waitcall.application.ports import Observer, OrderIndex
from waitcall.domain.channel import Capability, Captcha, PlacedOrder, TextIn
from waitcall.domain.code import CODE_DIGITS, Code, CodeSeals
from waitcall.domain.errors import NumberRefused, ProviderError, ProviderFailure
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy
from waitcall.domain.verification import Verification


class CallProvider(Protocol):
    """A provider that gives out numbers to dial.

    Attributes:
        name: the provider's name in policy, settings and metrics.
        capabilities: further features of the provider.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def order(self, subscriber: E164) -> PlacedOrder:
        """Order a number that the subscriber can dial. It is checked before it is returned.

        Raises:
            ProviderError, NumberRefused, ProviderUnavailable: raised within the configured time limit.
        """


class CodeSender(Protocol):
    """A provider that sends texts. Each text costs money, so it never sends twice for one ``message_id``."""

    def send(self, subscriber: E164, text: str, message_id: int, captcha: Captcha | None = None) -> None:
        """Send a text.

        Args:
            subscriber: the number to send to.
            text: the text with the code. It must never be logged.
            message_id: id that we give the message, 1 to 2147483647; each message has its own.
            captcha: the visitor's solution of a captcha, if one was demanded.

        Raises:
            ProviderError, NumberRefused, CaptchaRejected, ProviderUnavailable: raised within the configured time limit.
        """


NAME = "routing"


class Ordering(Protocol):
    """Where numbers to dial are ordered: the providers of a route, one after the other."""

    def order(self, subscriber: E164, *, attested: bool = False) -> PlacedOrder:
        """Order a number that the subscriber can dial.

        Args:
            subscriber: the number that is being verified.
            attested: True to ask only providers whose calls say whether the network vouches for the caller.

        Raises:
            ProviderFailure
        """


class Routing:
    """CallProvider that asks several providers in turn. Their time limits add up."""

    def __init__(
        self,
        providers: Sequence[CallProvider],
        default: Sequence[str],
        regions: Mapping[str, Sequence[str]],
        observer: Observer,
    ) -> None:
        """
        Args:
            providers: the configured providers.
            default: names of the providers, in the order in which they are asked.
            regions: names of the providers by country, for numbers of that country instead of ``default``.
            observer: told which provider gave a number and which did not.
        """
        self._providers = {each.name: each for each in providers}
        self._default = default
        self._regions = regions
        self._observer = observer

    name = NAME

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Capabilities that at least one of the providers has."""
        return frozenset().union(*(each.capabilities for each in self._providers.values()))

    def order(self, subscriber: E164, *, attested: bool = False) -> PlacedOrder:
        """Order a number from the first provider that gives one.

        Asking the next one is safe even if an earlier one took the order: an order without a call costs nothing.

        Args:
            subscriber: the number that is being verified.
            attested: True to ask only providers whose calls say whether the network vouches for the caller.

        Raises:
            NumberRefused: the provider that was asked first does not serve this number. No other is asked.
            ProviderFailure: no provider gave a number. The error is that of the first one.
        """
        failed: ProviderFailure | None = None
        for name in self._regions.get(subscriber.region, self._default):
            provider = self._providers[name]
            if attested and Capability.ATTESTED_CALLS not in provider.capabilities:
                continue
            try:
                placed = provider.order(subscriber)
            except ProviderFailure as failure:
                self._observer.ordered(name, given=False)
                if isinstance(failure, NumberRefused) and failed is None:
                    raise
                failed = failed or failure
            else:
                self._observer.ordered(name, given=True)
                return placed
        raise failed or ProviderError("No provider serves this country.")


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


class ChannelOpening:
    """Opens channels: orders a number to dial, chooses a text to send, or sends a code. Errors of the provider are passed on."""

    def __init__(
        self,
        provider: Ordering,
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

    def order(self, record: Verification, now: datetime) -> PlacedOrder:
        """Order a number to dial. If the provider reports by order, index the order before the number is shown.

        For a test number nothing is ordered. It is itself the number to dial, so that a call from it reaches nobody.
        """
        if record.test is not None:
            return PlacedOrder(record.phone_number)
        # By the policy's table this purpose refuses calls from the number. Only a call that is vouched for can verify it.
        attested = not record.assurance.reaches(record.rules.min_assurance)
        placed = self._provider.order(record.phone_number, attested=attested)
        if placed.order is not None:
            self._orders.remember(placed.order, record.id, now + FIRST_ASKED_AFTER, now)
        return placed

    def ask_for_text(self, record: Verification) -> TextIn:
        """Make a fresh text, and choose one of our numbers to which the person is to send it.

        A text to a test number goes to that number itself, so that it reaches nobody.
        """
        if record.test is not None:
            return TextIn(record.phone_number, _fresh_text())
        numbers = [each for each in self._policy.text_in_numbers if each != record.phone_number]
        return TextIn(secrets.choice(numbers or self._policy.text_in_numbers), _fresh_text())

    def prepare(self, record: Verification) -> Prepared:
        """Make a fresh code for a verification, or take the fixed code of a test number."""
        # The record does not keep the fixed code, so that Redis holds no code in the clear.
        fixed = self._policy.test_of(record.phone_number) if record.test else None
        code = (fixed and fixed.code) or f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        return Prepared(code, self._seals.seal(record.id, code), secrets.randbelow(_LONGEST_MESSAGE_ID) + 1)

    def send(self, record: Verification, prepared: Prepared, captcha: Captcha | None = None) -> None:
        """Send a code in the person's language. Nothing is sent to a test number."""
        if record.test is not None:
            return
        text = text_for(record.locale, self._policy.code_texts).format(code=prepared.code)
        self._sender.send(record.phone_number, text, prepared.message_id, captcha)


def _fresh_text() -> str:
    return "".join(secrets.choice(TEXT_ALPHABET) for _ in range(TEXT_CHARACTERS))


def text_for(locale: str | None, texts: Mapping[str, str]) -> str:
    """Return the text in the language nearest to ``locale``; the first text if no language is near."""
    first = next(iter(texts))
    if locale is None:
        return texts[first]
    nearest, _ = closest_match(locale, list(texts), max_distance=_FARTHEST_LOCALE)
    return texts.get(nearest, texts[first])
