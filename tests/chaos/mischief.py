"""Cause failures during a run: kill and pause processes, make the provider hang, reset or lie, fail Redis over."""

import itertools
import json
import os
import random
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from time import time
from typing import Any

from simulator.own_numbers import Call, Trunk, report
from tests.chaos.crowd import Journey, Phone
from tests.chaos.topologies import Topology
from tests.end_to_end.conftest import Service, Working, answers, launch_worker
from tests.redis_servers import wait_for

LEASE_SECONDS = 10
LIES: list[dict[str, Any]] = [
    {"kind": "premium"},
    {"kind": "html"},
    {"kind": "half"},
    {"kind": "empty"},
    {"kind": "status", "value": 500},
    {"kind": "answer", "value": '{"phone": null, "all_phones": []}'},
]


class Mischief:
    """Cause one failure after another in random order until stopped, then repair everything.

    With ``at_once`` the accidents of Redis happen beside the other failures, which takes half the time.
    """

    def __init__(
        self,
        topology: Topology,
        services: Sequence[Service],
        workers: list[Working],
        control_url: str,
        dice: random.Random,
        *,
        at_once: bool = False,
    ) -> None:
        self._services, self._workers, self._control_url = services, workers, control_url
        self._topology, self._dice = topology, dice
        self._stop = threading.Event()
        self._all_done = threading.Semaphore(0)
        self._failure: BaseException | None = None
        self.done: Counter[str] = Counter()
        deeds: dict[str, Callable[[], None]] = {
            "gunicorn worker killed": self._kill_gunicorn_worker,
            "gunicorn master killed": self._kill_gunicorn_master,
            "leading worker killed": self._kill_leader,
            "leading worker paused past its lease": self._pause_leader,
            "provider hangs": self._provider_hangs,
            "provider resets": self._provider_resets,
            "provider lies": self._provider_lies,
        }
        accidents = topology.accidents()
        self._threads = [
            threading.Thread(target=self._run, args=(each,), daemon=True)
            for each in ([deeds, accidents] if at_once else [deeds | accidents])
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop once every kind of failure has happened at least once. Raise the error of a deed that failed."""
        for _ in self._threads:
            self._all_done.acquire()
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._plan([])
        for worker in self._workers:
            worker.process.send_signal(signal.SIGCONT)
        if self._failure is not None:
            raise self._failure

    def _run(self, deeds: dict[str, Callable[[], None]]) -> None:
        try:
            for turn in itertools.count():
                names = list(deeds)
                self._dice.shuffle(names)
                for name in names:
                    if turn and self._stop.is_set():
                        return
                    deeds[name]()
                    self.done[name] += 1
                    self._stop.wait(self._dice.uniform(0.5, 2))
                self._all_done.release()
        except BaseException as failure:  # noqa: BLE001  stop() raises it
            self._failure = failure
            self._all_done.release()

    def _kill_gunicorn_worker(self) -> None:
        workers = self._dice.choice(self._services).workers()
        if workers:
            with suppress(ProcessLookupError):
                os.kill(self._dice.choice(workers), signal.SIGKILL)

    def _kill_gunicorn_master(self) -> None:
        """Kill gunicorn's master and start it again, as Kubernetes would. Its orphaned workers end by themselves."""
        service = self._dice.choice(self._services)
        service.process.kill()
        service.process.wait()
        service.start_again()
        wait_for(lambda: answers(service, "livez"))

    def _kill_leader(self) -> None:
        leader = self._leader()
        leader.process.kill()
        leader.process.wait()
        self._workers[self._workers.index(leader)] = launch_worker(self._services[0], leader.log.parent)

    def _pause_leader(self) -> None:
        leader = self._leader()
        leader.process.send_signal(signal.SIGSTOP)
        self._stop.wait(LEASE_SECONDS + 2)
        leader.process.send_signal(signal.SIGCONT)

    def _leader(self) -> Working:
        leading: list[Working] = []

        def found() -> bool:
            leading[:] = [each for each in self._workers if each.fence() > 0]
            return bool(leading)

        wait_for(found, seconds=120)
        return leading[0]

    def _provider_hangs(self) -> None:
        self._during(4, {"kind": "hang"})

    def _provider_resets(self) -> None:
        self._during(3, {"kind": "reset"})

    def _provider_lies(self) -> None:
        self._plan([self._dice.choice(LIES) for _ in range(10)])

    def _during(self, seconds: float, fault: dict[str, Any]) -> None:
        self._plan([], fault)
        self._stop.wait(seconds)
        self._plan([])

    def _plan(self, steps: list[dict[str, Any]], always: dict[str, Any] | None = None) -> None:
        body = json.dumps({"steps": steps, "always": always}).encode()
        request = urllib.request.Request(
            f"{self._control_url}/faults", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200


def forge(phone: Phone, silent: Sequence[Journey], own: Trunk, at: int) -> None:
    """Send forged, stale and irrelevant messages about numbers that never call. ``own``: our own numbers."""
    forgeries: list[Callable[[str], None]] = [
        lambda number: phone.report(number, at, secret="not-the-secret-of-anyone"),
        lambda number: phone.report(number, at, secret=""),
        lambda number: phone.report(number, at - 3600),
        lambda number: phone.report(number, at + 3600),
        lambda number: phone.message(number, "[waitcall]"),
        lambda number: phone.text(number, "[waitcall]"),
    ]
    forgeries_of_own: list[Callable[[Journey], object]] = [
        lambda each: phone.report(each.person.number, at),
        lambda each: _reported(own, each, secret="not-the-secret-of-anyone-at-all-and-32"),
        lambda each: _reported(own, each, at=at - 1000),
        lambda each: _reported(own, each, at=at + 1000),
        lambda each: _reported(own, each, withheld=True),
        lambda each: [_reported(own, each, did=did) for did in own.numbers if f"+{did}" != each.call_number],
    ]
    for forgery, journey in zip(itertools.cycle(forgeries), _of(silent, own=False), strict=False):
        forgery(journey.person.number)
    for forge_own, journey in zip(itertools.cycle(forgeries_of_own), _of(silent, own=True), strict=False):
        forge_own(journey)


def _of(journeys: Sequence[Journey], *, own: bool) -> list[Journey]:
    return [each for each in journeys if each.person.own is own and each.call_number]


def _reported(own: Trunk, journey: Journey, secret: str = "", **changed: Any) -> None:
    """Report a call from the person's number to the number shown, unless ``changed`` says another."""
    call = {"cli": journey.person.number, "did": journey.call_number.lstrip("+"), "at": time()} | changed
    report(replace(own, secret=secret or own.secret), Call(**call))
