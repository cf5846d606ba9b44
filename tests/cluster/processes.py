"""Processes of pods, as this machine sees them. Tests kill them as a lack of memory or a defect would."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any


def first(pod: dict[str, Any], program: str) -> int:
    """Return the first process of the container of a pod that runs a program."""
    (found,) = (each for each in _all(pod) if program in _command(each) and _number_inside(each) == 1)
    return found


def children(parent: int) -> list[int]:
    """Return the child processes of a process."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(each) for each in text.split()]


def kill(process: int) -> None:
    """Kill a process, which cannot end anything in order."""
    os.kill(process, signal.SIGKILL)


def _all(pod: dict[str, Any]) -> list[int]:
    name = f"pod{pod['metadata']['uid']}"
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if name in (each / "cgroup").read_text(encoding="ascii"):
                found.append(int(each.name))
    return found


def _command(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8").replace("\0", " ")
    return ""


def _number_inside(process: int) -> int:
    """Return the number of a process in its container."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    (numbers,) = (each.split() for each in lines if each.startswith("NSpid:"))
    return int(numbers[-1])
