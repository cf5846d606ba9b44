"""Does a hanging provider slow anybody else? Reads and callbacks, idle and with 100 creates held.

Open loop: requests leave at a fixed rate, and each latency counts from the instant at which its request was
due, so a slow answer does not excuse the ones behind it. Idle and loaded phases alternate on one stack.

python -m benchmarks.isolation
"""

import hashlib
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from development.stack import API_KEY, ROOT, Ports, Stack, development_settings

HELD = 100
RATE = 100
SECONDS = 8
ROUNDS = 3
CLIENTS = 16
HEADERS = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}


def open_loop(ask: Callable[[http.client.HTTPConnection, int], int], port: int) -> list[float]:
    """Latencies in milliseconds of ``RATE`` requests a second."""
    began = time.monotonic() + 0.2
    latencies: list[float] = []
    turn = iter(range(RATE * SECONDS))
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with lock:
                index = next(turn, None)
            if index is None:
                connection.close()
                return
            due = began + index / RATE
            time.sleep(max(due - time.monotonic(), 0))
            status = ask(connection, index)
            if status != 200:
                raise RuntimeError(f"answered {status}")
            latencies.append((time.monotonic() - due) * 1000)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(latencies) != RATE * SECONDS:
        raise RuntimeError(f"{len(latencies)} answers instead of {RATE * SECONDS}")
    return latencies


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Milliseconds."""
    cuts = statistics.quantiles(latencies, n=100)
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "max": round(max(latencies), 2)}


def main() -> None:
    """Measure and print one JSON document."""
    ports = Ports.free()
    secret = development_settings()["WAITCALL_CALLBACK_SECRETS"]
    with Stack(ports, {"WAITCALL_SMSC_TIMEOUT_SECONDS": "25", "WAITCALL_LOG_LEVEL": "warning"}) as stack:
        made = _post(ports.api, "/v1/verifications", {"phone_number": "+79991230000", "purpose": "login"})
        path = f"/v1/verifications/{made['id']}"

        def read(connection: http.client.HTTPConnection, _: int) -> int:
            return _ask(connection, "GET", path)

        def callback(connection: http.client.HTTPConnection, index: int) -> int:
            phone, ts = f"7999555{index:04d}", int(time.time())
            digest = hashlib.sha1(f"{phone}:{ts}:{secret}".encode()).hexdigest()
            query = f"waitcall=1&phone={phone}&ts={ts}&sha1={digest}"
            return _ask(connection, "GET", f"/callbacks/smsc?{query}")

        phases: dict[str, list[float]] = {}
        for round_ in range(ROUNDS):
            for name, ask, port in (("read", read, ports.api), ("callback", callback, ports.callback)):
                phases.setdefault(f"{name} idle", []).extend(open_loop(ask, port))
                held = _hold(stack, ports, round_)
                phases.setdefault(f"{name} held", []).extend(open_loop(ask, port))
                if sum(thread.is_alive() for thread in held) != HELD:
                    raise RuntimeError("not all creates were held all the time")
                _control(stack, "/faults", {"steps": []})
                for thread in held:
                    thread.join()
                # The breaker has seen 100 failures; let it close.
                time.sleep(11)
    results: dict[str, Any] = {name: percentiles(latencies) for name, latencies in phases.items()}
    for name in ("read", "callback"):
        results[f"{name} p99 ratio"] = round(
            results[f"{name} held"]["p99"] / results[f"{name} idle"]["p99"], 2
        )
    json.dump(machine() | {"rate": RATE, "held": HELD, "milliseconds": results}, sys.stdout, indent=2)
    print()


def _hold(stack: Stack, ports: Ports, round_: int) -> list[threading.Thread]:
    _control(stack, "/faults", {"always": {"kind": "hang"}})
    before = len(_ledger(stack))
    threads = [
        threading.Thread(
            target=_create_in_vain, args=(ports.api, f"+7999{round_}{time.time_ns() % 10**4:04d}{index:02d}")
        )
        for index in range(HELD)
    ]
    for thread in threads:
        thread.start()
    while len(_ledger(stack)) < before + HELD:
        time.sleep(0.05)
    return threads


def _create_in_vain(port: int, number: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"phone_number": number, "purpose": "login"})
    connection.request("POST", "/v1/verifications", body, HEADERS)
    connection.getresponse().read()
    connection.close()


def _ask(connection: http.client.HTTPConnection, method: str, path: str) -> int:
    connection.request(method, path, headers=HEADERS)
    response = connection.getresponse()
    response.read()
    return response.status


def _post(port: int, path: str, body: dict[str, Any]) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, json.dumps(body), HEADERS)
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


def _control(stack: Stack, path: str, body: dict[str, Any]) -> Any:
    return _post(int(stack.control.rpartition(":")[2]), path, body)


def _ledger(stack: Stack) -> list[Any]:
    with urllib.request.urlopen(f"{stack.control}/ledger", timeout=10) as response:
        entries: list[Any] = json.load(response)["ledger"]
    return entries


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {"python": platform.python_version(), "cores": len(os.sched_getaffinity(0)), "commit": commit}


if __name__ == "__main__":
    main()
