"""The account at the provider, for operators: dedicated numbers, deferred tasks, the balance.

Only :meth:`AccountManagement.rent` and :meth:`AccountManagement.set_prolong` spend money.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from waitcall.application.effects import AuditEntry
from waitcall.application.ports import AuditLog, Clock, Limits, Term
from waitcall.domain.errors import NotFound, ProviderError, ProviderFailure, RateLimited
from waitcall.domain.limits import Limit, LimitCheck, Scope
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy

NUMBERS_A_MINUTE, TASKS_A_MINUTE = 2, 3
"""Identical requests a minute that the provider answers: for numbers, and for tasks (smsc-api.md, section 0)."""


class NumberState(StrEnum):
    """State of a dedicated number."""

    FREE = "free"
    """Anyone can rent the number."""

    RENTED = "rented"
    """The policy names the number, and the provider does not offer it for rent."""

    LOST = "lost"
    """The policy names the number, but the provider offers it for rent: texts to it do not reach us."""


@dataclass(frozen=True, slots=True)
class DedicatedNumber:
    """A number for incoming texts that the provider offers or the policy names.

    Attributes:
        number: the number itself.
        state: whether it is free, rented or lost.
        kind: ``virtual`` or ``sim``; empty if the provider does not say.
        cost: price of a month in the account's currency.
        current_cost: price of the rest of this month in the account's currency.
        info: the provider's note about the operator and the use of the number.
    """

    number: E164
    state: NumberState
    kind: str = ""
    cost: Decimal | None = None
    current_cost: Decimal | None = None
    info: str = ""


class TaskStatus(StrEnum):
    """State of a deferred task."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Task:
    """A deferred task at the provider. Its times are the provider's text, in an unknown time zone."""

    id: int
    name: str
    status: TaskStatus
    created: str
    started: str
    file: str


class ProviderAccount(Protocol):
    """The provider's account: numbers to rent, and deferred tasks. Every method may raise ProviderFailure."""

    def free_numbers(self) -> list[DedicatedNumber]:
        """Return the numbers that can be rented now."""

    def rent(self, number: E164, *, prolong: bool) -> Decimal:
        """Rent a number until the end of the month, and return the amount charged.

        The request is sent once and never retried, because a lost answer may hide a charge. ``prolong``: True to rent the
        number next month too.
        """

    def set_prolong(self, number: E164, *, prolong: bool) -> bool:
        """Set whether the rent of a number continues next month.

        Returns:
            True if the provider confirmed it with a document; False if it answered ``OK`` alone, or nothing.
        """

    def tasks(self, after_id: int, count: int) -> list[Task]:
        """Return at most ``count`` deferred tasks whose ids come after ``after_id``."""

    def file(self, task: int | str, offset: int) -> "Download":
        """Download the file of a finished task, by its id or the file's name, from byte ``offset`` on."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is being downloaded.

    Attributes:
        chunks: the bytes of the file, from the offset on.
        size: number of those bytes; None if the provider does not say.
    """

    chunks: Iterator[bytes] = field(repr=False)
    size: int | None


