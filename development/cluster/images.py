"""Build the images that the pods of the cluster run, on a Debian made by debootstrap, because registries may be out of reach.

All images are saved as one archive. The archive and the Debian are kept outside the clone until their content changes.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from development import newest_python
from development.cluster import build

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = "localhost/waitcall-cluster-base:latest"
PAUSE = "docker.io/library/waitcall-cluster-pause:1"
COREDNS = "docker.io/library/waitcall-cluster-coredns:1"
VALKEY = "docker.io/valkey/valkey:8"
"""The image that ``demo.valkey`` of the chart names."""
SERVICE = "docker.io/library/waitcall:cluster"
SIMULATOR = "docker.io/library/waitcall-simulator:cluster"
_SMALL = {
    # A container of a pod that does nothing keeps the pod's network.
    PAUSE: f'FROM {BASE}\nENTRYPOINT ["sleep", "infinity"]\n',
    VALKEY: f"FROM {BASE}\n",
    COREDNS: 'FROM scratch\nCOPY coredns /coredns\nENTRYPOINT ["/coredns"]\n',
}
_SOURCES = ("service", "simulator", "config", "Dockerfile", "README.md", "LICENSE", "pyproject.toml")
_KEPT = 2
"""Archives that are kept, so that two branches do not build again each time."""


def archive() -> Path:
    """Return the archive with all images of this tree, built if the cache lacks it.

    Raises:
        subprocess.CalledProcessError: a step failed.
    """
    wanted = build.cache() / f"images-{_key()}.tar"
    if not wanted.exists():
        print("Building the images, which takes minutes ...", flush=True)
        _base()
        try:
            _build()
            begun = wanted.with_suffix(f".{os.getpid()}")
            names = [*_SMALL, SERVICE, SIMULATOR]
            _run("podman", "save", "--quiet", "--multi-image-archive", "--output", str(begun), *names)
            begun.rename(wanted)
        finally:
            _run("podman", "rmi", "--force", "--ignore", BASE, SERVICE, SIMULATOR, *_SMALL)
    wanted.touch()
    newest_first = sorted(build.cache().glob("images-*.tar"), key=lambda each: -each.stat().st_mtime)
    for older in newest_first[_KEPT:]:
        older.unlink()
    return wanted


def _key() -> str:
    """Name the content of the images by all files that go into them."""
    command = [
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        *_SOURCES,
        "requirements*.txt",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / each for each in listed.stdout.splitlines() if (ROOT / each).is_file()]
    return build.digest([*files, build.program("coredns"), Path(__file__), Path(newest_python.__file__)])


def _base() -> None:
    """Import the Debian with Python and Valkey, made by debootstrap if the cache lacks it."""
    kept = build.cache() / f"base-{newest_python.version()}.tar"
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="waitcall-cluster-") as directory:
            newest_python.debootstrap(Path(directory), "valkey-server")
            begun = kept.with_suffix(f".{os.getpid()}")
            _run("tar", "-C", directory, "-cf", str(begun), ".")
            begun.rename(kept)
    _run("podman", "import", "--quiet", str(kept), BASE)


def _build() -> None:
    with tempfile.TemporaryDirectory(prefix="waitcall-cluster-") as directory:
        shutil.copy(build.program("coredns"), Path(directory) / "coredns")
        for name, text in _SMALL.items():
            Path(directory, "Dockerfile").write_text(text, encoding="utf-8")
            _run("buildah", "build", "--isolation", "chroot", "-t", name, directory)
    command = ("buildah", "build", "--isolation", "chroot", "--build-arg", f"BASE={BASE}")
    _run(*command, "--target", "simulator", "-t", SIMULATOR, str(ROOT))
    _run(*command, "-t", SERVICE, str(ROOT))


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ran.returncode:
        with suppress(BrokenPipeError):
            print(ran.stdout[-4000:], ran.stderr[-4000:], sep="\n")
        ran.check_returncode()
