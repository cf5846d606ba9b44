"""Run the chart's demo without a cluster: the containers' commands and variables as processes of this machine."""

import base64
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chart.test_chart import CHART, environment_of, one, render, serving, values_of
from tests.redis_servers import binary, free_port, wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """This machine instead of the cluster: only paths, ports and host names differ."""

    def __init__(self, directory: Path, objects: list[dict[str, Any]]) -> None:
        self.directory, self.objects = directory, objects
        self.ports = {port: str(free_port()) for port in ("6379", "8080", "8081", "8082", "8083")}
        # The port of the callback's Service is the one of its pods here.
        self.replaced = {
            "rel-waitcall-callback.ns.svc:80": f"127.0.0.1:{self.ports['8081']}",
            "rel-waitcall-api.ns.svc:80": f"127.0.0.1:{self.ports['8080']}",
            "rel-waitcall-valkey": "127.0.0.1",
            "rel-waitcall-simulator": "127.0.0.1",
            "/run/waitcall": str(directory),
            "python3": sys.executable,
            **self.ports,
        }
        (directory / "secrets").mkdir()
        for key, value in one(objects, "Secret", "rel-waitcall-demo")["data"].items():
            text = base64.b64decode(value).decode()
            # A random value may look like a port.
            (directory / "secrets" / key).write_text(self.here(text) if key == "redis-url" else text)
        (directory / "policy").mkdir()
        policy = one(objects, "ConfigMap", "rel-waitcall-policy")["data"]["policy.toml"]
        (directory / "policy/policy.toml").write_text(policy)

    def here(self, text: str) -> str:
        return re.sub("|".join(map(re.escape, self.replaced)), lambda found: self.replaced[found[0]], text)

    def environ(self, deployment: dict[str, Any]) -> dict[str, str]:
        told = {name: self.here(value or "") for name, value in environment_of(deployment).items()}
        # All pods have the same port for operations.
        return os.environ | told | {"WAITCALL_OPS_BIND": f"[::]:{free_port()}", "WAITCALL_WORKERS": "1"}

    def secret(self, key: str) -> str:
        return (self.directory / "secrets" / key).read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    objects = render(values_of(CHART / "ci/demo-values.yaml"))
    machine = Machine(tmp_path, objects)
    with ExitStack() as ended:

        def start(command: list[str], environ: dict[str, str]) -> None:
            with (tmp_path / f"{len(list(tmp_path.iterdir()))}.log").open("wb") as log:
                process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)
            ended.callback(process.wait, 40)
            ended.callback(process.terminate)

        (valkey,) = one(objects, "StatefulSet", "rel-waitcall-valkey")["spec"]["template"]["spec"][
            "containers"
        ]
        assert valkey["command"] == ["valkey-server"]
        password = machine.secret("redis-password")
        args = [
            each.replace("$(PASSWORD)", password).replace("/data", str(tmp_path)) for each in valkey["args"]
        ]
        start([binary("valkey") or "", *args, "--port", machine.ports["6379"]], dict(os.environ))
        for deployment in (*serving(objects).values(), one(objects, "Deployment", "rel-waitcall-worker")):
            main, *beside = deployment["spec"]["template"]["spec"]["containers"]
            program = str(Path(sys.executable).with_name("waitcall"))
            start([program, *main["args"]], machine.environ(deployment))
            for simulator in beside:
                start([*simulator["command"], machine.here(simulator["args"][0])], dict(os.environ))
        yield machine


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def test_the_demo_passes_its_own_helm_test(machine: Machine) -> None:
    for port in ("8080", "8081", "8083"):
        wait_for(lambda port=port: answers(f"http://127.0.0.1:{machine.ports[port]}/"))
    (test,) = one(machine.objects, "Pod", "rel-waitcall-test")["spec"]["containers"]
    environ = {each["name"]: machine.here(each.get("value", "")) for each in test["env"]}
    environ["API_KEY"] = machine.secret("api-key")
    script = one(machine.objects, "ConfigMap", "rel-waitcall-test")["data"]["verification.py"]
    ran = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "consumed" in ran.stdout
