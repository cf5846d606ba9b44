"""Make .venv with the locked dependencies. Standard library only: nothing is installed yet.

Debian ships Python without ``ensurepip``; where only its ``python3-pip`` is there, that pip fills the
environment from outside.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)


def main() -> None:
    """Install, or say in one sentence what is missing."""
    if sys.version_info < OLDEST:
        sys.exit(f"waitcall needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}.")
    pip = _environment()
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    print("Installing the locked dependencies into .venv ...", flush=True)
    locked = ["--require-hashes", "-r", str(ROOT / "requirements-dev.txt")]
    subprocess.run([*pip, "install", *quiet, *locked], check=True)
    itself = ["--no-deps", "--no-build-isolation", "-e", str(ROOT), "-e", str(ROOT / "clients/python")]
    # setuptools warns about every editable installation.
    silent = os.environ | {"PYTHONWARNINGS": "ignore"}
    subprocess.run([*pip, "install", *quiet, *itself], check=True, env=silent)


def _environment() -> list[str]:
    """Create .venv; return the pip that installs into it."""
    python = VENV / "bin" / "python"
    if importlib.util.find_spec("ensurepip") is not None:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        return [str(python), "-m", "pip"]
    if importlib.util.find_spec("pip") is None:
        sys.exit("Neither venv nor pip is here. Install one: apt install python3-venv")
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)], check=True)
    return [sys.executable, "-m", "pip", "--python", str(python)]


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"The installation failed ({error.returncode}); the lines above say why.")
