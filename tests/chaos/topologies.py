"""Start Redis in the supported topologies, and cause the accidents that each must survive, one at a time."""

import random
import signal
from collections.abc import Callable
from functools import partial
from time import sleep
from typing import Any, Protocol

from redis import Redis

from tests.redis_servers import ReplicatedCluster, ReplicatedSentinel, Server, replicates, wait_for

PATIENCE_SECONDS = 90
Accident = Callable[[], None]


class Topology(Protocol):
    """Redis servers of the service, with the accidents that can happen to them."""

    name: str
    min_replicas: int

    @property
    def url(self) -> str: ...

    def accidents(self) -> dict[str, Accident]:
        """Return the accidents by name. Each returns only once everything is back in order."""
        ...

    def close(self) -> None: ...


class Single:
    """A standalone server that writes to disk before it answers."""

    name = "one server"
    min_replicas = 0

    def __init__(self) -> None:
        self._server = Server("valkey", "--appendonly", "yes", "--appendfsync", "always").start()

    @property
    def url(self) -> str:
        return self._server.url

    def accidents(self) -> dict[str, Accident]:
        return {"Redis paused for 3 s": self._pause, "Redis killed, back after 2 s": self._kill}

    def close(self) -> None:
        resume(self._server)
        self._server.close()

    def _pause(self) -> None:
        paused(self._server, 3)

    def _kill(self) -> None:
        self._server.stop()
        sleep(2)
        self._server.start()


class _Replicated:
    """Masters that have one replica each and are replaced by it when they fail."""

    min_replicas = 1
    forced: str
    """Name of the command that forces a fail-over."""

    def accidents(self) -> dict[str, Accident]:
        return {
            "Redis master killed": self._kill,
            "Redis master paused until after the fail-over": self._pause,
            self.forced: self._fail_over,
        }

    def _kill(self) -> None:
        master, replica = self._pair()
        master.stop()
        self._promoted(replica)
        self._start_again(master, replica)
        self._whole(replica, master)

    def _pause(self) -> None:
        master, replica = self._pair()
        pause(master)
        self._promoted(replica)
        sleep(1)
        resume(master)
        self._whole(replica, master)

    def _fail_over(self) -> None:
        master, replica = self._pair()
        self._force(replica)
        self._promoted(replica)
        self._whole(replica, master)

    def _pair(self) -> tuple[Server, Server]:
        """Return a current master and its replica."""
        raise NotImplementedError

    def _promoted(self, server: Server) -> None:
        """Wait until the server is the master."""
        raise NotImplementedError

    def _start_again(self, master: Server, replica: Server) -> None:
        raise NotImplementedError

    def _force(self, replica: Server) -> None:
        raise NotImplementedError

    def _whole(self, master: Server, replica: Server) -> None:
        """Wait until the replica is in step and every server knows the roles."""
        raise NotImplementedError


class Sentinel(_Replicated):
    """A master with a replica, and a sentinel."""

    name = "Sentinel, one replica"
    forced = "SENTINEL FAILOVER"

    def __init__(self) -> None:
        self._servers = ReplicatedSentinel("valkey", down_after_ms=2000)

    @property
    def url(self) -> str:
        return self._servers.url

    def close(self) -> None:
        for server in (self._servers.master, self._servers.replica):
            resume(server)
        self._servers.close()

    def _pair(self) -> tuple[Server, Server]:
        both = (self._servers.master, self._servers.replica)
        return both if role(both[0]) == "master" else (both[1], both[0])

    def _promoted(self, server: Server) -> None:
        """Wait until the sentinel has ended the fail-over and gives the new master's address."""
        wait_for(lambda: self._told() == server.port and role(server) == "master", seconds=PATIENCE_SECONDS)

    def _start_again(self, master: Server, replica: Server) -> None:
        # The dead server must not return as an empty master, so it starts as a replica of the new one.
        restarted(master, "--replicaof", f"127.0.0.1 {replica.port}")

    def _force(self, replica: Server) -> None:
        with Redis(port=self._servers.sentinel.port) as sentinel:
            # The sentinel refuses until it has heard from the replica lately.
            wait_for(lambda: sentinel.execute_command("SENTINEL FAILOVER mymaster"), seconds=PATIENCE_SECONDS)

    def _told(self) -> int:
        with Redis(port=self._servers.sentinel.port) as sentinel:
            master: Any = sentinel.sentinel_master("mymaster")
        return 0 if "failover_in_progress" in master["flags"] else int(master["port"])

    def _whole(self, master: Server, replica: Server) -> None:
        # With a single sentinel the two may change places once more, so either may be the master in the end.
        def in_order() -> bool:
            master, replica = self._pair()
            return self._told() == master.port and attached(master) and replicates(replica)

        wait_for(in_order, seconds=PATIENCE_SECONDS)


class Cluster(_Replicated):
    """Three masters, each with a replica."""

    name = "cluster, three masters and three replicas"
    forced = "CLUSTER FAILOVER"

    def __init__(self, dice: random.Random) -> None:
        self._servers = ReplicatedCluster("valkey")
        self._dice = dice

    @property
    def url(self) -> str:
        return self._servers.url

    def close(self) -> None:
        for server in [*self._servers.nodes, *self._servers.replicas]:
            resume(server)
        self._servers.close()

    def _pair(self) -> tuple[Server, Server]:
        part = self._dice.randrange(3)
        both = (self._servers.nodes[part], self._servers.replicas[part])
        return both if role(both[0]) == "master" else (both[1], both[0])

    def _promoted(self, server: Server) -> None:
        wait_for(lambda: role(server) == "master", seconds=PATIENCE_SECONDS)

    def _start_again(self, master: Server, replica: Server) -> None:
        master.start()

    def _force(self, replica: Server) -> None:
        with replica.client() as client:
            client.execute_command("CLUSTER FAILOVER")

    def _whole(self, master: Server, replica: Server) -> None:
        wait_for(lambda: attached(master) and replicates(replica), seconds=PATIENCE_SECONDS)
        for server in [*self._servers.nodes, *self._servers.replicas]:
            wait_for(partial(knows_all_slots, server), seconds=PATIENCE_SECONDS)


def role(server: Server) -> str:
    with server.client() as client:
        return str(client.info("replication")["role"])


def attached(master: Server) -> bool:
    with master.client() as client:
        replication: Any = client.info("replication")
        return replication["connected_slaves"] == 1 and replication["slave0"]["state"] == "online"


def knows_all_slots(server: Server) -> bool:
    with server.client() as client:
        return "cluster_state': 'ok'" in str(client.execute_command("CLUSTER INFO"))


def pause(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)


def resume(server: Server) -> None:
    if server.process is not None:
        server.process.send_signal(signal.SIGCONT)


def paused(server: Server, seconds: float) -> None:
    pause(server)
    sleep(seconds)
    resume(server)


def restarted(server: Server, *role_options: str) -> None:
    """Start the server again with other role options than before."""
    command = server.command
    if "--replicaof" in command:
        at = command.index("--replicaof")
        command = command[:at] + command[at + 2 :]
    server.command = [*command, *role_options]
    server.start()
