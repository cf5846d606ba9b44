"""Install a lock file into .venv. If that fails, the .venv of before stays.

The module uses only the standard library, because nothing is installed yet. pip installs uv (the resolver that made the
lock files), and uv installs the rest. Debian ships Python without ``ensurepip``. If only its ``python3-pip`` is installed,
that pip installs uv from outside.

    python3 development/install.py requirements-run.txt
"""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
FORMER = ROOT / ".venv.old"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
OLDEST = (3, 11)


def main() -> None:
    """Install, or exit with one sentence that says what is missing."""
    if sys.version_info < OLDEST:
        sys.exit(f"waitcall needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}.")
    lock = ROOT / sys.argv[1]
    # Two commands of make at the same time install one after the other. The system frees the folder when the process ends.
    fcntl.flock(os.open(ROOT, os.O_RDONLY), fcntl.LOCK_EX)
    if FORMER.exists():
        # An earlier run was killed while it made a new .venv.
        shutil.rmtree(VENV, ignore_errors=True)
        FORMER.rename(VENV)
    if _is_sound():
        try:
            _install(lock)
        except subprocess.CalledProcessError:
            sys.exit(
                "The new dependencies could not be installed. The lines above say why. .venv is as it was before."
            )
        return
    # .venv is incomplete or of another Python. Its scripts contain the interpreter's path, so make a new one.
    if VENV.exists():
        VENV.rename(FORMER)
    try:
        _create()
        _install(lock)
    except (subprocess.CalledProcessError, KeyboardInterrupt):
        shutil.rmtree(VENV, ignore_errors=True)
        if FORMER.exists():
            FORMER.rename(VENV)
        raise
    shutil.rmtree(FORMER, ignore_errors=True)


def _is_sound() -> bool:
    """Return whether .venv has this version of Python and a uv that runs."""
    if not UV.exists() or not PYTHON.exists():
        return False
    version = _said(str(PYTHON), "-c", "import sys; print(sys.version_info[:2])")
    return version == str(sys.version_info[:2]) and _said(str(UV), "--version") is not None


def _said(*command: str) -> str | None:
    """Run a command. Return its output without blanks around it, or None if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else None


def _create() -> None:
    """Make an empty .venv with uv in it."""
    with_pip = importlib.util.find_spec("ensurepip") is not None
    if not with_pip and importlib.util.find_spec("pip") is None:
        sys.exit("Neither venv nor pip is installed. Install one: apt install python3-venv")
    subprocess.run(
        [sys.executable, "-m", "venv", *([] if with_pip else ["--without-pip"]), str(VENV)], check=True
    )
    pip = [str(PYTHON), "-m", "pip"] if with_pip else [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    locked = ["--require-hashes", "-r", str(ROOT / "requirements-uv.txt")]
    subprocess.run([*pip, "install", *quiet, *locked], check=True)


def _install(lock: Path) -> None:
    """Install the packages of a lock file and the project itself into .venv. Packages that are there already stay."""
    print(f"Installing {lock.name} into .venv ...", flush=True)
    install = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON)]
    subprocess.run([*install, "--require-hashes", "-r", str(lock)], check=True)
    itself = ["--no-deps", "--no-build-isolation", "-e", str(ROOT), "-e", str(ROOT / "clients/python")]
    subprocess.run([*install, *itself], check=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"The installation failed with status {error.returncode}. The lines above say why.")
