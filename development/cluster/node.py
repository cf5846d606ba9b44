"""Start the node: its network, the control plane, containerd, the kubelet and what serves pods."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from development.cluster import build, files, images, places, traces

PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "etcd": "etcd-server",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "iptables": "iptables",
    "buildah": "buildah",
    "podman": "podman",
    "debootstrap": "debootstrap",
}
"""Debian's packages by a program of each."""
_PLUGINS = Path("/usr/lib/cni/ptp")
_READY_SECONDS = 180
_OUTSIDE = f"""
ip link add {places.LINK} type veth peer name node0 netns {places.NETWORK}
ip address add {places.OUTSIDE}/30 dev {places.LINK}
ip address add {places.OUTSIDE_IPV6}/64 dev {places.LINK} nodad
ip link set {places.LINK} up
"""
_INSIDE = f"""
ip link set lo up
ip address add {places.NODE}/30 dev node0
ip address add {places.NODE_IPV6}/64 dev node0 nodad
ip link set node0 up
ip route add default via {places.OUTSIDE}
ip route add default via {places.OUTSIDE_IPV6}
sysctl -q -w net.ipv4.ip_forward=1
sysctl -q -w net.ipv6.conf.all.forwarding=1
"""
_ROUTES = f"""
ip route add {places.PODS} via {places.NODE}
ip route add {places.SERVICES} via {places.NODE}
ip route add {places.PODS_IPV6} via {places.NODE_IPV6}
ip route add {places.SERVICES_IPV6} via {places.NODE_IPV6}
"""
_POD_RANGES = f"{places.PODS},{places.PODS_IPV6}"
_SERVICE_RANGES = f"{places.SERVICES},{places.SERVICES_IPV6}"


class Unready(Exception):
    """A part of the node did not get ready. The message names it and has the end of its output."""


def missing() -> str | None:
    """Return the reason why no node can be started here, or None."""
    if os.geteuid() != 0:
        return "only root can start a node"
    absent = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not _PLUGINS.exists():
        absent.append("containernetworking-plugins")
    return f"not installed: {', '.join(absent)}" if absent else build.missing()


def running() -> bool:
    """Return whether a node runs and answers."""
    return places.KUBECONFIG.exists() and _answers()


def start() -> None:
    """Start a node on which pods can run.

    Raises:
        RuntimeError: there already is one, or traces of one.
        Unready: a part did not start.
        subprocess.CalledProcessError: a step failed.
    """
    if left := traces.found():
        raise RuntimeError(f"A node is or was here: {', '.join(left)}. `make cluster-down` removes it.")
    build.build()
    archive = images.archive()
    files.write()
    traces.prepare()
    _namespaces()
    _control_plane()
    _containers(archive)
    _pods()
    _names()


def stop() -> None:
    """End the node and remove all its traces.

    Raises:
        RuntimeError: some are left.
    """
    traces.remove()


def load(archive: Path) -> None:
    """Give the node the images of an archive, unless it has them. New pods run them.

    Raises:
        Unready: containerd refused them.
    """
    kind = archive.name.rpartition("-")[0]
    last = places.STATE / f"loaded-{kind}"
    if last.exists() and last.read_text(encoding="utf-8") == archive.name:
        return
    imported = _ctr("--namespace=k8s.io", "images", "import", str(archive))
    if imported.returncode:
        raise Unready(f"The images were not imported: {imported.stderr}")
    last.write_text(archive.name, encoding="utf-8")


