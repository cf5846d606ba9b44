"""Provider simulator as a pod of the tests, and visitors whose calls it reports."""

import json
from pathlib import Path
from typing import Any

import trustme

from development.cluster import images
from tests.cluster import tls_relay
from tests.cluster.journeys import Visitor, sent
from tests.cluster.releases import Release

API_KEY, CALLBACK_SECRET = "an-api-key-of-these-tests", "a-secret-of-these-tests-0123"
CONTROL_PORT = 8083
LABELS = {"app": "simulator"}
EGRESS = [{"to": [{"podSelector": {"matchLabels": LABELS}}], "ports": [{"port": tls_relay.LISTEN}]}]
"""Rules that let a release's pods reach the simulator (``networkPolicy.extraEgress``)."""


def url(namespace: str) -> str:
    """Return the base URL of the simulated provider for ``settings.smscUrls``."""
    return f"https://simulator.{namespace}.svc/sys"


def objects(namespace: str, handler: str) -> tuple[list[dict[str, Any]], str]:
    """Return the objects of a simulator that reports calls to ``handler``, and the authority of its certificate (PEM)."""
    authority = trustme.CA()
    issued = authority.issue_cert(f"simulator.{namespace}.svc")
    chain = "".join(each.bytes().decode() for each in issued.cert_chain_pems)
    certificate = {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes().decode()}
    script = Path(tls_relay.__file__).read_text(encoding="utf-8")
    service = {
        "selector": LABELS,
        "ports": [
            {"name": "provider", "port": 443, "targetPort": tls_relay.LISTEN},
            {"name": "control", "port": CONTROL_PORT},
        ],
    }
    made = [
        {"kind": "Secret", "stringData": certificate},
        {"kind": "ConfigMap", "data": {"tls_relay.py": script}},
        {"kind": "Service", "spec": service},
        {"kind": "Pod", "spec": _pod(handler)},
    ]
    named = {"apiVersion": "v1", "metadata": {"name": "simulator", "labels": LABELS}}
    return [named | each for each in made], authority.cert_pem.bytes().decode()


def _pod(handler: str) -> dict[str, Any]:
    image = images.SIMULATOR.removeprefix("docker.io/library/")
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    common = {
        "image": image,
        "securityContext": security,
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
    }
    ports = ["--front-port", str(tls_relay.SIMULATOR), "--control-port", str(CONTROL_PORT)]
    account = ["--apikey", API_KEY, "--secret", CALLBACK_SECRET, "--handler", handler]
    simulator = {
        "name": "simulator",
        "args": ["--expose", "--host", "0.0.0.0", "--calm", *ports, *account],
        "readinessProbe": {"tcpSocket": {"port": CONTROL_PORT}, "periodSeconds": 1},
    }
    relay = {
        "name": "relay",
        "command": ["python3", "/relay/tls_relay.py", "/certificate"],
        "readinessProbe": {"tcpSocket": {"port": tls_relay.LISTEN}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "relay", "mountPath": "/relay"},
            {"name": "certificate", "mountPath": "/certificate"},
        ],
    }
    return {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 1,
        "containers": [common | simulator, common | relay],
        "volumes": [
            {"name": "relay", "configMap": {"name": "simulator"}},
            {"name": "certificate", "secret": {"secretName": "simulator", "defaultMode": 0o440}},
        ],
    }


class Subscriber(Visitor):
    """A visitor who dials at the simulated provider. The provider reports each call once, whatever the service answers."""

    TAKEN = 200

    def __init__(self, release: Release) -> None:
        super().__init__(release, public=False)
        self._control = release.read("service", "simulator")["spec"]["clusterIP"]

    def call(self, caller: str, dialled: str) -> int:
        order = json.dumps({"cli": caller, "did": dialled})
        headers = {"Content-Type": "application/json"}
        _, told = sent(self._control, "POST", "/dial", order, headers, CONTROL_PORT)
        (report,) = told["sent"]
        return report["status"] or 0
