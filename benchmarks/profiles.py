"""Profile the worker process under full load with py-spy: shares of CPU by library and by our own function."""

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.endpoints import ENDPOINTS, asked
from benchmarks.load import closed_loop
from benchmarks.subject import CONNECTIONS, ONE_WORKER, Measured, Subject
from development.ports import Ports

SAMPLES_PER_SECOND = 250
STEPS = 14

# A sample belongs to the first entry that its file's path contains, or to "else".
PARTS = (
    ("gevent/_socket", "sockets"),
    ("gevent/", "gevent"),
    ("gunicorn/", "gunicorn"),
    ("flask/", "flask, werkzeug"),
    ("werkzeug/", "flask, werkzeug"),
    ("blinker/", "flask, werkzeug"),
    ("redis/", "redis"),
    ("pythonjsonlogger/", "logging"),
    ("logging/", "logging"),
    ("prometheus_client/", "metrics"),
    ("json/", "json"),
    ("marshmallow/", "marshmallow"),
    ("phonenumbers/", "phonenumbers"),
    ("urllib3/", "request to the provider"),
    ("http/client", "request to the provider"),
    ("email/", "request to the provider"),
    ("concurrent/", "request to the provider"),
)
OURS = "waitcall"
IDLE = "gevent/_threading.py"
"""File of gevent's thread pool. py-spy takes its waiting for work, so its samples are skipped."""


def measure(requests: int) -> dict[str, Any]:
    """Profile each endpoint: shares of each library's own code, and of our functions with everything that they call."""
    profiler = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if profiler is None:
        return {"skipped": "Not profiled: py-spy is not installed."}
    with Measured(Ports.free(), ONE_WORKER) as stack, tempfile.TemporaryDirectory() as directory:
        subject = Subject(stack)
        closed_loop(asked("create", requests // 10, subject, subject.ports), CONNECTIONS)
        found = {}
        for name in ENDPOINTS:
            path = Path(directory) / name
            prepared = asked(name, requests, subject, subject.ports)
            command = [
                profiler,
                "record",
                "--pid",
                str(subject.pids[0]),
                "--format",
                "raw",
                "--output",
                str(path),
            ]
            options = ["--rate", str(SAMPLES_PER_SECOND), "--duration", "600"]
            sampling = subprocess.Popen(
                [*command, *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            closed_loop(prepared, CONNECTIONS)
            sampling.send_signal(2)
            sampling.wait(60)
            if not path.exists():
                return {"skipped": "Not profiled: py-spy has no permission to read another process."}
            found[name] = shares(path.read_text(encoding="utf-8"))
    return found


def shares(stacks: str) -> dict[str, Any]:
    """Compute the shares from collapsed stacks: one on each line, with its count (``frame;frame 3``)."""
    parts, steps, samples = Counter[str](), Counter[str](), 0
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        if IDLE in stack:
            continue
        frames = stack.split(";")
        samples += int(count)
        parts[_part(frames[-1])] += int(count)
        for step in {_step(frame) for frame in frames if "(waitcall/" in frame}:
            steps[step] += int(count)
    return {
        "samples": samples,
        "parts": {name: round(count / samples, 3) for name, count in parts.most_common()},
        "steps": {name: round(count / samples, 3) for name, count in steps.most_common(STEPS)},
    }


def _part(frame: str) -> str:
    if "(waitcall/" in frame:
        return OURS
    return next((part for path, part in PARTS if path in frame), "else")


def _step(frame: str) -> str:
    return frame.partition(" (")[0]
