"""Files that the programs of the node read: certificates, tokens and configurations."""

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import yaml

from development.cluster import images, places

_CONTAINERD = f"""version = 2
root = "{places.STATE}/containerd"
state = "{places.RUN}/containerd"
[grpc]
address = "{places.SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{images.PAUSE}"
netns_mounts_under_state_dir = true
# Without CAP_SYS_RESOURCE no process may lower its OOM score, and no pod would start.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{places.STATE}/cni"
"""
_CNI: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "name": places.NAME,
    # Each pod has a link of its own, so the policies see all packets, also those between two pods.
    "plugins": [
        {
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": places.PODS}], [{"subnet": places.PODS_IPV6}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                "dataDir": f"{places.RUN}/addresses",
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
_KUBELET: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "address": places.NODE,
    # Only this machine and the pods of the tests reach the node.
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{places.NAME}",
    "failCgroupV1": False,
    "failSwapOn": False,
    "enforceNodeAllocatable": [],
    "clusterDNS": [places.DNS_SERVICE],
    "clusterDomain": "cluster.local",
    "containerRuntimeEndpoint": f"unix://{places.SOCKET}",
    "resolvConf": "",
    "podLogsDir": f"{places.STATE}/pods",
    "volumePluginDir": f"{places.STATE}/plugins",
    # Registries may be out of reach, so no image is removed and no pod is evicted for its disk.
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
    "evictionHard": {"memory.available": "50Mi"},
}


def write() -> None:
    """Write all files below the directory of the node.

    Raises:
        subprocess.CalledProcessError: openssl failed.
    """
    for directory in (places.STATE, places.RUN, places.LOGS, places.STATE / "cni"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _certificates()
    token = secrets.token_hex(20)
    _file("tokens.csv", f"{token},admin,1,system:masters\n")
    _file("kubeconfig", yaml.safe_dump(_kubeconfig(token)))
    _file("containerd.toml", _CONTAINERD)
    _file("cni/10-pods.conflist", json.dumps(_CNI))
    _file("kubelet.yaml", yaml.safe_dump(_KUBELET))


def _file(name: str, text: str) -> None:
    path = places.STATE / name
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _kubeconfig(token: str) -> dict[str, Any]:
    cluster = {"server": places.API, "certificate-authority": str(places.STATE / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": places.NAME, "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": places.NAME, "context": {"cluster": places.NAME, "user": "admin"}}],
        "current-context": places.NAME,
    }


def _certificates() -> None:
    """Make an authority, the API server's certificate, and the key of service accounts."""
    names = ("kubernetes.default.svc", "localhost")
    addresses = (places.NODE, places.API_SERVICE, "127.0.0.1")
    alternatives = [*(f"DNS:{each}" for each in names), *(f"IP:{each}" for each in addresses)]
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
    _openssl(*new, "-subj", f"/CN={places.NAME}", "-keyout", "ca.key", "-out", "ca.crt")
    issued = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", f"subjectAltName={','.join(alternatives)}")
    server = ("-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "api.key", "-out", "api.crt")
    _openssl(*new, "-subj", "/CN=kube-apiserver", *issued, *server)
    front = (*server[:2], "-keyout", "front.key", "-out", "front.crt")
    _openssl(*new, "-subj", "/CN=front-proxy", *issued, *front)
    _openssl("genrsa", "-out", "accounts.key", "2048")


def _openssl(*words: str) -> None:
    command = ["openssl", *words]
    subprocess.run(command, cwd=places.STATE, check=True, capture_output=True)


def log(name: str) -> Path:
    """Return the file with the output of a program of the node."""
    return places.LOGS / f"{name}.log"
