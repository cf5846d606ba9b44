"""One release of the chart on the node, by default in a namespace of its own, as a test sees it."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from development.cluster import images, node, places

CHART = Path(__file__).resolve().parents[2] / "helm/waitcall"
TIMEOUT_SECONDS = 300
IMAGES: dict[str, Any] = {
    "image": dict(zip(("repository", "tag"), images.SERVICE.rsplit("/", 1)[1].split(":"), strict=True)),
    "simulator": {
        "image": dict(zip(("repository", "tag"), images.SIMULATOR.rsplit("/", 1)[1].split(":"), strict=True))
    },
}


class Release:
    """A release that real Helm installs, upgrades and tests."""

    def __init__(self, helm: Any, name: str, namespace: str = "") -> None:
        self.name, self.namespace = name, namespace or name
        self._helm = helm.Config(kubeconfig_path=places.KUBECONFIG, namespace=self.namespace)

    def install(self, values: dict[str, Any], chart: Path = CHART) -> None:
        self._helm.install(
            str(chart),
            self.name,
            IMAGES | values,
            namespace=self.namespace,
            wait="watcher",
            timeout=TIMEOUT_SECONDS,
        )

    def upgrade(self, values: dict[str, Any], chart: Path = CHART) -> None:
        self._helm.upgrade(
            str(chart),
            self.name,
            IMAGES | values,
            namespace=self.namespace,
            wait="watcher",
            timeout=TIMEOUT_SECONDS,
        )

    def roll_back(self, revision: int) -> None:
        self._helm.rollback(self.name, version=revision, wait="watcher", timeout=TIMEOUT_SECONDS)

    def manifest(self, revision: int) -> str:
        """Return what ``helm get manifest`` prints."""
        return str(self._helm.get_all(self.name, revision=revision)["summary"]["manifest"])

    def test(self) -> str:
        """Run ``helm test``, and return the log of its pod."""
        return str(self._helm.test(self.name, logs=True, timeout=TIMEOUT_SECONDS)["logs"])

    def kubectl(self, *words: str, given: str | None = None) -> str:
        return node.kubectl("--namespace", self.namespace, *words, given=given).stdout

    def printed(self, *words: str) -> str:
        """Return what a command of kubectl prints, even if it fails."""
        return node.kubectl("--namespace", self.namespace, *words, check=False).stdout

    def read(self, *words: str) -> Any:
        return node.read("--namespace", self.namespace, *words)

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        """Return the pods of a component, or all, except those that are being deleted."""
        chosen = f"app.kubernetes.io/instance={self.name}"
        if component:
            chosen += f",app.kubernetes.io/component={component}"
        found = self.read("pods", "--selector", chosen)["items"]
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def execute(self, component: str, *command: str) -> str:
        """Return what a command prints in the service's container of a pod of a component."""
        (pod, *_) = self.pods(component)
        return self.printed("exec", pod["metadata"]["name"], "--container=waitcall", "--", *command)

    def evict(self, pod: str) -> None:
        """Ask Kubernetes to end a pod as ``kubectl drain`` does.

        Raises:
            RuntimeError: the disruption budget does not allow it now.
        """
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        url = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        self.kubectl("create", f"--raw={url}", "--filename=-", given=json.dumps(eviction))


def ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def all_ready(release: Release, component: str, count: int) -> bool:
    pods = release.pods(component)
    return len(pods) == count and all(ready(each) for each in pods)


def restarts(pods: list[dict[str, Any]]) -> int:
    return sum(each["restartCount"] for pod in pods for each in pod["status"]["containerStatuses"])


def wait_until_refused(address: str, port: int) -> None:
    """Connect from this machine until policies refuse it. They do so a moment after the pod or another one has changed.

    Raises:
        Unready: they never do. The message has the log of kube-router, which enforces them.
    """

    def refused() -> bool:
        with socket.socket() as stranger:
            stranger.settimeout(2)
            return stranger.connect_ex((address, port)) != 0

    node.wait_for("kube-router", refused, seconds=20)


@contextmanager
def namespace(name: str) -> Iterator[None]:
    """Namespace that takes only pods of the Pod Security Standard ``restricted``."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    # An earlier test may have one of the same name, which is still being deleted, or a killed test may have left it.
    node.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
    node.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=180s")
    node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    # Kubernetes makes the account of pods a moment later, and refuses pods until then.
    node.wait_for(
        f"the service account of {name}",
        lambda: node.kubectl("-n", name, "get", "serviceaccount", "default", check=False).returncode == 0,
    )
    try:
        yield
    finally:
        node.kubectl("delete", "namespace", name, "--wait=false")
