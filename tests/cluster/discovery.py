"""Tell a Prometheus the endpoints of the cluster over HTTP, with the labels that its own discovery of Kubernetes gives them.

Debian builds Prometheus without that discovery. https://prometheus.io/docs/prometheus/latest/configuration/configuration/ describes the
labels of the role ``endpoints``; those that relabeling of ServiceMonitors reads are here.
"""

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

from development.cluster import places


def sanitized(label: str) -> str:
    """Return the name of a label as Prometheus takes it."""
    return "".join(each if each.isalnum() else "_" for each in label)


def found(namespace: str) -> Iterator[dict[str, Any]]:
    """Yield each address of each port of each Service of a namespace, ready or not."""
    services = {each["metadata"]["name"]: each for each in _listed(namespace, "services")}
    pods = {each["metadata"]["name"]: each for each in _listed(namespace, "pods")}
    for endpoints in _listed(namespace, "endpoints"):
        name = endpoints["metadata"]["name"]
        service = {"namespace": namespace, "service_name": name} | _labels("service", services.get(name, {}))
        for subset in endpoints.get("subsets", ()):
            addresses = subset.get("addresses", []) + subset.get("notReadyAddresses", [])
            for address, port in ((each, port) for each in addresses for port in subset["ports"]):
                pod = pods.get(address.get("targetRef", {}).get("name", ""))
                labels = service | {"endpoint_port_name": port.get("name", "")} | _of_pod(pod, port["port"])
                yield {
                    "targets": [f"{address['ip']}:{port['port']}"],
                    "labels": {f"__meta_kubernetes_{name}": value for name, value in labels.items()},
                }


def _of_pod(pod: dict[str, Any] | None, port: int) -> dict[str, str]:
    if pod is None:
        return {}
    containers = [
        each["name"]
        for each in pod["spec"]["containers"]
        if port in {own["containerPort"] for own in each.get("ports", ())}
    ]
    names = {"pod_name": pod["metadata"]["name"], "pod_container_name": "".join(containers[:1])}
    return names | _labels("pod", pod)


def _labels(kind: str, found: dict[str, Any]) -> dict[str, str]:
    labels = found.get("metadata", {}).get("labels") or {}
    return {f"{kind}_label_{sanitized(name)}": value for name, value in labels.items()}


def _listed(namespace: str, plural: str) -> list[dict[str, Any]]:
    """Ask the API server without kubectl, whose start takes longer."""
    config = yaml.safe_load(places.KUBECONFIG.read_text(encoding="utf-8"))
    token = config["users"][0]["user"]["token"]
    request = urllib.request.Request(f"{places.API}/api/v1/namespaces/{namespace}/{plural}")
    request.add_header("Authorization", f"Bearer {token}")
    authority = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])
    with urllib.request.urlopen(request, timeout=10, context=authority) as answer:
        items: list[dict[str, Any]] = json.load(answer)["items"]
    return items


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(list(found(self.path.strip("/")))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def discovery() -> Iterator[str]:
    """Answer at this machine's end of the link to the node. Yield the URL, which a namespace follows."""
    with ThreadingHTTPServer((places.OUTSIDE, 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{places.OUTSIDE}:{server.server_port}"
        server.shutdown()
