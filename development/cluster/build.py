"""Build the programs of the cluster with Go, and keep them outside the clone until their sources or locks change."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = {"kubernetes": ".", "coredns": ".", "router": "tool", "ingress": "tool", "metrics-server": "tool"}
"""Folders with a Go module, and what is built of it: its own program, or the tool that it locks."""
KUBERNETES = "1.33.4"
_KEPT_SECONDS = 24 * 60 * 60
_VERSION = "k8s.io/component-base/version"
# Helm and kubectl ask the API server for its version, which the linker sets.
_LINKED = f"-s -w -X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=33"


def cache() -> Path:
    """Return the directory outside the clone that keeps programs and images."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "waitcall" / "cluster"


def digest(paths: Iterable[Path]) -> str:
    """Return a short name for the content of some files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]


def program(name: str) -> Path:
    """Return where a program is, or will be once it is built."""
    files = [each for each in (HERE / name).iterdir() if each.suffix in {".go", ".mod", ".sum"}]
    return cache() / f"{name}-{digest(files)}"


def build() -> None:
    """Build the programs that the cache lacks, and remove those that nobody needed for a day.

    Raises:
        subprocess.CalledProcessError: Go failed.
    """
    cache().mkdir(parents=True, exist_ok=True)
    for name, package in PROGRAMS.items():
        wanted = program(name)
        if wanted.exists():
            wanted.touch()
            continue
        print(f"Building {name} with Go, which takes minutes ...", flush=True)
        begun = wanted.with_suffix(f".{os.getpid()}")
        command = ["nice", "-n", "10", "go", "build", "-trimpath", f"-ldflags={_LINKED}"]
        environ = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
        subprocess.run([*command, "-o", str(begun), package], cwd=HERE / name, env=environ, check=True)
        begun.rename(wanted)
        for older in cache().glob(f"{name}-*"):
            if time.time() - older.stat().st_mtime > _KEPT_SECONDS:
                older.unlink(missing_ok=True)


def missing() -> str | None:
    """Return the reason why the programs cannot be built here, or None."""
    if all(program(name).exists() for name in PROGRAMS):
        return None
    return None if shutil.which("go") else "Go is not installed"
