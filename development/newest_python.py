"""Run a command on the Python of the image, in a Debian of its own below ``.tools``.

    python -m development.newest_python python -m pytest tests/unit

It needs root and debootstrap. The tree, /tmp, /proc, /dev and /sys are mounted there at their own paths, so that files and
sockets have one name on both sides. Only the command sees these mounts, and they end with it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEBIAN = ROOT / ".tools" / "newest-python"
LOCK = ROOT / "requirements-dev.txt"
PROJECT = ROOT / "pyproject.toml"
INSTALLED = DEBIAN / "installed.txt"
UV = ROOT / ".venv" / "bin" / "uv"
PACKAGES = "ca-certificates,curl,git,make,openssl,procps,redis-server"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
MOUNT = """
root=$0
for path in /tmp /proc /dev /sys "$1"; do mkdir -p "$root$path"; mount --bind "$path" "$root$path"; done
mount --bind /dev/pts "$root/dev/pts"
exec chroot "$root" env -C "$@"
"""


def version() -> str:
    """Return the version of Python, such as ``3.14``, that the Dockerfile takes.

    Raises:
        RuntimeError: the Dockerfile names none.
    """
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ARG BASE=python:(\d+\.\d+)-", dockerfile, re.MULTILINE)
    if found is None:
        raise RuntimeError("The Dockerfile has no line `ARG BASE=python:X.Y-…`.")
    return found[1]


def missing() -> str | None:
    """Return the reason why no Debian can be made here, or None."""
    if os.geteuid() != 0:
        return "debootstrap needs root"
    return None if shutil.which("debootstrap") else "not installed: debootstrap"


def debootstrap(directory: Path, *packages: str) -> None:
    """Make a small Debian with this Python as ``python3``, and further packages, in a directory.

    Raises:
        subprocess.CalledProcessError: debootstrap failed.
    """
    python = f"python{version()}"
    include = ",".join([python, f"{python}-venv", *packages])
    # The script of sid works for forky too, also on a Debian that does not know that name yet.
    command = ["debootstrap", "--variant=minbase", f"--include={include}", "forky", str(directory)]
    subprocess.run([*command, "http://deb.debian.org/debian", "sid"], check=True, stdout=subprocess.DEVNULL)
    (directory / "usr/local/bin/python3").symlink_to(f"/usr/bin/{python}")
    if AUTHORITIES.exists():
        # The package mirror may have a certificate of an authority that only this machine trusts.
        (directory / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copy(AUTHORITIES, directory / "etc/ssl/certs")
        (directory / "etc/pip.conf").write_text(f"[global]\ncert = {AUTHORITIES}\n")


def command(*words: str) -> list[str]:
    """Return the command that runs ``words`` there, in the directory of the tree. It keeps its process id."""
    path = "PATH=/opt/venv/bin:/usr/local/bin:/usr/sbin:/usr/bin"
    return ["unshare", "--mount", "sh", "-euc", MOUNT, str(DEBIAN), str(ROOT), path, *words]


def install() -> None:
    """Make the Debian and install the locked packages, unless that is done.

    Raises:
        subprocess.CalledProcessError: a step failed.
    """
    wanted = "\n".join((version(), *(each.read_text(encoding="utf-8") for each in (LOCK, PROJECT))))
    if INSTALLED.exists() and INSTALLED.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(DEBIAN, ignore_errors=True)
    debootstrap(DEBIAN, PACKAGES)
    pip = (str(UV), "pip", "install", "--quiet", "--python", "/opt/venv/bin/python")
    for step in (
        ("python3", "-m", "venv", "--without-pip", "/opt/venv"),
        (*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)),
        (*pip, "--no-deps", "-e", str(ROOT), "-e", str(ROOT / "clients/python")),
    ):
        subprocess.run(command(*step), check=True)
    INSTALLED.write_text(wanted, encoding="utf-8")


def main() -> None:
    """Run the command given, or say why it cannot run here."""
    if reason := missing():
        sys.stderr.write(f"Nothing is run on Python {version()}: {reason}.\n")
        return
    install()
    sys.exit(subprocess.run(command(*sys.argv[1:]), check=False).returncode)


if __name__ == "__main__":
    main()
