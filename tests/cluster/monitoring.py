"""A Prometheus on the node that finds and judges releases by the objects which the chart makes for its operator.

The operator itself does not run. This module makes the two kinds of objects known to the cluster, and writes the configuration that the
operator would write: https://prometheus-operator.dev/docs/api-reference/api/ describes what each field of a ServiceMonitor means.
"""

import copy
import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import yaml

from development.cluster import node, small_images
from development.prometheus import Client
from tests.cluster.discovery import discovery, sanitized
from tests.cluster.releases import Release, namespace

GROUP = "monitoring.coreos.com"
KINDS = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}
SCRAPED_SECONDS = 1
PORT = 9090
# The policies of the chart admit pods with this label to the metrics.
_LABELS = {"app.kubernetes.io/name": "prometheus"}
_SECONDS = 180


@contextmanager
def kinds() -> Iterator[None]:
    """Make the objects of the operator known to the cluster while the block lasts."""
    node.apply(*(_definition(kind, plural) for kind, plural in KINDS.items()))
    names = [f"customresourcedefinition/{plural}.{GROUP}" for plural in KINDS.values()]
    try:
        node.kubectl("wait", "--for=condition=Established", *names, f"--timeout={_SECONDS}s")
        yield
    finally:
        # Another run may use them on the same node.
        if not any(node.read(plural, "--all-namespaces")["items"] for plural in KINDS.values()):
            node.kubectl("delete", *names, f"--timeout={_SECONDS}s")


def _definition(kind: str, plural: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def scraped(monitor: dict[str, Any], url: str, every: int = SCRAPED_SECONDS) -> Iterator[dict[str, Any]]:
    """Yield the configuration of each endpoint of a ServiceMonitor, as the operator writes it, with an interval of our own.

    ``url``: tells the endpoints of a namespace (discovery.py).
    """
    meta, spec = monitor["metadata"], monitor["spec"]
    for number, endpoint in enumerate(spec["endpoints"]):
        rules = [
            {
                "action": "keep",
                "source_labels": [f"__meta_kubernetes_service_label_{sanitized(name)}"],
                "regex": value,
            }
            for name, value in spec["selector"]["matchLabels"].items()
        ]
        rules.append(
            {
                "action": "keep",
                "source_labels": ["__meta_kubernetes_endpoint_port_name"],
                "regex": endpoint["port"],
            }
        )
        taken = {
            "namespace": "namespace",
            "service": "service_name",
            "pod": "pod_name",
            "container": "pod_container_name",
            "job": "service_name",
        }
        for source, labels in (("service", spec["targetLabels"]), ("pod", spec["podTargetLabels"])):
            taken |= {sanitized(each): f"{source}_label_{sanitized(each)}" for each in labels}
        rules += [
            {"source_labels": [f"__meta_kubernetes_{label}"], "target_label": target, "regex": "(.+)"}
            for target, label in taken.items()
        ]
        rules.append({"target_label": "endpoint", "replacement": endpoint["port"]})
        yield {
            "job_name": f"serviceMonitor/{meta['namespace']}/{meta['name']}/{number}",
            "http_sd_configs": [{"url": f"{url}/{meta['namespace']}", "refresh_interval": "2s"}],
            "metrics_path": endpoint["path"],
            "scrape_interval": f"{every}s",
            "scrape_timeout": f"{every}s",
            "relabel_configs": rules,
        }


def shortened(groups: list[dict[str, Any]], wait: str) -> list[dict[str, Any]]:
    """Return rules that are evaluated more often, and whose alerts fire after ``wait`` instead of minutes."""
    groups = copy.deepcopy(groups)
    for group in groups:
        group["interval"] = "2s"
        for rule in group["rules"]:
            if "for" in rule and wait:
                rule["for"] = wait
    return groups


class Monitoring(Client):
    """Prometheus in a pod. It knows the releases that were there when it started."""

    def __init__(self, space: str) -> None:
        chosen = (f"--namespace={space}", "--selector=app.kubernetes.io/name=prometheus")
        (pod,) = node.read("pods", *chosen)["items"]
        super().__init__(f"http://{pod['status']['podIP']}:{PORT}")

    def targets(self) -> dict[tuple[str, str], str]:
        """Return the health of each target by the namespace and the name of its pod."""
        return {
            (each["labels"]["namespace"], each["labels"]["pod"]): each["health"]
            for each in self._get("targets?state=active")["activeTargets"]
            if "pod" in each["labels"]
        }

    def firing(self) -> list[dict[str, str]]:
        """Return the labels of each alert that fires."""
        return [each["labels"] for each in self._get("alerts")["alerts"] if each["state"] == "firing"]

    def loaded(self) -> int:
        """Return the number of rules."""
        return sum(len(each["rules"]) for each in self._get("rules")["groups"])

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}", timeout=10) as answer:
            return json.load(answer)["data"]


