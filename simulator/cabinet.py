"""Rented numbers and deferred tasks (reports) of an smsc account. No HTTP.

Source: smsc-api.md sections 4 and 6. They do not document the layout of the CSV; README.md says which one was chosen.
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
    """Number that the account can rent."""

    phone: str
    type: int
    cost: str
    current_cost: str
    info: str
    rented: bool = False
    noprolong: int = 0

    def listed(self) -> dict[str, Any]:
        """Return the number as ``receive_phones.php?get=1`` lists it."""
        names = ("phone", "type", "cost", "current_cost", "info")
        return {name: getattr(self, name) for name in names}


@dataclass
class Task:
    """Deferred task, which makes a report file."""

    id: int
    name: str
    status: int
    created: str
    time: str
    file: str = ""
    content: str = ""

    def listed(self) -> dict[str, Any]:
        """Return the task as ``downloads.php?get_list=1`` lists it."""
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
    """Numbers and tasks of one account. The caller must hold the simulator's lock."""

    numbers: list[Number] = field(default_factory=_numbers)
    tasks: list[Task] = field(default_factory=list)
    confirmation: str | None = None
    """Body that confirms a change; None: a JSON object. The provider may answer ``OK`` alone or nothing."""

    def free(self) -> list[dict[str, Any]]:
        """List the numbers that can still be rented."""
        return [each.listed() for each in self.numbers if not each.rented]

    def rent(self, phone: str, noprolong: str) -> tuple[Number, str]:
        """Rent a number. Return it and what it costs now.

        Raises:
            ValueError: with the provider's error code, an int, as its argument.
        """
        found = next((each for each in self.numbers if each.phone == phone and not each.rented), None)
        if found is None or noprolong not in ("", "0", "1"):
            raise ValueError(1)
        found.rented, found.noprolong = True, int(noprolong or 0)
        return found, found.current_cost

    def change(self, phone: str, noprolong: str) -> Number:
        """Set whether a rented number is prolonged (``"0"``) or given back at the end of the month (``"1"``).

        Raises:
            ValueError: with the provider's error code, an int, as its argument.
        """
        found = next((each for each in self.numbers if each.phone == phone and each.rented), None)
        if found is None or noprolong not in ("0", "1"):
            raise ValueError(1)
        found.noprolong = int(noprolong)
        return found

    def add_task(self, name: str, stamp: str, status: int, sent: list[Sent]) -> Task:
        """Add a task that reports the messages sent. It has a file only if its status is ``DONE``."""
        number = len(self.tasks) + 1
        task = Task(number, name, status, stamp, stamp, content=_report(sent, stamp))
        if status == DONE:
            task.file = f"{name}_{number}.csv"
        self.tasks.append(task)
        return task

    def listed(self, after_id: int, count: int) -> list[dict[str, Any]]:
        """List at most ``count`` tasks whose id is greater than ``after_id``."""
        return [each.listed() for each in self.tasks if each.id > after_id][:count]

    def file(self, task_id: str, name: str) -> Task:
        """Find a finished task by its id or its file's name.

        Raises:
            ValueError: with the provider's error code, an int, as its argument.
        """
        for each in self.tasks:
            if each.status == DONE and (str(each.id) == task_id or (name and each.file == name)):
                return each
        raise ValueError(3)

    def reset(self) -> None:
        """Remove all tasks, give back all numbers, and confirm changes with JSON."""
        self.tasks.clear()
        self.confirmation = None
        self.numbers[:] = _numbers()


def _report(sent: list[Sent], stamp: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for each in sent:
        country = "RU" if each.phone.startswith("79") else "KZ" if each.phone.startswith("77") else "other"
        writer.writerow([each.id, each.phone, stamp, each.status, each.err, PRICE, country])
    return out.getvalue()
