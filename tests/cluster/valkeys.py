"""Valkey on several pods by plain StatefulSets: a master with replicas and sentinels, or a cluster of six nodes."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import trustme
import yaml

from development.cluster import node, places
from tests.cluster import processes
from tests.cluster.releases import Release

HERE = Path(__file__).parent / "valkey"
CONFIGURATION = Path(__file__).resolve().parents[2] / "config/redis.conf"
OWNER = 10001
PORT, SENTINEL_PORT, BUS_PORT = 6379, 26379, 16379
MASTER = "mymaster"
NODES = 6
SECONDS = 120
ADMIN, PASSWORD, SENTINELS_PASSWORD = (
    "a-password-of-the-admin",
    "a-password-of-waitcall",
    "a-password-of-the-sentinels",
)
_TLS = """
tls-port {port}
port 0
tls-cert-file /etc/certificates/tls.crt
tls-key-file /etc/certificates/tls.key
tls-ca-cert-file /etc/certificates/ca.crt
tls-auth-clients no
tls-replication yes
"""


@dataclass(frozen=True)
class Access:
    """Configuration of servers that let in some clients only.

    Attributes:
        server: lines of the servers' configuration.
        sentinel: lines of the sentinels' configuration.
        server_cli: options of ``valkey-cli`` for a server.
        sentinel_cli: options of ``valkey-cli`` for a sentinel.
    """

    server: str = ""
    sentinel: str = ""
    server_cli: str = ""
    sentinel_cli: str = ""


OPEN = Access()


def secure(release: Release) -> Access:
    """Issue certificates, and return access by TLS with passwords. The service has the user of config/redis.conf."""
    authority = trustme.CA()
    hosts = []
    for number in range(3):
        for name in ("valkey", "sentinel"):
            short = f"{name}-{number}.{name}"
            hosts += [short, f"{short}.{release.namespace}.svc.cluster.local"]
    issued = authority.issue_cert(*hosts, "localhost")
    pems = {
        "ca.crt": authority.cert_pem.bytes(),
        "tls.crt": issued.cert_chain_pems[0].bytes(),
        "tls.key": issued.private_key_pem.bytes(),
    }
    data = {name: pem.decode() for name, pem in pems.items()}
    for name, keys in (("valkey-certificates", [*data]), ("redis-authority", ["ca.crt"])):
        chosen = {key: data[key] for key in keys}
        _apply(
            release, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": chosen}
        )
    lines = CONFIGURATION.read_text(encoding="utf-8").splitlines()
    first = next(index for index, line in enumerate(lines) if "user waitcall on" in line)
    user = " ".join(line.strip("# ") for line in lines[first:]).replace("PASSWORD", PASSWORD)
    admin = f"user admin on >{ADMIN} ~* &* +@all\nmasteruser admin\nmasterauth {ADMIN}\n"
    watch = f"sentinel auth-user {MASTER} admin\nsentinel auth-pass {MASTER} {ADMIN}\n"
    own = f"requirepass {SENTINELS_PASSWORD}\nsentinel sentinel-pass {SENTINELS_PASSWORD}\n"
    cli = "--tls --cacert /etc/certificates/ca.crt --no-auth-warning"
    return Access(
        _TLS.format(port=PORT) + f"user default off\n{admin}{user}\n",
        _TLS.format(port=SENTINEL_PORT) + watch + own,
        f"{cli} -h localhost --user admin --pass {ADMIN}",
        f"{cli} --pass {SENTINELS_PASSWORD}",
    )


def sentinels(release: Release, access: Access = OPEN) -> None:
    """Install three servers, and three sentinels that watch them. Return when the sentinels know all."""
    # What config/redis.conf recommends for three servers.
    text = CONFIGURATION.read_text(encoding="utf-8").replace("# min-replicas-", "min-replicas-")
    assert "\nmin-replicas-to-write 1\n" in text
    _apply(release, _files(text, access), _policy("valkey", [PORT]), _policy("sentinel", [SENTINEL_PORT]))
    _apply(release, *_pods("valkey", 3, PORT, "server.sh", access))
    release.kubectl("rollout", "status", "statefulset/valkey", f"--timeout={SECONDS}s")
    _apply(release, *_pods("sentinel", 3, SENTINEL_PORT, "sentinel.sh", access))
    release.kubectl("rollout", "status", "statefulset/sentinel", f"--timeout={SECONDS}s")
    node.wait_for("the sentinels know all servers", lambda: _watched(release))


def _watched(release: Release) -> bool:
    told = cli(release, "sentinel-0", "SENTINEL", "MASTER", MASTER).split("\n")
    state = dict(zip(told[::2], told[1::2], strict=False))
    return (state.get("num-slaves"), state.get("num-other-sentinels")) == ("2", "2")


def master(release: Release) -> str:
    """Return the name of the pod that the sentinels name."""
    for each in ("sentinel-0", "sentinel-1", "sentinel-2"):
        if told := cli(release, each, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER):
            return told.partition(".")[0]
    return ""


def subscribers(release: Release, pod: str) -> int:
    """Return how many clients wait for messages at a server, without the sentinels."""
    lines = cli(release, pod, "CLIENT", "LIST", "TYPE", "PUBSUB").splitlines()
    return sum("name=sentinel" not in line for line in lines)


def cluster(release: Release) -> None:
    """Install a cluster of three masters with a replica each. It needs :func:`volumes` of the namespace's name."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    _apply(release, _files(text, OPEN), _policy("valkey", [PORT], [BUS_PORT]))
    start_nodes(release)
    names = [f"valkey-{number}" for number in range(NODES)]
    node.wait_for("the nodes answer", lambda: all(cli(release, each, "PING") == "PONG" for each in names))
    addresses = [f"{release.read('pod', each)['status']['podIP']}:{PORT}" for each in names]
    cli(release, names[0], "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes")
    release.kubectl("rollout", "status", "statefulset/valkey", f"--timeout={SECONDS}s")
    node.wait_for("the cluster is whole", lambda: whole(release))


