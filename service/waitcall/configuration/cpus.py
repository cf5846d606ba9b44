"""Number of CPUs that this process may use: by its affinity, and by the quotas of its cgroups (cgroups(7), both versions)."""

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path

OWN = Path("/proc/self")


def usable_cpus(proc: Path = OWN) -> int:
    """Return the number of CPUs, at least 1. A part of a CPU counts as one, because a worker can use it.

    The affinity (sched_setaffinity(2)) already respects cpusets. ``proc`` has the files ``cgroup`` and ``mountinfo``.
    """
    allowed = float(len(os.sched_getaffinity(0)))
    # Without cgroups these files are missing. The affinity holds then.
    with suppress(OSError, ValueError):
        allowed = min(allowed, *_quotas(proc))
    return max(ceil(allowed), 1)


def _quotas(proc: Path) -> Iterator[float]:
    """Find the quotas, in CPUs, of the process's cgroups and of all that they are in."""
    yield float("inf")
    for path, mounted_at in _cgroups(proc):
        for folder in (path, *path.parents):
            yield _quota(folder)
            if folder == mounted_at:
                break


def _quota(folder: Path) -> float:
    """Return the quota of one cgroup. A cgroup without limit, as the root, has no such file or one that says so."""
    with suppress(FileNotFoundError):
        quota, period = (folder / "cpu.max").read_text().split()
        return float("inf") if quota == "max" else int(quota) / int(period)
    with suppress(FileNotFoundError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float("inf") if int(quota) < 0 else int(quota) / int(period)
    return float("inf")


def _cgroups(proc: Path) -> Iterator[tuple[Path, Path]]:
    """Find the process's cgroups that limit CPU time, each with the mount point of its hierarchy."""
    # Lines of cgroup: number:controllers:path. Version 2 has no controllers here.
    paths: dict[str, str] = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, named = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), named)
    # Lines of mountinfo: id parent device root mount-point options … - type source options (proc_pid_mountinfo(5)).
    for line in (proc / "mountinfo").read_text().splitlines():
        # The source may be empty, with a blank on either side.
        kind, _, options = line.rpartition(" - ")[2].split(" ", maxsplit=2)
        controller = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
        if controller in paths and controller in ("", *options.split(",")):
            path, root, mounted_at = map(Path, (paths[controller], *line.split()[3:5]))
            # The mount of a container may begin at its own cgroup, while the path begins at the host's root.
            inside = path.relative_to(root) if path.is_relative_to(root) else Path()
            yield mounted_at / inside, mounted_at
