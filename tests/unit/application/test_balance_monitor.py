"""The balance at the provider."""

from decimal import Decimal

from waitcall.application.balance_monitor import BalanceMonitor
from waitcall.application.leadership import Term


def test_the_balance_is_told_and_returned() -> None:
    told: list[Decimal] = []

    class Account:
        def balance(self) -> Decimal:
            return Decimal("7.50")

    assert BalanceMonitor(Account(), told.append).run(Term(1, "x")) == Decimal("7.50")
    assert told == [Decimal("7.50")]
