"""The account at the provider, for people: dedicated numbers and deferred tasks. Money is spent only where somebody said so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from service.application.audit import AuditEntry, AuditLog
from service.application.ports import Clock, Limits
from service.domain.errors import NotFound, RateLimited
from service.domain.limits import Limit, Scope, Spending
from service.domain.numbers import E164
from service.domain.policy import Policy

NUMBERS_A_MINUTE, TASKS_A_MINUTE = 2, 3
"""Identical requests that the provider answers (smsc-api.md, section 0)."""


class NumberState(StrEnum):
    """Of a dedicated number."""

    FREE = "free"
    """Anybody may rent it."""

    RENTED = "rented"
    """The policy names it, and the provider offers it to nobody."""

    LOST = "lost"
    """The policy names it, and the provider offers it: texts to it do not reach us."""


@dataclass(frozen=True, slots=True)
class DedicatedNumber:
    """One number, as the provider offers it, or as the policy names it.

    Attributes:
        kind: ``virtual`` or ``sim``; empty where the provider no longer says it.
        cost: of a month, in the account's currency.
        current_cost: of what is left of this one.
        info: the provider's words on operator and use.
    """

    number: E164
    state: NumberState
    kind: str = ""
    cost: Decimal | None = None
    current_cost: Decimal | None = None
    info: str = ""


class TaskStatus(StrEnum):
    """Of a deferred task."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Task:
    """One deferred task; its times are the provider's text, of an unknown zone."""

    id: int
    name: str
    status: TaskStatus
    created: str
    started: str
    file: str


class Cabinet(Protocol):
    """What the provider keeps for the account. Every method may raise ProviderFailure."""

    def free_numbers(self) -> list[DedicatedNumber]:
        """Those that may be rented now."""
        ...

    def rent(self, number: E164, *, prolong: bool) -> Decimal:
        """Rent to the end of the month: what was charged. Asked once, whatever becomes of the answer."""
        ...

    def set_prolong(self, number: E164, *, prolong: bool) -> None:
        """Whether the number is paid again next month."""
        ...

    def tasks(self, after_id: int, count: int) -> list[Task]:
        """Deferred tasks after an id."""
        ...

    def file(self, task_id: int, offset: int) -> "Download":
        """The file of a finished task, from ``offset`` on."""
        ...


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way. ``size``: bytes from the offset on, where the provider says it."""

    chunks: Iterator[bytes] = field(repr=False)
    size: int | None


class AccountDesk:
    """The use cases of ``waitcall numbers`` and ``waitcall reports``.

    Every method takes the operator's name, stays below the provider's ceilings over all replicas, and writes what is
    about to be done into the audit stream first. All may raise ProviderFailure, StoreUnavailable and RateLimited.
    """

    def __init__(
        self, *, cabinet: Cabinet, audit: AuditLog, limits: Limits, clock: Clock, policy: Policy
    ) -> None:
        self._cabinet = cabinet
        self._audit = audit
        self._limits = limits
        self._clock = clock
        self._policy = policy

    def numbers(self, operator: str) -> list[DedicatedNumber]:
        """Those of the policy with their state, then those that are free."""
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
        """What renting would cost.

        Raises:
            NotFound: the provider does not offer it; whoever asked before may have rented it.
        """
        for each in self._free():
            if each.number == number:
                return each
        raise NotFound("The provider does not offer this number; perhaps it is rented already.")

    def rent(self, operator: str, offered: DedicatedNumber, *, prolong: bool, reason: str) -> Decimal:
        """Rent what was offered, and confirmed by a person."""
        cost = str(offered.current_cost)
        details = {"reason": reason, "cost": cost, "prolong": str(prolong).lower()}
        self._write(operator, "numbers_rent", offered.number, details)
        self._below_ceiling(f"buy {offered.number.value}", NUMBERS_A_MINUTE)
        return self._cabinet.rent(offered.number, prolong=prolong)

    def set_prolong(self, operator: str, number: E164, *, prolong: bool, reason: str) -> None:
        """Pay it again next month, or let it end with this one."""
        event = "numbers_prolong" if prolong else "numbers_stop"
        self._write(operator, event, number, {"reason": reason})
        self._below_ceiling(f"chg {number.value} {prolong}", NUMBERS_A_MINUTE)
        self._cabinet.set_prolong(number, prolong=prolong)

    def tasks(self, operator: str, after_id: int = 0, count: int = 100) -> list[Task]:
        """Deferred tasks."""
        self._write(operator, "reports_list")
        self._below_ceiling(f"get_list {after_id} {count}", TASKS_A_MINUTE)
        return self._cabinet.tasks(after_id, count)

    def download(self, operator: str, task_id: int, offset: int = 0) -> Download:
        """A finished task's file, from ``offset`` on."""
        self._write(operator, "reports_download", details={"task": str(task_id)})
        self._below_ceiling(f"get_file {task_id}", TASKS_A_MINUTE)
        return self._cabinet.file(task_id, offset)

    def audited(
        self, operator: str, since: datetime, until: datetime, events: Sequence[str]
    ) -> Iterator[dict[str, str]]:
        """Our side of a reconciliation."""
        self._write(operator, "reports_reconcile")
        for entry in self._audit.read(since, until):
            if entry.get("event") in events:
                yield dict(entry)

    def _free(self) -> list[DedicatedNumber]:
        self._below_ceiling("get", NUMBERS_A_MINUTE)
        return self._cabinet.free_numbers()

    def _below_ceiling(self, request: str, count: int) -> None:
        spending = Spending(Scope.PROVIDER, f"account {request}", Limit(count, 60))
        refusal = self._limits.spend([spending], None, self._clock()).refusal
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
