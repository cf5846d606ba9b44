"""Test what a person tries first: the chart with ``demo.enabled``, by Helm, on a real cluster that enforces its rules."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from development.cluster import places
from tests.cluster.releases import Release, namespace, ready, restarts, wait_until_refused

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
COMPONENTS = {"api", "public", "worker", "valkey"}
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("connected")
except OSError:
    print("refused")
"""


@pytest.fixture(scope="module")
def demo(cluster: ModuleType) -> Iterator[Release]:
    with namespace("demo"):
        release = Release(helm, "demo")
        release.install({"demo": {"enabled": True}})
        yield release


def reached_from_the_node(address: str, port: int) -> bool:
    """Connect from the node, which policies let in: the kubelet probes pods from there."""
    inside = ["nsenter", f"--net={places.NETWORK}", "--", sys.executable, "-c", CONNECT, address, str(port)]
    return subprocess.run(inside, capture_output=True, text=True, check=True).stdout.strip() == "connected"


def test_one_command_installs_pods_that_are_ready_under_restricted_pod_security(demo: Release) -> None:
    pods = demo.pods()
    assert {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in pods} == COMPONENTS
    assert all(ready(each) for each in pods)
    assert restarts(pods) == 0


def test_helm_test_verifies_a_number_as_often_as_it_is_run(demo: Release) -> None:
    for _ in range(2):
        assert "consumed: consumed" in demo.test()


def test_policies_keep_strangers_out_of_every_surface(demo: Release) -> None:
    """This machine is no pod of the namespace. It reaches the pods' addresses, and only policies refuse its connections."""
    doors = {"api": (8080, 8083, 9090), "public": (8081, 9090), "worker": (9091,), "valkey": (6379,)}
    for component, ports in doors.items():
        (pod,) = demo.pods(component)
        for port in ports:
            address = pod["status"]["podIP"]
            wait_until_refused(address, port)
            assert reached_from_the_node(address, port), (component, port)


def test_policies_keep_a_public_pod_from_the_api_and_from_other_addresses(demo: Release) -> None:
    (api,) = demo.pods("api")
    with socket.create_server((places.OUTSIDE, 0)) as server:
        for address, port in ((api["status"]["podIP"], 8080), server.getsockname()):
            assert reached_from_the_node(address, port)
            told = demo.execute("public", "python3", "-c", CONNECT, address, str(port))
            assert told.strip() == "refused", (address, port)


def test_doctor_finds_what_a_pod_of_each_component_can_do(demo: Release) -> None:
    for component in ("api", "public", "worker"):
        found = {
            each["check"]: each
            for each in json.loads(demo.execute(component, "waitcall", "doctor", "--json"))
        }
        assert found["redis"]["state"] == "ok"
        failures = {name for name, each in found.items() if each["state"] == "failure"}
        # The simulator answers only in its pod, which is the API's.
        assert failures == (set() if component == "api" else {"provider"}), component


def test_an_upgrade_keeps_the_generated_secrets_and_the_service_works(demo: Release) -> None:
    before = demo.read("secret", "demo-waitcall-demo")["data"]
    demo.upgrade({"demo": {"enabled": True}, "serve": {"podAnnotations": {"turn": "2"}}})
    assert demo.read("secret", "demo-waitcall-demo")["data"] == before
    assert "consumed: consumed" in demo.test()
