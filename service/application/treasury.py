"""The account at the provider: without money no number is given out."""

from collections.abc import Callable
from decimal import Decimal

from service.application.inbox import Balance
from service.application.leadership import Term


class Treasury:
    """Asks for the balance. For the leader alone, whose gauge it is."""

    def __init__(self, balance: Balance, tell: Callable[[Decimal], None]) -> None:
        self._balance = balance
        self._tell = tell

    def run(self, _term: Term) -> Decimal:
        """Ask, and tell.

        Raises:
            ProviderFailure: what was told last still stands.
        """
        money = self._balance.balance()
        self._tell(money)
        return money
