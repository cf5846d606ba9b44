"""Build images of single programs, for pods that only some tests of the cluster need.

Such an image has the program and its libraries, and no Debian. Each is an archive of its own, kept until its files change.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from development.cluster import build

INGRESS = "docker.io/library/waitcall-cluster-ingress:1"
METRICS_SERVER = "docker.io/library/waitcall-cluster-metrics-server:1"
PROMETHEUS = "docker.io/library/waitcall-cluster-prometheus:1"


def ingress() -> Path:
    """Return the archive of the image of Skipper, an ingress controller that Go builds."""
    build.build()
    return _archive(INGRESS, build.program("ingress"))


def metrics_server() -> Path:
    """Return the archive of the image of metrics-server, which Go builds."""
    build.build()
    return _archive(METRICS_SERVER, build.program("metrics-server"))


def prometheus() -> Path:
    """Return the archive of the image of Prometheus, which is the one of this machine.

    Raises:
        FileNotFoundError: Prometheus is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("Prometheus is not installed.")
    return _archive(PROMETHEUS, Path(program))


def _archive(image: str, program: Path) -> Path:
    files = [program, *_libraries(program)]
    name = image.rpartition("/")[2].partition(":")[0].removeprefix("waitcall-cluster-")
    wanted = build.cache() / f"image-{name}-{build.digest(files)}.tar"
    if not wanted.exists():
        _build(image, program, files, wanted)
        for older in build.cache().glob(f"image-{name}-*.tar"):
            if older != wanted:
                older.unlink()
    return wanted


def _build(image: str, program: Path, files: Sequence[Path], wanted: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="waitcall-cluster-") as directory:
        for each in files:
            copy = Path(directory, "files", *each.parts[1:])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(each, copy)
        text = f'FROM scratch\nCOPY files /\nENTRYPOINT ["{program}"]\n'
        Path(directory, "Dockerfile").write_text(text, encoding="utf-8")
        _run("buildah", "build", "--isolation", "chroot", "-t", image, directory)
    begun = wanted.with_suffix(f".{os.getpid()}")
    try:
        _run("podman", "save", "--quiet", "--output", str(begun), image)
    finally:
        _run("podman", "rmi", "--force", "--ignore", image)
    begun.rename(wanted)


def _libraries(program: Path) -> list[Path]:
    """Return the shared libraries of a program, none if it is static."""
    listed = subprocess.run(["/usr/bin/ldd", str(program)], capture_output=True, text=True, check=False)
    return [Path(word) for word in listed.stdout.split() if word.startswith("/") and not word.endswith(":")]


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr[-2000:]}")
