"""Build the image of the previous release from its commit, and unpack its chart, for tests of the upgrade.

Neither ever changes, so the archive is kept apart from those of the tree.
"""

import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from development import newest_python
from development.cluster import build, images

VERSION = "0.1.0"
COMMIT = "ef538996e02d41362ec2260515ba79f08a606ac2"
"""0.1.0 has no tag. This is the last commit before the first change that CHANGELOG lists under 0.2.0."""
SERVICE = f"docker.io/library/waitcall:{VERSION}"
_COMPILED = """
# Each start of this release compiles its modules. On a small machine several at once take longer than its startup probe allows.
USER 0:0
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/waitcall/lib
USER 10001:10001
"""
_BASE = "localhost/waitcall-cluster-base:previous"


def missing() -> str | None:
    """Return the reason why the release cannot be built here, or None."""
    command = ["git", "cat-file", "-e", f"{COMMIT}^{{commit}}"]
    found = subprocess.run(command, cwd=images.ROOT, check=False)
    return f"the clone lacks the commit of {VERSION}: git fetch --unshallow" if found.returncode else None


def archive() -> Path:
    """Return the archive with the image, built by the Dockerfile of that commit, with compiled modules, if the cache lacks it.

    Raises:
        RuntimeError: a step failed.
    """
    wanted = build.cache() / f"previous-{COMMIT[:12]}-{newest_python.version()}.tar"
    if not wanted.exists():
        print(f"Building the image of {VERSION}, which takes minutes ...", flush=True)
        begun = wanted.with_suffix(f".{os.getpid()}")
        # The images of the tree, which the node has, are made of this Debian, too.
        _run("podman", "import", "--quiet", str(build.cache() / f"base-{newest_python.version()}.tar"), _BASE)
        try:
            with tempfile.TemporaryDirectory(prefix="waitcall-cluster-") as directory:
                unpack(Path(directory))
                with Path(directory, "Dockerfile").open("a", encoding="utf-8") as dockerfile:
                    dockerfile.write(_COMPILED)
                command = ("buildah", "build", "--isolation", "chroot", "--build-arg", f"BASE={_BASE}")
                _run(*command, "-t", SERVICE, directory)
            _run("podman", "save", "--quiet", "--output", str(begun), SERVICE)
            begun.rename(wanted)
        finally:
            _run("podman", "rmi", "--force", "--ignore", _BASE, SERVICE)
    return wanted


def unpack(directory: Path, *paths: str) -> None:
    """Write files of that commit, or all, below a directory.

    Raises:
        subprocess.CalledProcessError: the clone lacks the commit.
    """
    command = ["git", "archive", "--format=tar", COMMIT, *paths]
    packed = subprocess.run(command, cwd=images.ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archived:
        archived.extractall(directory, filter="data")


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr[-2000:]}")
