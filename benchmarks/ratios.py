"""Each request against a floor of the same stack, in alternating rounds of one run: throughput and CPU time of the server.

Closed loop: a few connections, each asks as soon as it has its answer. The CPU time is what gunicorn's workers used
(/proc), so that neither the load generator nor the simulator counts; Redis is told apart.

python -m benchmarks.ratios
"""

import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.isolation import HEADERS, machine
from development.stack import ROOT, Ports, Stack, answers, development_settings

ROUNDS = 5
REQUESTS = 600
CONNECTIONS = 8
TICKS_PER_SECOND = 100
TARGETS = {"read": ("f2", 1.0), "create": ("f3", 0.7), "callback": ("f3", 1.0), "consume": ("f3", 1.0)}


@dataclass(frozen=True)
class Ask:
    """One request, and the status that it must be answered with."""

    port: int
    method: str
    path: str
    body: str | None
    status: int


@dataclass(frozen=True)
class Round:
    """What a number of equal requests took."""

    per_second: float
    cpu_ms: float


class Bench:
    """The service and the floors, one worker process each, and numbers that nobody has had yet."""

    def __init__(self, stack: Stack, ports: Ports, floors: Ports) -> None:
        self._ports, self._floors = ports, floors
        self._secret = development_settings()["WAITCALL_CALLBACK_SECRETS"]
        self._numbers = count(79990000000)
        self._service = workers_of(stack, "service")
        self._floor = workers_of(stack, "floors")

    def requests(self, name: str) -> Sequence[Ask]:
        """As many as a round has; whatever they need has been made before."""
        match name:
            case "f1" | "f2":
                return [Ask(self._floors.api, "GET", f"/{name}", None, 200)] * REQUESTS
            case "f3":
                return [Ask(self._floors.api, "POST", "/f3", self._body(), 201) for _ in range(REQUESTS)]
            case "create":
                return [
                    Ask(self._ports.api, "POST", "/v1/verifications", self._body(), 201)
                    for _ in range(REQUESTS)
                ]
            case "read":
                made = self._made(1)[0]
                return [Ask(self._ports.api, "GET", f"/v1/verifications/{made['id']}", None, 200)] * REQUESTS
            case "callback":
                return [self._callback(made) for made in self._made(REQUESTS)]
        made = self._made(REQUESTS)
        self._all([self._callback(each) for each in made])
        proof = json.dumps({"purpose": "login"})
        return [
            Ask(self._ports.api, "POST", f"/v1/verifications/{each['id']}/consume", proof, 200)
            for each in made
        ]

    def round(self, name: str) -> Round:
        """One, timed; everything it needs is prepared before."""
        asked = self.requests(name)
        pids = self._floor if name.startswith("f") else self._service
        cpu, began = cpu_seconds(pids), time.perf_counter()
        self._all(asked)
        seconds = time.perf_counter() - began
        return Round(len(asked) / seconds, (cpu_seconds(pids) - cpu) / len(asked) * 1000)

    def _body(self) -> str:
        return json.dumps({"phone_number": f"+{next(self._numbers)}", "purpose": "login"})

    def _made(self, number: int) -> list[Any]:
        asked = [Ask(self._ports.api, "POST", "/v1/verifications", self._body(), 201) for _ in range(number)]
        return self._all(asked)

    def _callback(self, made: Any) -> Ask:
        phone, ts = made["phone_number"].lstrip("+"), int(time.time())
        digest = sha1(f"{phone}:{ts}:{self._secret}".encode()).hexdigest()
        path = f"/callbacks/smsc?waitcall=1&phone={phone}&ts={ts}&sha1={digest}"
        return Ask(self._ports.callback, "GET", path, None, 200)

    def _all(self, asked: Sequence[Ask]) -> list[Any]:
        turn, lock, answered = iter(asked), threading.Lock(), []

        def client() -> None:
            connections: dict[int, http.client.HTTPConnection] = {}
            while True:
                with lock:
                    each = next(turn, None)
                if each is None:
                    return
                connection = connections.setdefault(
                    each.port, http.client.HTTPConnection("127.0.0.1", each.port)
                )
                connection.request(each.method, each.path, each.body, HEADERS)
                response = connection.getresponse()
                body = response.read()
                if response.status != each.status:
                    raise RuntimeError(f"{each.method} {each.path[:40]}: {response.status} {body[:200]!r}")
                if each.status == http.client.CREATED:
                    answered.append(json.loads(body))

        threads = [threading.Thread(target=client) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if next(turn, None) is not None:
            raise RuntimeError("not all were asked")
        return answered


def workers_of(stack: Stack, name: str) -> list[int]:
    """The processes that gunicorn's master has forked."""
    pid = stack.processes.pid(name)
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time that processes have used, all their threads."""
    ticks = 0
    for pid in pids:
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(used[11]) + int(used[12])
    return ticks / TICKS_PER_SECOND


def start_floors(stack: Stack, ports: Ports) -> None:
    """Beside the service: the same gunicorn, configuration and Redis."""
    environ = stack.environ_of_service() | {
        "WAITCALL_API_BIND": f"127.0.0.1:{ports.api}",
        "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{ports.callback}",
        "WAITCALL_OPS_BIND": f"127.0.0.1:{ports.ops}",
    }
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    command = [gunicorn, "--chdir", str(ROOT), "-c", "development/gunicorn.conf.py", "benchmarks.floors:app"]
    stack.processes.start("floors", command, environ)
    stack.processes.wait_until("floors", lambda: answers(f"http://127.0.0.1:{ports.api}/f1"))


def measured() -> dict[str, list[Round]]:
    """Of each name, one round after the other, in turns."""
    ports, floors = Ports.free(), Ports.free()
    with Stack(ports, {"WAITCALL_WORKERS": "1", "WAITCALL_LOG_LEVEL": "warning"}) as stack:
        start_floors(stack, floors)
        bench = Bench(stack, ports, floors)
        names = ["f1", "f2", "f3", *TARGETS]
        for name in names:
            bench.round(name)
        rounds: dict[str, list[Round]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                rounds[name].append(bench.round(name))
    return rounds


def median(rounds: Sequence[Round], of: Callable[[Round], float]) -> float:
    """Over the rounds."""
    return statistics.median(of(each) for each in rounds)


def main() -> None:
    """Measure and print: a table for people, then one JSON document."""
    rounds = measured()
    rate = {name: median(each, lambda one: one.per_second) for name, each in rounds.items()}
    cpu = {name: median(each, lambda one: one.cpu_ms) for name, each in rounds.items()}
    print(f"{'':>10} {'per second':>11} {'CPU ms':>7}   ratio to its floor, by throughput and by CPU; target")
    for name in rounds:
        line = f"{name:>10} {rate[name]:>11.0f} {cpu[name]:>7.2f}"
        if name in TARGETS:
            floor, target = TARGETS[name]
            line += f"   {rate[name] / rate[floor]:.2f} and {cpu[floor] / cpu[name]:.2f} of {floor}; {target}"
        print(line)
    journey = sum(cpu[name] for name in ("create", "callback", "read", "consume"))
    print(
        f"one journey (create, callback, read, consume): {journey:.2f} ms of CPU, {journey / cpu['f3']:.1f} x f3"
    )
    document = {name: [vars(one) for one in each] for name, each in rounds.items()}
    json.dump(machine() | {"requests": REQUESTS, "connections": CONNECTIONS, "rounds": document}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
