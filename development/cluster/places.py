"""Names, paths and addresses of the node. Everything that it makes on the machine is below these, so that it can be removed."""

from pathlib import Path

NAME = "waitcall-cluster"
"""Network namespace, control group and network of the node."""
STATE = Path("/var/lib") / NAME
RUN = Path("/run") / NAME
"""On most machines in memory. etcd keeps its data here."""
LOGS = STATE / "logs"
KUBECONFIG = STATE / "kubeconfig"
SOCKET = RUN / "containerd.sock"
NAMESPACES = RUN / "namespaces"
NETWORK, MOUNTS = NAMESPACES / "network", NAMESPACES / "mounts"
"""The node's namespaces. Mounts and rules of its programs end with them."""
LINK = "waitcall0"
"""This machine's end of the link to the node."""
FIXED = tuple(
    map(Path, ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/opt"))
)
"""Directories that its programs write to, whatever one tells them. In the namespace each is an empty one in memory."""
CGROUPS = Path("/sys/fs/cgroup")

OUTSIDE, NODE = "10.231.0.1", "10.231.0.2"
"""Addresses of this machine and of the node on the link between them."""
OUTSIDE_IPV6, NODE_IPV6 = "fd00:231::1", "fd00:231::2"
PODS, SERVICES = "10.232.0.0/24", "10.233.0.0/24"
PODS_IPV6, SERVICES_IPV6 = "fd00:232::/64", "fd00:233::/112"
API = f"https://{NODE}:6443"
API_SERVICE, DNS_SERVICE = "10.233.0.1", "10.233.0.10"