class AccountManagement:
    """The use cases of ``waitcall numbers`` and ``waitcall reports``.

    A method that takes the operator's name writes an audit entry before it acts. Requests of all replicas together stay
    below the provider's limits. Every method may raise ProviderFailure, StoreUnavailable and RateLimited.
    """

    def __init__(
        self,
        *,
        provider_account: ProviderAccount,
        audit: AuditLog,
        limits: Limits,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._cabinet = provider_account
        self._audit = audit
        self._limits = limits
        self._clock = clock
        self._policy = policy

    def numbers(self, operator: str) -> list[DedicatedNumber]:
        """Return the policy's numbers with their state, then the numbers that are free."""
        self._write(operator, "numbers_list")
        free = {each.number: each for each in self._free()}
        ours = [
            replace(free.pop(number), state=NumberState.LOST)
            if number in free
            else DedicatedNumber(number, NumberState.RENTED)
            for number in self._policy.text_in_numbers
        ]
        return ours + list(free.values())

    def offer(self, number: E164) -> DedicatedNumber:
        """Return the provider's offer for a number, with the price of renting it.

        Raises:
            NotFound: the provider does not offer the number; perhaps it is rented already.
        """
        for each in self._free():
            if each.number == number:
                return each
        raise NotFound("The provider does not offer this number; perhaps it is rented already.")

    def rent(self, operator: str, offered: DedicatedNumber, *, prolong: bool, reason: str) -> Decimal:
        """Rent a number after a person has confirmed the offer, and return the amount charged."""
        cost = str(offered.current_cost)
        details = {"reason": reason, "cost": cost, "prolong": str(prolong).lower()}
        self._write(operator, "numbers_rent", offered.number, details)
        self._below_ceiling(f"buy {offered.number.value}", NUMBERS_A_MINUTE)
        return self._cabinet.rent(offered.number, prolong=prolong)

    def set_prolong(self, operator: str, number: E164, *, prolong: bool, reason: str) -> bool:
        """Continue the rent of a number next month, or let it end with this month.

        If the provider's answer says too little, its list of free numbers is read. Nobody can rent a number that is ours.

        Returns:
            Whether it is certain: False if the answer says too little and the list cannot be read now.

        Raises:
            ProviderError: also if the list shows that the number is not ours.
        """
        event = "numbers_prolong" if prolong else "numbers_stop"
        self._write(operator, event, number, {"reason": reason})
        self._below_ceiling(f"chg {number.value} {prolong}", NUMBERS_A_MINUTE)
        if self._cabinet.set_prolong(number, prolong=prolong):
            return True
        try:
            free = self._free()
        except (ProviderFailure, RateLimited):
            return False
        if any(each.number == number for each in free):
            raise ProviderError("The provider offers this number for rent, so it is not ours.")
        return True

    def tasks(self, operator: str, after_id: int = 0, count: int = 100) -> list[Task]:
        """Return at most ``count`` deferred tasks whose ids come after ``after_id``."""
        self._write(operator, "reports_list")
        self._below_ceiling(f"get_list {after_id} {count}", TASKS_A_MINUTE)
        return self._cabinet.tasks(after_id, count)

    def download(self, operator: str, task: int | str, offset: int = 0) -> Download:
        """Download the file of a finished task, by its id or the file's name, from byte ``offset`` on."""
        self._write(operator, "reports_download", details={"task": str(task)})
        self._below_ceiling(f"get_file {task}", TASKS_A_MINUTE)
        return self._cabinet.file(task, offset)

    def audited(
        self, operator: str, since: datetime, until: datetime, events: Sequence[str]
    ) -> Iterator[dict[str, str]]:
        """Return the audit entries with one of the given events, to compare them with the provider's report."""
        self._write(operator, "reports_reconcile")
        for entry in self._audit.read(since, until):
            if entry.get("event") in events:
                yield dict(entry)

    def _free(self) -> list[DedicatedNumber]:
        self._below_ceiling("get", NUMBERS_A_MINUTE)
        return self._cabinet.free_numbers()

    def _below_ceiling(self, request: str, count: int) -> None:
        limit_check = LimitCheck(Scope.PROVIDER, f"account {request}", Limit(count, 60))
        refusal = self._limits.take([limit_check], None, self._clock()).refusal
        if refusal is not None:
            raise RateLimited(
                f"The provider answers {count} such requests a minute.",
                retry_after=max(refusal.reset_seconds, 1),
            )

    def _write(
        self,
        operator: str,
        event: str,
        number: E164 | None = None,
        details: dict[str, str] | None = None,
    ) -> None:
        at, who = self._clock(), f"operator:{operator}"
        self._audit.append(AuditEntry(at, event, who, number.value if number else None, details=details))


class Balance(Protocol):
    """The account at the provider."""

    def balance(self) -> Decimal:
        """Return the money left, in the account's currency.

        Raises:
            ProviderFailure
        """


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