def start_nodes(release: Release) -> None:
    """Make the StatefulSet of the cluster's nodes. It takes nodes over that run already."""
    service, pods = _pods("valkey", NODES, PORT, "node.sh", OPEN, volumes=release.namespace)
    # A rolling restart ends the next node only after this one is back in the cluster and has its master's data.
    check = "valkey-cli cluster info | grep -q cluster_state:ok && ! valkey-cli info replication | grep -q status:down"
    (container,) = pods["spec"]["template"]["spec"]["containers"]
    container["readinessProbe"] = {
        "exec": {"command": ["sh", "-c", check]},
        "periodSeconds": 2,
        "timeoutSeconds": 5,
    }
    _apply(release, service, pods)


def masters(release: Release) -> list[str]:
    """Return the pods of the masters that have slots and that most nodes do not take for dead, as one node sees them."""
    told = ""
    for number in range(NODES):
        told = told or cli(release, f"valkey-{number}", "CLUSTER", "NODES")
    lines = [line.split() for line in told.splitlines()]
    return [
        line[1].partition(",")[2].partition(".")[0]
        for line in lines
        if "master" in line[2].split(",") and "fail" not in line[2].split(",") and len(line) > 8
    ]


def whole(release: Release) -> bool:
    """Tell whether each node sees all six alive, and each master has its replica in step."""
    hosts = " ".join(f"valkey-{number}.valkey" for number in range(NODES))
    ask = (
        f"for host in {hosts}; do "
        "for what in 'cluster nodes' 'info replication'; do valkey-cli -h $host $what; done; done"
    )
    told = _inside(release, "valkey-0", "timeout", "10", "sh", "-c", ask)
    seen = [line.split()[2] for line in told.splitlines() if "@" in line]
    alive = [flags for flags in seen if not {"fail", "fail?", "handshake", "noaddr"} & {*flags.split(",")}]
    replicas = told.count("connected_slaves:1") == told.count("state=online") == NODES // 2
    return len(seen) == len(alive) == NODES * NODES and replicas


