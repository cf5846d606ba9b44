"""Remove what the node leaves on the machine, and only that: processes, mounts, networks, control groups, files, settings."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from development.cluster import places

_KERNEL = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)
"""Settings of the whole machine that kubelet changes."""
_BEFORE = places.STATE / "before.json"
_LINK = Path("/sys/class/net") / places.LINK
_PATIENCE_SECONDS = 20


def prepare() -> None:
    """Keep the settings of the machine that kubelet will change, and make the directories that the node hides."""
    settings = {name: _setting(name).read_text(encoding="ascii").strip() for name in _KERNEL}
    made = [str(each) for each in places.FIXED if not each.exists()]
    _BEFORE.write_text(json.dumps({"settings": settings, "made": made}), encoding="utf-8")
    for each in made:
        Path(each).mkdir(parents=True)


def remove() -> None:
    """Remove all traces of a node, running or not.

    Raises:
        RuntimeError: some are left. The message lists them.
    """
    _end_processes()
    if _LINK.exists():
        _run("ip", "link", "delete", places.LINK)
    _unmount()
    if _BEFORE.exists():
        before = json.loads(_BEFORE.read_text(encoding="utf-8"))
        for name, value in before["settings"].items():
            _setting(name).write_text(value, encoding="ascii")
        for made in before["made"]:
            with suppress(OSError):  # another uses it now
                Path(made).rmdir()
    for directory in (places.RUN, places.STATE):
        shutil.rmtree(directory, ignore_errors=True)
    for group in _cgroups():
        with suppress(OSError):
            group.rmdir()
    if left := found():
        raise RuntimeError(f"Not removed: {', '.join(left)}")


def found() -> list[str]:
    """Return what is on the machine of a node, running or not."""
    paths = [*_cgroups(), places.STATE, places.RUN, _LINK]
    return [*(f"process {each}" for each in _processes()), *(str(each) for each in paths if each.exists())]


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name


def _processes() -> set[int]:
    """Return ids of the processes in the network of the node or in its control groups."""
    ids = set()
    with suppress(FileNotFoundError):
        network = places.NETWORK.stat().st_ino
        for each in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (each / "ns/net").stat().st_ino == network:
                    ids.add(int(each.name))
    for group in _cgroups():
        with suppress(OSError):
            ids |= {int(each) for each in (group / "cgroup.procs").read_text(encoding="ascii").split()}
    return ids


def _cgroups() -> list[Path]:
    """Return the control groups of the node, inner ones first."""
    tops = [places.CGROUPS / places.NAME, *places.CGROUPS.glob(f"*/{places.NAME}")]
    walked = [Path(directory) for top in tops for directory, _, _ in os.walk(top)]
    return sorted(walked, key=lambda each: -len(each.parts))


def _end_processes() -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (ids := _processes()) and time.monotonic() < deadline:
        for each in ids:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        time.sleep(0.1)


def _mounts() -> Iterator[str]:
    """Yield the places where file systems of the node are mounted, the last mounted first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    for line in reversed(lines):
        where = line.split()[4]
        if where.startswith((f"{places.STATE}/", f"{places.RUN}/")):
            yield where


def _unmount() -> None:
    for where in list(_mounts()):
        _run("umount", "--lazy", where)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