@contextmanager
def monitoring(
    releases: Sequence[Release],
    wait: str = "",
    every: int = SCRAPED_SECONDS,
    proxies: Mapping[str, Release] | None = None,
) -> Iterator[Monitoring]:
    """Run a Prometheus for some releases, in a namespace of its own.

    Args:
        releases: they are installed, with their monitors and rules.
        wait: how long an alert is pending, if not as long as its rule says.
        every: seconds between two scrapes.
        proxies: releases by the host and port of a SIP proxy of theirs that runs outside of the cluster.
    """
    node.load(small_images.prometheus())
    spaces = sorted({each.namespace for each in releases})
    found: dict[str, list[Any]] = {
        kind: [each for space in spaces for each in node.read(plural, f"--namespace={space}")["items"]]
        for kind, plural in KINDS.items()
    }
    rules = {
        f"{each['metadata']['namespace']}-{each['metadata']['name']}.yaml": yaml.safe_dump(
            {"groups": shortened(each["spec"]["groups"], wait)}
        )
        for each in found["PrometheusRule"]
    }
    own = f"{spaces[0]}-monitoring"
    with discovery() as url, namespace(own):
        monitors = found["ServiceMonitor"]
        # No Service and no pod gives such a proxy the labels by which rules and board tell releases apart.
        outside = [
            {
                "targets": [target],
                "labels": {"namespace": each.namespace, "app_kubernetes_io_instance": each.name},
            }
            for target, each in (proxies or {}).items()
        ]
        config = {
            "global": {"evaluation_interval": "2s"},
            "rule_files": ["/etc/prometheus/*-*.yaml"],
            "scrape_configs": [
                *(job for each in monitors for job in scraped(each, url, every)),
                {"job_name": "sip", "scrape_interval": f"{every}s", "static_configs": outside},
            ],
        }
        node.apply(*_pod(own, {"prometheus.yml": yaml.safe_dump(config)} | rules))
        where = (f"--namespace={own}", "rollout", "status", "deployment/prometheus")
        node.kubectl(*where, f"--timeout={_SECONDS}s")
        yield Monitoring(own)


def _object(space: str, version: str, kind: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": "prometheus", "namespace": space, "labels": _LABELS}
    return {"apiVersion": version, "kind": kind, "metadata": metadata} | fields


def _pod(space: str, files: dict[str, str]) -> Iterator[dict[str, Any]]:
    yield _object(space, "v1", "ConfigMap", data=files)
    container = {
        "name": "prometheus",
        "image": small_images.PROMETHEUS,
        "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "128Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": security,
        "containers": [container],
        "volumes": [
            {"name": "config", "configMap": {"name": "prometheus"}},
            {"name": "data", "emptyDir": {}},
        ],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": spec}
    yield _object(
        space, "apps/v1", "Deployment", spec={"selector": {"matchLabels": _LABELS}, "template": template}
    )