def kubectl(*words: str, given: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run kubectl with the rights of an administrator. ``given``: its input.

    Raises:
        RuntimeError: it failed, unless ``check`` is off.
    """
    command = [*_kubernetes("kubectl"), f"--kubeconfig={places.KUBECONFIG}", *words]
    ran = subprocess.run(command, input=given or "", capture_output=True, text=True, check=False)
    if check and ran.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)}: {ran.stderr.strip()}")
    return ran


def read(*words: str) -> Any:
    """Return what ``kubectl get`` finds, as JSON."""
    return json.loads(kubectl("get", *words, "--output=json").stdout)


def apply(*objects: dict[str, Any]) -> None:
    """Make or change objects of Kubernetes.

    Raises:
        RuntimeError: the API server refused one.
    """
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", given=json.dumps(listed))


def wait_for(what: str, ready: Callable[[], bool], seconds: float = _READY_SECONDS) -> None:
    """Wait for a condition.

    Raises:
        Unready: it does not hold after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            path = files.log(what)
            text = path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""
            raise Unready(f"Not ready after {seconds:.0f} s: {what}\n{text}")
        time.sleep(0.2)


def _kubernetes(program: str) -> list[str]:
    return [str(build.program("kubernetes")), program]


def _inside(*command: str) -> list[str]:
    """Return a command that runs in the node's namespaces. ``ip netns exec`` would hide the control groups."""
    return ["nsenter", f"--net={places.NETWORK}", f"--mount={places.MOUNTS}", "--", *command]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _namespaces() -> None:
    """Make the network and the mount namespace, and the link to this machine."""
    # A file of a namespace must be on a mount that no other namespace gets copies of.
    places.NAMESPACES.mkdir()
    _run("mount", "-t", "tmpfs", "--make-private", places.NAME, str(places.NAMESPACES))
    for each in (places.NETWORK, places.MOUNTS):
        each.touch()
    own = (f"--net={places.NETWORK}", f"--mount={places.MOUNTS}", "--propagation=private")
    _run("unshare", *own, "true")
    for line in _OUTSIDE.strip().splitlines():
        _run(*line.split())
    for line in _INSIDE.strip().splitlines():
        _run(*_inside(*line.split()))
    for line in _ROUTES.strip().splitlines():
        _run(*line.split())
    for point in places.FIXED:
        _run(*_inside("mount", "-t", "tmpfs", places.NAME, str(point)))


def _start(name: str, *command: str) -> None:
    """Start a program that stays when this process ends. Its processes end with the node's network."""
    apart = ["setsid", "--fork", *_inside(*command)]
    with files.log(name).open("wb") as log:
        subprocess.run(
            apart,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=places.STATE,
            check=True,
        )


def _answers() -> bool:
    return kubectl("get", "--raw=/readyz", "--request-timeout=5s", check=False).returncode == 0


def _control_plane() -> None:
    store = "http://127.0.0.1:2379"
    etcd = ("etcd", f"--data-dir={places.RUN}/etcd", f"--listen-client-urls={store}")
    _start("etcd", *etcd, f"--advertise-client-urls={store}", "--listen-peer-urls=http://127.0.0.1:2380")
    accounts = f"{places.STATE}/accounts.key"
    _start(
        "kube-apiserver",
        *(*_kubernetes("kube-apiserver"), f"--etcd-servers={store}", f"--advertise-address={places.NODE}"),
        *(f"--tls-cert-file={places.STATE}/api.crt", f"--tls-private-key-file={places.STATE}/api.key"),
        *(f"--token-auth-file={places.STATE}/tokens.csv", "--authorization-mode=RBAC"),
        "--kubelet-preferred-address-types=InternalIP",
        *(f"--service-cluster-ip-range={_SERVICE_RANGES}", "--service-account-issuer=https://waitcall.test"),
        *(f"--service-account-key-file={accounts}", f"--service-account-signing-key-file={accounts}"),
        # Pods that serve an API of their own, as metrics-server does, believe requests with this certificate.
        *(
            f"--requestheader-client-ca-file={places.STATE}/ca.crt",
            "--requestheader-allowed-names=front-proxy",
        ),
        *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        *(
            f"--proxy-client-cert-file={places.STATE}/front.crt",
            f"--proxy-client-key-file={places.STATE}/front.key",
        ),
        "--enable-aggregator-routing",
    )
    wait_for("kube-apiserver", _answers)
    common = (f"--kubeconfig={places.KUBECONFIG}", "--leader-elect=false")
    _start(
        "kube-controller-manager",
        *(*_kubernetes("kube-controller-manager"), *common, "--use-service-account-credentials"),
        *(f"--service-account-private-key-file={accounts}", f"--root-ca-file={places.STATE}/ca.crt"),
        *(
            "--allocate-node-cidrs",
            f"--cluster-cidr={_POD_RANGES}",
            f"--service-cluster-ip-range={_SERVICE_RANGES}",
        ),
        *("--node-cidr-mask-size-ipv4=24", "--node-cidr-mask-size-ipv6=64"),
    )
    _start("kube-scheduler", *_kubernetes("kube-scheduler"), *common)


def _containers(archive: Path) -> None:
    _start("containerd", "containerd", f"--config={places.STATE}/containerd.toml")
    wait_for("containerd", lambda: _ctr("version").returncode == 0)
    load(archive)


def _ctr(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["ctr", f"--address={places.SOCKET}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _pods() -> None:
    version_2 = (places.CGROUPS / "cgroup.controllers").exists()
    for top in [places.CGROUPS] if version_2 else places.CGROUPS.iterdir():
        if (top / "cgroup.procs").exists():
            _cgroup(top)
    common = (f"--kubeconfig={places.KUBECONFIG}", "--hostname-override=node")
    _start(
        "kubelet",
        *(*_kubernetes("kubelet"), *common, f"--config={places.STATE}/kubelet.yaml"),
        *(f"--root-dir={places.STATE}/kubelet", f"--node-ip={places.NODE},{places.NODE_IPV6}"),
    )
    # The next two read their own node when they start.
    wait_for("kubelet", _node_is_ready)
    _start(
        "kube-proxy",
        *(*_kubernetes("kube-proxy"), *common, "--proxy-mode=iptables", f"--cluster-cidr={_POD_RANGES}"),
        *("--conntrack-max-per-core=0", "--conntrack-min=0"),
        *("--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"),
    )
    _start(
        "kube-router",
        # It ends when a call of iptables fails. In a cluster its DaemonSet starts it again.
        *("sh", "-c", 'until "$0" "$@"; do sleep 1; done'),
        *(str(build.program("router")), *common, "--run-firewall", "--run-router=false"),
        *("--run-service-proxy=false", "--health-port=0"),
        # Its rules for IPv6 have names of sets that do not exist, and a failed load of them delays those for IPv4.
        f"--service-cluster-ip-range={places.SERVICES}",
    )
    wait_for("kube-router", _enforces)


def _enforces() -> bool:
    """Return whether kube-router's rules are in force."""
    rules = subprocess.run(_inside("iptables", "-S", "FORWARD"), capture_output=True, text=True, check=True)
    return "KUBE-ROUTER-FORWARD" in rules.stdout


def _cgroup(top: Path) -> None:
    """Make the node's control group. In version 1 a new group has no CPUs and no memory yet."""
    group = top / places.NAME
    group.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (top / name).exists():
            (group / name).write_text((top / name).read_text(encoding="ascii"), encoding="ascii")
    # All pods together would otherwise weigh as much as one process outside, and miss their probes.
    for name, weight in (("cpu.shares", 10240), ("cpu.weight", 1000)):
        if (group / name).exists():
            (group / name).write_text(str(weight), encoding="ascii")


def _node_is_ready() -> bool:
    asked = kubectl("wait", "--for=condition=Ready", "node/node", "--timeout=1s", check=False)
    return asked.returncode == 0


def _names() -> None:
    """Start CoreDNS, with the names and labels that charts expect."""
    manifest = Path(__file__).with_name("coredns.yaml").read_text(encoding="utf-8")
    for word, value in (("IMAGE", images.COREDNS), ("ADDRESS", places.DNS_SERVICE)):
        manifest = manifest.replace(f"${word}", value)
    kubectl("apply", "--server-side", "--filename=-", given=manifest)
    kubectl("--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
