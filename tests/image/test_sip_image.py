"""Build the SIP proxy's image and run it as in a cluster: without root, on a read-only file system.

The base image is replaced by a debootstrapped Debian of the same release, because a registry of images may be out of reach.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from development.ports import free_port
from development.stack import ROOT
from tests.image import test_image
from tests.image.test_image import run, said
from tests.redis_servers import wait_for
from tests.sip.proxy import SECRET, Caller, Receiver, receiving

pytestmark = test_image.pytestmark
PODMAN = ("podman", "--runtime", "runc")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    base = tmp_path_factory.mktemp("base")
    release = re.search(r"^ARG BASE=debian:(\w+)-slim", (ROOT / "sip/Dockerfile").read_text(), re.MULTILINE)
    assert release is not None
    said("debootstrap", "--variant=minbase", release[1], str(base), "http://deb.debian.org/debian")
    built, stand_in = (f"{name}-sip" for name in (test_image.IMAGE, test_image.STAND_IN))
    archive = base.parent / "base.tar"
    said("tar", "-C", str(base), "-cf", str(archive), ".")
    said("podman", "import", "--quiet", str(archive), stand_in)
    archive.unlink()
    shutil.rmtree(base, ignore_errors=True)
    if subprocess.run(run(stand_in, "true", options=("--rm",)), capture_output=True, check=False).returncode:
        pytest.skip("no container can be started here")
    said("buildah", "build", "--isolation", "chroot", "--build-arg", f"BASE={stand_in}", "-t", built, str(ROOT / "sip"))  # fmt: skip
    yield built
    said("podman", "rmi", "--force", built, stand_in)


def test_the_image_reports_a_call_also_after_a_restart(image: str, tmp_path: Path) -> None:
    port, waitcall = free_port(), free_port()
    environ = {
        "WAITCALL_URL": f"http://127.0.0.1:{waitcall}",
        "WAITCALL_SIP_SECRET": SECRET,
        "WAITCALL_SIP_TRUNK": "127.0.0.1",
        "WAITCALL_SIP_UDP": f"udp:127.0.0.1:{port}",
        "WAITCALL_SIP_TCP": f"tcp:127.0.0.1:{port}",
        "WAITCALL_SIP_METRICS": f"tcp:127.0.0.1:{free_port()}",
    }
    name = f"{image.rpartition('/')[2].replace(':', '-')}-running"
    told = [word for item in environ.items() for word in ("--env", "=".join(item))]
    said(*run(image, options=("--detach", "--name", name, *told)))
    try:
        wait_for(lambda: answers(port))
        with Caller(port) as caller:
            call_id = caller.call()
        said(*PODMAN, "stop", name)
        said(*PODMAN, "start", name)
        with receiving(Receiver(), waitcall) as receiver:
            assert receiver.event(call_id)
    finally:
        said(*PODMAN, "rm", "--force", name)


def answers(port: int) -> bool:
    with Caller(port) as caller:
        caller.send(caller.invite(method="OPTIONS"))
        return caller.status() == 200
