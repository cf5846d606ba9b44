"""Install a lock file into .venv, in place: what works stays as it is until its successor works.

Standard library only, because nothing is installed yet. pip installs uv, the resolver that made the lock files, and
uv the rest. Debian ships Python without ``ensurepip``; where only its ``python3-pip`` is there, that pip installs uv
from outside.

    python3 development/install.py requirements-run.txt
"""

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
    """Install, or say in one sentence what is missing."""
    if sys.version_info < OLDEST:
        sys.exit(f"waitcall needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}.")
    lock = ROOT / sys.argv[1]
    if _is_sound():
        try:
            _install(lock)
        except subprocess.CalledProcessError:
            sys.exit(
                "The new dependencies could not be installed. .venv works as before; the lines above say why."
            )
        return
    # Another Python, or half an environment: its scripts name their interpreter, so it is made anew.
    shutil.rmtree(FORMER, ignore_errors=True)
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
    """Tell whether .venv has this Python and a uv that runs."""
    if not UV.exists() or not PYTHON.exists():
        return False
    version = _said(str(PYTHON), "-c", "import sys; print(sys.version_info[:2])")
    return version == str(sys.version_info[:2]) and _said(str(UV), "--version") is not None


def _said(*command: str) -> str | None:
    """Return what a command prints; None where it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else None


def _create() -> None:
    """Make an empty .venv with uv in it."""
    with_pip = importlib.util.find_spec("ensurepip") is not None
    if not with_pip and importlib.util.find_spec("pip") is None:
        sys.exit("Neither venv nor pip is here. Install one: apt install python3-venv")
    subprocess.run(
        [sys.executable, "-m", "venv", *([] if with_pip else ["--without-pip"]), str(VENV)], check=True
    )
    pip = [str(PYTHON), "-m", "pip"] if with_pip else [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    locked = ["--require-hashes", "-r", str(ROOT / "requirements-uv.txt")]
    subprocess.run([*pip, "install", *quiet, *locked], check=True)


def _install(lock: Path) -> None:
    """Bring .venv to what a lock file says, and the project itself into it. What is there already is not fetched."""
    print(f"Installing {lock.name} into .venv ...", flush=True)
    install = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON)]
    subprocess.run([*install, "--require-hashes", "-r", str(lock)], check=True)
    itself = ["--no-deps", "--no-build-isolation", "-e", str(ROOT), "-e", str(ROOT / "clients/python")]
    # setuptools warns about every editable installation.
    subprocess.run([*install, *itself], check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"The installation failed ({error.returncode}); the lines above say why.")
