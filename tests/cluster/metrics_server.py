"""metrics-server on the node, which tells the autoscaler how much CPU each pod uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from development.cluster import node, small_images
from tests.cluster.releases import namespace

NAME = "metrics-server"
_LABELS = {"app": NAME}
_RBAC = "rbac.authorization.k8s.io"
_SECONDS = 180


@contextmanager
def metrics_server() -> Iterator[None]:
    """Run metrics-server while the block lasts."""
    node.load(small_images.metrics_server())
    with namespace(NAME):
        try:
            node.apply(*_rights(), *_served())
            node.kubectl("-n", NAME, "rollout", "status", f"deployment/{NAME}", f"--timeout={_SECONDS}s")
            node.kubectl(
                "wait",
                "--for=condition=Available",
                "apiservice/v1beta1.metrics.k8s.io",
                f"--timeout={_SECONDS}s",
            )
            yield
        finally:
            node.kubectl(
                "delete", "apiservice,clusterrole,clusterrolebinding", "--selector=app=metrics-server"
            )
            node.kubectl("-n", "kube-system", "delete", "rolebinding", "--selector=app=metrics-server")


def _object(
    version: str, kind: str, name: str = NAME, namespace: str = NAME, **fields: Any
) -> dict[str, Any]:
    metadata = {"name": name, "labels": _LABELS} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata} | fields


def _rights() -> list[dict[str, Any]]:
    """Return what lets metrics-server read pods and nodes, and check who asks it."""
    rules = [
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
    ]
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}]

    def bound(kind: str, role: str, name: str, namespace: str) -> dict[str, Any]:
        reference = {"apiGroup": _RBAC, "kind": role.partition("/")[0], "name": role.partition("/")[2]}
        return _object(f"{_RBAC}/v1", kind, name, namespace, roleRef=reference, subjects=subjects)

    reader = "Role/extension-apiserver-authentication-reader"
    return [
        _object("v1", "ServiceAccount"),
        _object(f"{_RBAC}/v1", "ClusterRole", namespace="", rules=rules),
        bound("ClusterRoleBinding", f"ClusterRole/{NAME}", NAME, ""),
        bound("ClusterRoleBinding", "ClusterRole/system:auth-delegator", f"{NAME}-delegator", ""),
        bound("RoleBinding", reader, NAME, "kube-system"),
    ]


def _served() -> list[dict[str, Any]]:
    """Return the pod, and the API that the API server forwards to it."""
    container = {
        "name": NAME,
        "image": small_images.METRICS_SERVER,
        "args": [
            "--secure-port=10250",
            "--cert-dir=/tmp",
            "--kubelet-insecure-tls",
            "--kubelet-preferred-address-types=InternalIP",
            # The shortest that it takes.
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
        ],
        "ports": [{"containerPort": 10250}],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 10250, "scheme": "HTTPS"},
            "periodSeconds": 2,
        },
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
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
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    api = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": NAME, "namespace": NAME},
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return [
        _object("v1", "Service", spec={"selector": _LABELS, "ports": [{"port": 443, "targetPort": 10250}]}),
        _object("apps/v1", "Deployment", spec={"selector": {"matchLabels": _LABELS}, "template": template}),
        _object("apiregistration.k8s.io/v1", "APIService", "v1beta1.metrics.k8s.io", "", spec=api),
    ]
