"""Journeys while Redis fails: compare all that people were told with the records afterwards."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from typing import Any

from tests.cluster.journeys import Visitor
from tests.redis_servers import wait_for

WAIT_SECONDS = 20
THREADS = 3
PAUSE_SECONDS = 0.1
SILENT = 5
"""Among so many people one never calls."""
OUTAGES = ("store_unavailable", "provider_unavailable")
"""Problems that Redis causes. Our own numbers are a provider that asks Redis, too."""
CONSUME = {"purpose": "login", "reference": "r"}
_numbers = itertools.count(79992000000)


class Refused(Exception):
    """A request got no answer of the service, or 503 because Redis was away."""


@dataclass
class Person:
    """A verification that a create has promised. ``silent``: nobody calls for it. ``called``: the report of the call was taken."""

    number: str
    dialled: str
    id: str
    silent: bool
    called: bool = False
    consumed: bool = False


@dataclass
class Ledger:
    """Journeys that go on while requests fail. Load calls :meth:`journey`.

    Attributes:
        people: all whose create was answered 201.
        failed: requests that failed in an allowed way, by step and kind.
        wrong: answers that are never allowed.
        failed_at: times of failed requests.
        woken: seconds from the answer of the call to that of the long poll.
    """

    visitor: Visitor
    people: list[Person] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    woken: list[float] = field(default_factory=list)

    def journey(self) -> str:
        """Verify one number by a long poll that begins before the call, and consume the proof."""
        number = f"+{next(_numbers)}"
        try:
            made = self._ask("create", 201, partial(self.visitor.create, number))
            person = Person(number, made["call"]["number"], made["id"], len(self.people) % SILENT == 0)
            self.people.append(person)
            if person.silent:
                return "silent"
            waiting = self._begin(person)
            try:
                self._ask("call", 204, partial(self._call, person))
            except Refused:
                # The answer does not matter, but it must arrive.
                self._read(waiting)
                raise
            person.called = True
            self._told(person, waiting, time.monotonic())
            self._consume(person)
        except Refused:
            # People take their time, too, before they try again.
            threading.Event().wait(PAUSE_SECONDS)
            return "failed"
        return "consumed"

    def forget_failures(self) -> None:
        """Forget the failures until now, which a loaded machine may cause."""
        self.failed, self.failed_at = Counter(), []

    def settle(self) -> "Settled":
        """Finish every promised verification, and consume each proof once more, which must be refused.

        Nobody calls a second time: a taken report is a promise, too.
        """
        settled = Settled(promised=len(self.people))
        with ThreadPoolExecutor(THREADS) as pool:
            for person, found in zip(self.people, pool.map(self._settle, self.people), strict=True):
                if found not in {"silent", "consumed"}:
                    self.wrong.append(f"{found}: {person}")
                setattr(settled, found, getattr(settled, found) + 1)
        return settled

    def _settle(self, person: Person) -> str:
        path = f"/v1/verifications/{person.id}"
        status, read = self._answer(lambda: self.visitor.ask("GET", path))
        if status != 200:
            self.wrong.append(f"settled {status}: {read}")
            return "lost"
        if person.silent:
            return "silent" if read["status"] == "pending" else "falsely_verified"
        if person.consumed and read["status"] != "consumed":
            return "forgotten"
        if not person.consumed:
            if not person.called:
                self._answer(lambda: self._call(person))
            again = partial(self.visitor.ask, "POST", f"{path}/consume", CONSUME, repeat_by=person.id)
            status, read = self._answer(again)
            if status != 200:
                self.wrong.append(f"settled {status}: {read}")
                return "lost"
        status, _ = self._answer(lambda: self.visitor.ask("POST", f"{path}/consume", CONSUME))
        return "consumed" if status == 409 else "twice"

    def _answer(self, act: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        """Repeat a request as long as the answer says to: 503, or 409 because Redis lost the end of the first one."""
        answers: list[tuple[int, Any]] = []

        def answered() -> bool:
            status, body = act()
            answers.append((status, body))
            return status != 503 and not (status == 409 and body["code"] == "idempotency_in_flight")

        wait_for(answered)
        return answers[-1]

    def _begin(self, person: Person) -> Callable[[], tuple[int, Any]]:
        try:
            return self.visitor.wait(person.id, WAIT_SECONDS)
        except OSError as error:
            raise self._unreachable("read", error) from error

    def _call(self, person: Person) -> tuple[int, Any]:
        return self.visitor.call(person.number, person.dialled), ""

    def _told(self, person: Person, waiting: Callable[[], tuple[int, Any]], called_at: float) -> None:
        read = self._read(waiting)
        self.woken.append(time.monotonic() - called_at)
        if read["status"] != "verified":
            self.wrong.append(f"read of a number that called: {read}")
            raise Refused

    def _read(self, waiting: Callable[[], tuple[int, Any]]) -> Any:
        return self._ask("read", 200, waiting)

    def _consume(self, person: Person) -> None:
        path = f"/v1/verifications/{person.id}/consume"
        self._ask("consume", 200, partial(self.visitor.ask, "POST", path, CONSUME, repeat_by=person.id))
        person.consumed = True

    def _ask(self, step: str, wanted: int, act: Callable[[], tuple[int, Any]]) -> Any:
        try:
            status, body = act()
        except (OSError, HTTPException) as error:
            raise self._unreachable(step, error) from error
        if status == wanted:
            return body
        self.failed_at.append(time.monotonic())
        if status == 503 and (step == "call" or body["code"] in OUTAGES):
            self.failed[f"{step} 503"] += 1
        else:
            self.wrong.append(f"{step} {status}: {body}")
        raise Refused

    def _unreachable(self, step: str, error: Exception) -> Refused:
        """Note a request without an answer. A Service without a ready pod refuses connections."""
        self.failed_at.append(time.monotonic())
        if isinstance(error, ConnectionRefusedError):
            self.failed[f"{step} refused by the Service"] += 1
        else:
            self.wrong.append(f"{step}: {error!r}")
        return Refused()


@dataclass
class Settled:
    """Counts of the promised verifications at the end.

    Attributes:
        promised: creates that were answered 201.
        silent: numbers that nobody called from, and that are still pending.
        consumed: proofs that were consumed once and no second time.
        lost: records that are gone, or that cannot be completed.
        forgotten: consumed proofs that are not consumed any more.
        twice: proofs that were consumed a second time.
        falsely_verified: numbers that nobody called from, and that are not pending.
    """

    promised: int
    silent: int = 0
    consumed: int = 0
    lost: int = 0
    forgotten: int = 0
    twice: int = 0
    falsely_verified: int = 0
