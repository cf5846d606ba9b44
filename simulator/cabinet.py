"""What else an account has: dedicated numbers for rent, deferred tasks with their files. No HTTP.

Facts: smsc-api.md sections 4, 6. The layout of the CSV is not on record; README.md names what was chosen.
"""

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from simulator.messages import PRICE, Sent

WAITING, RUNNING, DONE, CANCELLED, FAILED = range(5)
COLUMNS = ("id", "phone", "send_date", "status", "err", "cost", "country")


@dataclass
class Number:
    """One number that can be rented."""

    phone: str
    type: int
    cost: str
    current_cost: str
    info: str
    rented: bool = False
    noprolong: int = 0

    def listed(self) -> dict[str, Any]:
        """As ``get=1`` shows it."""
        names = ("phone", "type", "cost", "current_cost", "info")
        return {name: getattr(self, name) for name in names}


@dataclass
class Task:
    """One deferred task."""

    id: int
    name: str
    status: int
    created: str
    time: str
    file: str = ""
    content: str = ""

    def listed(self) -> dict[str, Any]:
        """As ``get_list=1`` shows it."""
        names = ("id", "name", "status", "created", "time", "file")
        return {name: getattr(self, name) for name in names}


def _numbers() -> list[Number]:
    return [
        Number("79585550000", 1, "600.00", "180.00", "Virtual, SMS"),
        Number("79585550001", 4, "900.00", "270.00", "Virtual, SMS and calls"),
        Number("79585550002", 2, "1200.00", "360.00", "SIM hosting, SMS"),
    ]


@dataclass
class Cabinet:
    """Numbers and tasks of one account. Callers hold the lock."""

    numbers: list[Number] = field(default_factory=_numbers)
    tasks: list[Task] = field(default_factory=list)

    def free(self) -> list[dict[str, Any]]:
        """Numbers that may be rented."""
        return [each.listed() for each in self.numbers if not each.rented]

    def rent(self, phone: str, noprolong: str) -> tuple[Number, str]:
        """Take a number; what it costs now.

        Raises:
            ValueError: the error code.
        """
        found = next((each for each in self.numbers if each.phone == phone and not each.rented), None)
        if found is None or noprolong not in ("", "0", "1"):
            raise ValueError(1)
        found.rented, found.noprolong = True, int(noprolong or 0)
        return found, found.current_cost

    def change(self, phone: str, noprolong: str) -> Number:
        """Prolong it, or let it end with the month.

        Raises:
            ValueError: the error code.
        """
        found = next((each for each in self.numbers if each.phone == phone and each.rented), None)
        if found is None or noprolong not in ("0", "1"):
            raise ValueError(1)
        found.noprolong = int(noprolong)
        return found

    def add_task(self, name: str, stamp: str, status: int, sent: list[Sent]) -> Task:
        """A report over what was sent; its file is there once the status is ``DONE``."""
        number = len(self.tasks) + 1
        task = Task(number, name, status, stamp, stamp, content=_report(sent, stamp))
        if status == DONE:
            task.file = f"{name}_{number}.csv"
        self.tasks.append(task)
        return task

    def listed(self, after_id: int, count: int) -> list[dict[str, Any]]:
        """Tasks after an id."""
        return [each.listed() for each in self.tasks if each.id > after_id][:count]

    def file(self, task_id: str, name: str) -> Task:
        """A finished task, by its id or its file's name.

        Raises:
            ValueError: the error code.
        """
        for each in self.tasks:
            if each.status == DONE and (str(each.id) == task_id or (name and each.file == name)):
                return each
        raise ValueError(3)

    def reset(self) -> None:
        """Forget everything."""
        self.tasks.clear()
        self.numbers[:] = _numbers()


def _report(sent: list[Sent], stamp: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for each in sent:
        country = "RU" if each.phone.startswith("79") else "KZ" if each.phone.startswith("77") else "other"
        writer.writerow([each.id, each.phone, stamp, each.status, each.err, PRICE, country])
    return out.getvalue()
