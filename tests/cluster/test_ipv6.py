"""Test a dual-stack release whose clients and Redis use IPv6 alone, on a real cluster."""

import json
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from types import ModuleType
from typing import Any

import pytest

from development.cluster import places
from tests.cluster.journeys import SECRETS, VALUES, Visitor, redis
from tests.cluster.releases import Release, namespace

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
SECONDS = 180
HERE = [{"ipBlock": {"cidr": f"{places.OUTSIDE_IPV6}/128"}}]
IPV6_FIRST: dict[str, Any] = {
    "service": {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]},
    "networkPolicy": {"api": HERE, "callback": HERE},
    "serve": VALUES["serve"] | {"replicas": 1},
    "worker": {"replicas": 1},
}


@pytest.fixture(scope="module")
def release(cluster: ModuleType) -> Iterator[Release]:
    with namespace("ipv6"):
        made = Release(helm, "ipv6")
        metadata = {"name": "waitcall"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": SECRETS}
        service, server = redis()
        service["spec"] |= {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}
        objects = {"apiVersion": "v1", "kind": "List", "items": [secret, service, server]}
        made.kubectl("apply", "--server-side", "--filename=-", given=json.dumps(objects))
        made.kubectl("rollout", "status", "statefulset/redis", f"--timeout={SECONDS}s")
        made.install(VALUES | IPV6_FIRST)
        yield made


def addresses(release: Release, component: str, version: int) -> list[str]:
    """Return the addresses of the pods of a component in one family."""
    found = [each["ip"] for pod in release.pods(component) for each in pod["status"]["podIPs"]]
    return [each for each in found if ip_address(each).version == version]


def connects(address: str, port: int) -> bool:
    """Return whether this machine, which is no pod, reaches a port."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def test_every_service_has_an_address_of_each_family_with_ipv6_first(release: Release) -> None:
    services = release.read("services", "--selector=app.kubernetes.io/instance=ipv6")["items"]
    assert len(services) == 4
    for each in services:
        versions = [ip_address(address).version for address in each["spec"]["clusterIPs"]]
        assert versions == [6, 4], each["metadata"]["name"]


def test_journeys_need_no_ipv4(release: Release) -> None:
    assert [Visitor(release).journey() for _ in range(20)] == ["consumed"] * 20
    clients = release.kubectl("exec", "redis-0", "--", "valkey-cli", "client", "list", "type", "normal")
    seen = {line.split(" addr=")[1].split()[0] for line in clients.splitlines() if "user=" in line}
    remote = {each for each in seen if not each.startswith("127.0.0.1:")}
    assert remote
    assert {each[0] for each in remote} == {"["}, "the pods reach Redis by IPv6"


def test_policies_that_name_an_ipv6_address_refuse_ipv4(release: Release) -> None:
    """kube-router cannot load rules for IPv6 (ADR 0054), so the refusal of IPv4 is tested alone."""
    for component, port in {"api": 8080, "public": 8081}.items():
        (old,), (new,) = addresses(release, component, 4), addresses(release, component, 6)
        assert connects(new, port)
        assert not connects(old, port)
