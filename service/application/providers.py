"""What the use cases need from those who give numbers and send codes."""

from typing import Protocol

from service.domain.channel import Captcha
from service.domain.numbers import E164
from service.domain.order import Capability, PlacedOrder


class CallProvider(Protocol):
    """Whoever gives out numbers to dial.

    Attributes:
        name: the word of policy, settings and metrics.
        capabilities: what else it can do.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def order(self, subscriber: E164) -> PlacedOrder:
        """A checked number that the subscriber may dial.

        Raises:
            ProviderError, NumberRefused, ProviderUnavailable: within the configured budget.
        """
        ...


class CodeSender(Protocol):
    """Whoever carries a text to a phone. It costs money: nothing is ever sent twice for one ``message_id``."""

    def send(self, subscriber: E164, text: str, message_id: int, captcha: Captcha | None = None) -> None:
        """Hand the text over.

        Args:
            subscriber: whom to.
            text: holds the code; never logged.
            message_id: ours, 1 to 2147483647, fresh for each message.
            captcha: what a visitor typed, where one was asked.

        Raises:
            ProviderError, NumberRefused, CaptchaRejected, ProviderUnavailable: within the configured budget.
        """
        ...
