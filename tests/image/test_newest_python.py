"""Test the Python client, alone, on the newest Python in Debian. `make newest-python` runs the everyday tests there."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from development.ports import Ports
from development.stack import API_KEY, ROOT, Stack

SCRIPT = """
import asyncio, json, os, sys, urllib.request
from waitcall_client import AsyncWaitcall, Waitcall
from waitcall_client.problems import AlreadyConsumed
from waitcall_client.testing import Double

double = Double()
client = double.client()
made = client.start("+79991234567", purpose="login", reference="a")
double.call("+79991234567")
assert client.consume(made.id, purpose="login", reference="a").status == "consumed"

def dial(cli, did):
    order = json.dumps({"cli": cli, "did": did}).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(os.environ["CONTROL"] + "/dial", order, headers)).close()

with Waitcall(os.environ["API"], os.environ["KEY"]) as client:
    made = client.start("+79991234567", purpose="login", reference="a")
    dial(made.phone_number, made.call.number)
    assert client.wait_until_verified(made.id, timeout_seconds=10).is_verified
    client.consume(made.id, purpose="login", reference="a")
    try:
        client.consume(made.id, purpose="login", reference="a")
    except AlreadyConsumed:
        pass
    else:
        raise SystemExit("consumed twice")

async def again():
    async with AsyncWaitcall(os.environ["API"], os.environ["KEY"]) as client:
        made = await client.start("+79991234568", purpose="login", reference="b")
        dial(made.phone_number, made.call.number)
        assert (await client.wait_until_verified(made.id, timeout_seconds=10)).is_verified

asyncio.run(again())
print("%d.%d" % sys.version_info[:2])
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root"),
    pytest.mark.skipif(shutil.which("debootstrap") is None, reason="not installed: debootstrap"),
]


def test_the_client_works_on_the_newest_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "forky"
    # The script of sid works for forky too, also on a Debian that does not know that name yet.
    said(
        *("debootstrap", "--variant=minbase", "--include=python3", "forky", str(root)),
        *("http://deb.debian.org/debian", "sid"),
    )
    version = said("chroot", str(root), "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    wheels = tmp_path / "wheels"
    uv = str(Path(sys.executable).with_name("uv"))
    build = ("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    said(
        str(Path(sys.executable).with_name("uv")),
        *build,
        "--out-dir",
        str(wheels),
        str(ROOT / "clients/python"),
    )
    said(
        *(uv, "pip", "install", "--quiet", "--target", str(root / "client"), "--python-version", version),
        *(
            "--python-platform",
            f"{platform.machine()}-manylinux_2_28",
            *(str(each) for each in wheels.glob("*.whl")),
        ),
    )
    (root / "script.py").write_text(SCRIPT)
    with Stack(Ports.free()) as stack:
        environ = {
            "API": stack.api,
            "CONTROL": stack.control,
            "KEY": API_KEY,
            "PATH": "/usr/sbin:/usr/bin:/bin",
        }
        ran = said("chroot", str(root), "env", "PYTHONPATH=/client", "python3", "/script.py", **environ)
    shutil.rmtree(root, ignore_errors=True)
    with capsys.disabled():
        print(f"\nthe Python client on Python {version}: works")  # noqa: T201  a figure
    assert ran == version
    classifiers = (ROOT / "clients/python/pyproject.toml").read_text()
    assert f'"Programming Language :: Python :: {version}"' in classifiers


def said(*command: str, **environ: str) -> str:
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env=(os.environ | environ) if environ else None
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    return ran.stdout.strip()