@contextmanager
def volumes(name: str, count: int) -> Iterator[None]:
    """Volumes on the node's disk for a cluster, by a storage class of a name."""
    top = places.STATE / "volumes" / name
    try:
        for number in range(count):
            path = top / str(number)
            path.mkdir(parents=True, exist_ok=True)
            shutil.chown(path, OWNER, OWNER)
            node.apply(_volume(name, number, path))
        yield
    finally:
        found = [f"persistentvolume/{name}-{number}" for number in range(count)]
        node.kubectl("delete", "--ignore-not-found", *found)
        shutil.rmtree(top)


def _volume(name: str, number: int, path: Path) -> dict[str, Any]:
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}]}
    spec = {
        "storageClassName": name,
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": str(path)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
    }
    metadata = {"name": f"{name}-{number}"}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def cli(release: Release, pod: str, *words: str) -> str:
    """Return what ``valkey-cli`` prints in a pod; nothing if it fails."""
    options = f"-p {SENTINEL_PORT} $SENTINEL_CLI" if pod.startswith("sentinel") else "$SERVER_CLI"
    return _inside(release, pod, "sh", "-c", f'valkey-cli {options} "$@"', "sh", *words).strip()


def _inside(release: Release, pod: str, *command: str) -> str:
    where = ("--namespace", release.namespace, "exec", pod, "--")
    return node.kubectl(*where, *command, check=False).stdout


def kill(release: Release, pod: str) -> None:
    """End the server of a pod by SIGKILL, from outside the pod."""
    processes.kill(processes.first(release.read("pod", pod), "valkey-server"))


def remove(release: Release, pod: str) -> None:
    """Remove a pod at once, as if its machine were lost."""
    release.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")


@contextmanager
def silenced(release: Release, pod: str) -> Iterator[None]:
    """Let no packet of a pod's address pass any more, as if its machine had lost its power."""
    address = release.read("pod", pod)["status"]["podIP"]
    rules = [("PREROUTING", end, address, "-j", "DROP") for end in ("-s", "-d")]
    rules.append(("OUTPUT", "-d", address, "-j", "DROP"))
    command = ["nsenter", f"--net={places.NETWORK}", "--", "iptables", "-w", "-t", "raw"]
    done = []
    try:
        for rule in rules:
            subprocess.run([*command, "-I", *rule], check=True, capture_output=True)
            done.append(rule)
        yield
    finally:
        for rule in done:
            subprocess.run([*command, "-D", *rule], check=True, capture_output=True)


def _apply(release: Release, *objects: dict[str, Any]) -> None:
    node.apply(
        *({**each, "metadata": {"namespace": release.namespace, **each["metadata"]}} for each in objects)
    )


def _files(text: str, access: Access) -> dict[str, Any]:
    scripts = {each.name: each.read_text(encoding="utf-8") for each in HERE.glob("*.sh")}
    data = {"redis.conf": text + access.server, "sentinel.conf": access.sentinel, **scripts}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "valkey"}, "data": data}


def _policy(name: str, open_to_pods: list[int], own: list[int] | None = None) -> dict[str, Any]:
    """Return the policy that opens some ports to all pods of the namespace, and others to the servers themselves."""
    chosen = {"matchLabels": {"app": name}}

    def rule(ports: list[int], peer: dict[str, Any]) -> dict[str, Any]:
        return {"ports": [{"port": each} for each in ports], "from": [{"podSelector": peer}]}

    rules = [rule(open_to_pods, {}), *([rule(own, chosen)] if own else [])]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": chosen, "policyTypes": ["Ingress"], "ingress": rules},
    }


def _pods(
    name: str, replicas: int, port: int, script: str, access: Access, volumes: str = ""
) -> list[dict[str, Any]]:
    """Return a headless Service and a StatefulSet. ``volumes``: storage class of lasting volumes, else they end with a pod."""
    text = Template((HERE / "pods.yaml").read_text(encoding="utf-8")).substitute(
        NAME=name,
        REPLICAS=replicas,
        PORT=port,
        SCRIPT=script,
        SERVER_CLI=access.server_cli,
        SENTINEL_CLI=access.sentinel_cli,
    )
    service, pods = yaml.safe_load_all(text)
    if volumes:
        claim = {
            "storageClassName": volumes,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
        pods["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
    else:
        pods["spec"]["template"]["spec"]["volumes"].append({"name": "data", "emptyDir": {}})
    return [service, pods]
