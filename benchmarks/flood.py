"""Measure how reads and signed callbacks slow down while strangers flood the public listener with the worst bodies.

It is measured with one process tree for all surfaces, as on a laptop, and with one tree for each surface
(``WAITCALL_SURFACES``). Each tree has two worker processes. The strangers are a separate process on the same cores.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent

from benchmarks.load import Ask, open_loop, percentile
from benchmarks.subject import Subject
from development.ports import Ports
from development.stack import ROOT, Stack, answers

CONNECTIONS = 8
RATE = 40
"""Reads a second, and callbacks a second. The rate is low because latency is measured, not throughput."""
TREES = {"one tree": ("api,callback",), "two trees": ("api", "callback")}


def measure(rounds: int, seconds: int) -> dict[str, Any]:
    """Measure latencies of reads and callbacks, idle and under the flood. Return the medians of the rounds."""
    found: dict[str, Any] = {"connections": CONNECTIONS, "seconds": seconds, "load_before": os.getloadavg()}
    for name, trees in TREES.items():
        made = [_round(trees, seconds) for _ in range(rounds)]
        middle: dict[str, Any] = {
            key: statistics.median(each[key] for each in made) for key in made[0] if key != "strangers"
        }
        for what in ("read", "callback"):
            middle[f"{what}_ratio"] = statistics.median(
                each[f"{what} p99 flood"] / each[f"{what} p99 idle"] for each in made
            )
        found[name] = middle | {"rounds": made}
    return found | {"load_after": os.getloadavg()}


def _round(trees: tuple[str, ...], seconds: int) -> dict[str, Any]:
    environ = {"WAITCALL_SURFACES": trees[0], "WAITCALL_WORKERS": "2"}
    stack = Stack(Ports.free(), environ)
    # The strangers attack the callback handlers of both providers, so both must be on.
    policy = stack.directory / "policy.toml"
    policy.write_text((ROOT / "config/policy.toml").read_text() + '[routing]\ndefault = ["smsc", "smsru"]\n')
    stack.environ |= {"WAITCALL_POLICY": str(policy), "WAITCALL_SMSRU_API_ID": "dev-smsru-api-id-1"}
    with stack:
        for surfaces in trees[1:]:
            _start_tree(stack, surfaces)
        subject = Subject(stack)
        made = subject.make(2 * RATE * seconds + RATE)
        read, calls = subject.read(made[0]), [subject.callback(each) for each in made[1:]]
        open_loop([read] * RATE, RATE)
        idle = _both(read, calls[: RATE * seconds])
        with _strangers(stack.ports.callback) as told:
            flood = _both(read, calls[RATE * seconds : 2 * RATE * seconds])
    return _told(idle, flood) | {"strangers": told[0]}


def _told(idle: dict[str, list[float]], flood: dict[str, list[float]]) -> dict[str, Any]:
    """Return p50 and p99 of the latencies, in milliseconds."""
    return {
        f"{what} p{share} {when}": percentile(latencies[what], share / 100)
        for when, latencies in (("idle", idle), ("flood", flood))
        for what in latencies
        for share in (50, 99)
    }


def _both(read: Ask, calls: list[Ask]) -> dict[str, list[float]]:
    """Send reads and callbacks at the same time. Return their latencies in milliseconds."""
    reads, called = gevent.spawn(open_loop, [read] * len(calls), RATE), gevent.spawn(open_loop, calls, RATE)
    return {"read": list(reads.get().latencies), "callback": list(called.get().latencies)}


@contextmanager
def _strangers(port: int) -> Iterator[list[str]]:
    told: list[str] = []
    command = [sys.executable, "-m", "benchmarks.crowd", str(port), str(CONNECTIONS)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as crowd:
        yield told
        told.append(crowd.communicate()[0].strip())


def _start_tree(stack: Stack, surfaces: str) -> None:
    ops = f"127.0.0.1:{Ports.free().ops}"
    environ = stack.environ_of_service() | {"WAITCALL_SURFACES": surfaces, "WAITCALL_OPS_BIND": ops}
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    command = [gunicorn, "--chdir", str(ROOT), "-c", "development/gunicorn.conf.py", "waitcall.wsgi:app"]
    stack.processes.start(surfaces, command, environ)
    stack.processes.wait_until(surfaces, lambda: answers(f"http://{ops}/readyz"))
