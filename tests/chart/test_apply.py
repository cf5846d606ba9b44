"""Apply every rendering of the chart, server-side, to a real kube-apiserver with a real etcd.

``make apply-test`` builds kube-apiserver, for which it needs Go. It is a part of the test cluster's binary.
"""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from development.cluster import build
from tests.redis_servers import free_port, wait_for

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/waitcall"
KUBERNETES = build.program("kubernetes")
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
TOKEN = "a-token-of-this-test"
CUSTOM = {
    ("monitoring.coreos.com", "v1"): ("ServiceMonitor", "PrometheusRule"),
    ("external-secrets.io", "v1"): ("ExternalSecret",),
    ("gateway.networking.k8s.io", "v1"): ("HTTPRoute",),
}
"""Kinds that Kubernetes operators define. The definitions of this test accept any content."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not KUBERNETES.exists(), reason="no kube-apiserver: make apply-test builds it, with Go"
    ),
    pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed"),
]


class ControlPlane:
    """An API server with its etcd, without kubelets and controllers."""

    def __init__(self, directory: Path) -> None:
        store, peers, self.port = free_port(), free_port(), free_port()
        url = f"http://127.0.0.1:{store}"
        (directory / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
        key = directory / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        etcd = ["etcd", "--data-dir", str(directory / "etcd"), "--listen-client-urls", url]
        etcd += ["--advertise-client-urls", url, "--listen-peer-urls", f"http://127.0.0.1:{peers}"]
        server = [
            *(
                str(KUBERNETES),
                "kube-apiserver",
                f"--etcd-servers={url}",
                f"--secure-port={self.port}",
                "--bind-address=127.0.0.1",
            ),
            *(f"--cert-dir={directory / 'certs'}", f"--token-auth-file={directory / 'tokens.csv'}"),
            *("--authorization-mode=RBAC", "--service-account-issuer=https://waitcall.test"),
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            *("--service-cluster-ip-range=10.0.0.0/24,fd00:10::/112",),
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._processes = [subprocess.Popen(command, **quiet) for command in (etcd, server)]  # type: ignore[call-overload]
        wait_for(lambda: self.ask("GET", "/readyz")[0] == 200, seconds=120)

    def ask(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> tuple[int, Any]:
        # The server has a self-signed certificate and listens on loopback only.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text.startswith(b"{") else text

    def apply(self, each: dict[str, Any], namespace: str) -> tuple[int, Any]:
        group = "api/v1" if each["apiVersion"] == "v1" else f"apis/{each['apiVersion']}"
        kinds = self.ask("GET", f"/{group}")[1]["resources"]
        (plural,) = [
            kind["name"] for kind in kinds if kind["kind"] == each["kind"] and "/" not in kind["name"]
        ]
        path = f"/{group}/namespaces/{namespace}/{plural}/{each['metadata']['name']}"
        options = "?fieldManager=test&fieldValidation=Strict"
        return self.ask("PATCH", path + options, each, "application/apply-patch+yaml")

    def close(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()


def definition(group: str, version: str, kind: str) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
            ],
        },
    }


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    running = ControlPlane(tmp_path_factory.mktemp("plane"))
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for (group, version), kinds in CUSTOM.items():
        for kind in kinds:
            status, told = running.ask("POST", definitions, definition(group, version, kind))
            assert status == 201, told

        def served(path: str = f"/apis/{group}/{version}", count: int = len(kinds)) -> bool:
            status, told = running.ask("GET", path)
            return status == 200 and len([x for x in told["resources"] if "/" not in x["name"]]) == count

        wait_for(served, seconds=60)
    yield running
    running.close()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_api_server_accepts_every_object_and_accepts_it_again(plane: ControlPlane, path: Path) -> None:
    namespace = path.stem
    named = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    assert plane.ask("POST", "/api/v1/namespaces", named)[0] == 201
    # The release refers to these two objects, which a controller or an administrator makes in a cluster.
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    plane.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}}
    plane.ask("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority | {"value": 1})
    rendered = helm.Chart.load(str(CHART)).render(
        yaml.safe_load(path.read_text()), name="rel", namespace=namespace
    )
    texts = [text for name, text in rendered.items() if name.endswith(".yaml")]
    objects = [each for text in texts for each in yaml.safe_load_all(text) if each]
    assert len(objects) > 8
    for expected in ((201,), (200,)):
        for each in objects:
            status, told = plane.apply(each, namespace)
            assert status in expected, (each["kind"], each["metadata"]["name"], told)


def test_the_api_server_refuses_a_wrong_object(plane: ControlPlane) -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": []}}
    assert plane.apply(wrong, "default")[0] == 422
