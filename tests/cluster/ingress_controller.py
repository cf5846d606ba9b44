"""An ingress controller on the node: Skipper, which publishes the Ingress objects of one namespace by HTTPS."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from development.cluster import node, small_images
from tests.cluster.releases import namespace

NAME = "skipper"
"""Namespace of the controller, and the class of the Ingress objects that it publishes."""
_LABELS = {"app": NAME}
_RBAC = "rbac.authorization.k8s.io"
_PORT = 8443
_SECONDS = 180
_ARGUMENTS = [
    "-kubernetes",
    "-kubernetes-in-cluster",
    "-kubernetes-enable-tls",
    f"-address=:{_PORT}",
    "-proxy-preserve-host",
    "-forwarded-headers=X-Forwarded-For,X-Forwarded-Host,X-Forwarded-Proto=https",
    "-access-log-strip-query",
    "-wait-first-route-load",
    "-wait-for-healthcheck-interval=0s",
]


class Certificate:
    """Certificate of a host, signed by its own key."""

    def __init__(self, directory: Path, host: str) -> None:
        self.host = host
        self.path, self._key = directory / "tls.crt", directory / "tls.key"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        names = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
        files = ("-keyout", str(self._key), "-out", str(self.path))
        subprocess.run(["openssl", *new, *names, *files], check=True, capture_output=True)

    def secret(self, name: str) -> dict[str, Any]:
        data = {
            "tls.crt": self.path.read_text(encoding="ascii"),
            "tls.key": self._key.read_text(encoding="ascii"),
        }
        kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
        return kind | {"metadata": {"name": name}, "stringData": data}


class Door:
    """Address of the node where the controller listens. Requests come from this machine, outside of the pods' network."""

    def __init__(self, address: str, port: int, certificate: Certificate) -> None:
        self.address, self.port, self._host = address, port, certificate.host
        self._pool = urllib3.HTTPSConnectionPool(
            address,
            port,
            maxsize=8,
            retries=False,
            ca_certs=str(certificate.path),
            server_hostname=certificate.host,
            assert_hostname=certificate.host,
        )

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        return self._pool.urlopen(method, path, body, {"Host": self._host} | (headers or {}), redirect=False)


@contextmanager
def ingress_controller(watched: str) -> Iterator[int]:
    """Run the controller for the Ingress objects of a namespace, while the block lasts. Yield its port on the node."""
    node.load(small_images.ingress())
    with namespace(NAME):
        node.apply(*_rights(watched), *_served(watched))
        node.kubectl("-n", NAME, "rollout", "status", f"deployment/{NAME}", f"--timeout={_SECONDS}s")
        yield node.read("-n", NAME, "service", NAME)["spec"]["ports"][0]["nodePort"]


def _object(version: str, kind: str, namespace: str = NAME, **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": NAME, "namespace": namespace, "labels": _LABELS},
    } | fields


def _rights(watched: str) -> list[dict[str, Any]]:
    """Return what lets the controller read one namespace. These objects end with that namespace."""
    resources = {
        "": ["services", "endpoints", "secrets"],
        "networking.k8s.io": ["ingresses"],
    }
    rules = [
        {"apiGroups": [group], "resources": names, "verbs": ["get", "list"]}
        for group, names in resources.items()
    ]
    role = {"apiGroup": _RBAC, "kind": "Role", "name": NAME}
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}]
    return [
        _object("v1", "ServiceAccount"),
        _object(f"{_RBAC}/v1", "Role", watched, rules=rules),
        _object(f"{_RBAC}/v1", "RoleBinding", watched, roleRef=role, subjects=subjects),
    ]


def _served(watched: str) -> list[dict[str, Any]]:
    """Return the pod, and a port of the node that keeps the addresses of those who connect."""
    container = {
        "name": NAME,
        "image": small_images.INGRESS,
        "args": [*_ARGUMENTS, f"-kubernetes-namespace={watched}"],
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "serviceAccountName": NAME,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    service = {
        "type": "NodePort",
        "externalTrafficPolicy": "Local",
        "ipFamilyPolicy": "PreferDualStack",
        "selector": _LABELS,
        "ports": [{"port": 443, "targetPort": _PORT}],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return [
        _object("v1", "Service", spec=service),
        _object("apps/v1", "Deployment", spec={"selector": {"matchLabels": _LABELS}, "template": template}),
    ]
