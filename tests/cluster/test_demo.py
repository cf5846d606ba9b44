"""Test what a person tries first: the chart with ``demo.enabled``, by Helm, on a real cluster that enforces its rules."""

import json
import socket
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.cluster.releases import Release, namespace, ready, restarts

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
COMPONENTS = {"api", "public", "worker", "valkey"}


@pytest.fixture(scope="module")
def demo(cluster: ModuleType) -> Iterator[Release]:
    with namespace("demo"):
        release = Release(helm, "demo")
        release.install({"demo": {"enabled": True}})
        yield release


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
            with socket.socket() as stranger:
                stranger.settimeout(2)
                assert stranger.connect_ex((pod["status"]["podIP"], port)) != 0, (component, port)


def test_doctor_finds_no_failure_in_a_pod_of_any_component(demo: Release) -> None:
    for component in ("api", "worker"):
        found = {
            each["check"]: each
            for each in json.loads(demo.execute(component, "waitcall", "doctor", "--json"))
        }
        assert found["redis"]["state"] == "ok"
        assert found["handler"]["state"] == "warning", "callbacks are served by other pods"


def test_an_upgrade_keeps_the_generated_secrets_and_the_service_works(demo: Release) -> None:
    before = demo.read("secret", "demo-waitcall-demo")["data"]
    demo.upgrade({"demo": {"enabled": True}, "serve": {"podAnnotations": {"turn": "2"}}})
    assert demo.read("secret", "demo-waitcall-demo")["data"] == before
    assert "consumed: consumed" in demo.test()
