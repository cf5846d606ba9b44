"""Monitoring of the balance at the provider. Without money the provider gives out no numbers."""

from collections.abc import Callable
from decimal import Decimal

from waitcall.application.leadership import Term
from waitcall.application.reconcile_inbox import Balance


class BalanceMonitor:
    """Reads the balance and passes it to ``tell``. Only the leading worker runs it, so that only its gauge has a value."""

    def __init__(self, balance: Balance, tell: Callable[[Decimal], None]) -> None:
        self._balance = balance
        self._tell = tell

    def run(self, _term: Term) -> Decimal:
        """Read the balance, pass it on and return it.

        Raises:
            ProviderFailure: the balance passed on last still stands.
        """
        money = self._balance.balance()
        self._tell(money)
        return money
