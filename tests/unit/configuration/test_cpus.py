"""Number of CPUs by affinity and quotas of cgroups: of files given as the kernel writes them, and of a real cgroup."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from waitcall.configuration.cpus import usable_cpus

CORES = 64
V1 = Path("/sys/fs/cgroup/cpu")
V2 = Path("/sys/fs/cgroup")


@pytest.fixture(autouse=True)
def _cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(CORES)))


class Host:
    """Files of a host. ``mount`` adds a hierarchy of cgroups, ``limit`` a quota of one cgroup in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proc = folder / "proc"
        self.proc.mkdir()
        self._lines: dict[str, list[str]] = {
            "cgroup": [],
            "mountinfo": ["22 1 0:20 / / rw - ext4 /dev/sda1 rw"],
        }

    def mount(self, kind: str, controllers: str, path: str, root: str = "/") -> None:
        self._lines["cgroup"].append(f"{len(self._lines['cgroup'])}:{controllers}:{path}")
        mounted_at = self.folder / (controllers or "unified")
        options = f"rw,{controllers}" if controllers else "rw"
        self._lines["mountinfo"].append(
            f"31 23 0:28 {root} {mounted_at} rw shared:4 - {kind} cgroup {options}"
        )

    def limit(self, path: str, **files: str) -> None:
        (self.folder / path).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.folder / path / name.replace("__", ".")).write_text(f"{text}\n")

    def cpus(self) -> int:
        for name, lines in self._lines.items():
            (self.proc / name).write_text("".join(f"{line}\n" for line in lines))
        return usable_cpus(self.proc)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_mount_without_a_source_hides_no_quota(host: Host) -> None:
    # The kernel writes an empty source as nothing between two blanks.
    host._lines["mountinfo"].append("65 44 0:40 / /mnt rw,relatime - tmpfs  rw")
    host.mount("cgroup2", "", "/job")
    host.limit("unified/job", cpu__max="100000 100000")
    assert host.cpus() == 1


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("150000 100000", 2),
        ("800000 100000", 8),
        ("30000 10000", 3),
        ("99900000 100000", CORES),
        ("max 100000", CORES),
    ],
)
def test_a_quota_of_version_2_counts_and_a_part_of_a_cpu_is_one(host: Host, quota: str, cpus: int) -> None:
    host.mount("cgroup2", "", "/waitcall.service")
    host.limit("unified/waitcall.service", cpu__max=quota)
    assert host.cpus() == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", CORES), ("250000", 3), ("50000", 1)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_version_1_counts(host: Host, controllers: str, quota: str, cpus: int) -> None:
    host.mount("cgroup", "memory", "/waitcall")
    host.mount("cgroup", controllers, "/waitcall")
    host.limit(f"{controllers}/waitcall", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert host.cpus() == cpus


def test_the_smallest_quota_counts_of_all_cgroups_that_the_process_is_in(host: Host) -> None:
    host.mount("cgroup2", "", "/kubepods/pod1/container")
    host.limit("unified/kubepods", cpu__max="max 100000")
    host.limit("unified/kubepods/pod1", cpu__max="200000 100000")
    host.limit("unified/kubepods/pod1/container", cpu__max="400000 100000")
    assert host.cpus() == 2


@pytest.mark.parametrize("path", ["/", "/docker/4f2a"])
def test_in_a_container_the_quota_is_where_the_mount_begins(host: Host, path: str) -> None:
    host.mount("cgroup", "cpu", path, root="/docker/4f2a")
    host.limit("cpu", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert host.cpus() == 2


def test_on_a_host_with_both_versions_the_one_with_the_quota_counts(host: Host) -> None:
    host.mount("cgroup2", "", "/user.slice")
    host.limit("unified/user.slice")
    host.mount("cgroup", "cpu", "/user.slice")
    host.limit("cpu/user.slice", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    assert host.cpus() == 3


def test_an_affinity_below_the_quota_counts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5})
    host.mount("cgroup2", "", "/")
    host.limit("unified", cpu__max="400000 100000")
    assert host.cpus() == 2


@pytest.mark.parametrize("broken", ["", "many few", "100000"])
def test_what_cannot_be_read_limits_nothing(host: Host, broken: str) -> None:
    host.mount("cgroup2", "", "/")
    host.limit("unified", cpu__max=broken)
    assert host.cpus() == CORES


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == CORES


@pytest.fixture
def limited() -> Iterator[Path]:
    """Real cgroup with a quota of one and a half CPUs, where the kernel and our rights allow it."""
    name = f"waitcall-test-{uuid4().hex[:8]}"
    v1 = (V1 / "cpu.cfs_quota_us").exists()
    folder = (V1 if v1 else V2) / name
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error.strerror}")
    try:
        file, text = ("cpu.cfs_quota_us", "150000") if v1 else ("cpu.max", "150000 100000")
        (folder / file).write_text(text)
    except OSError as error:
        folder.rmdir()
        pytest.skip(f"no quota can be set here: {error.strerror}")
    yield folder
    folder.rmdir()


def test_a_real_cgroups_quota_counts_in_a_process_that_is_in_it(limited: Path) -> None:
    script = """
import os, pathlib, sys
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
os.sched_getaffinity = lambda _: set(range(64))
from waitcall.configuration.cpus import usable_cpus
print(usable_cpus())
"""
    told = subprocess.run(
        [sys.executable, "-c", script, str(limited)], capture_output=True, text=True, check=True
    )
    assert told.stdout == "2\n"
