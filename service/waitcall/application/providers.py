"""Ports to the providers: one gives out numbers to dial, one sends codes."""

from typing import Protocol

from waitcall.domain.channel import Capability, Captcha, PlacedOrder
from waitcall.domain.numbers import E164


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
        ...


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
        ...
