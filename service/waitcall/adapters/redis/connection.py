"""A limited number of Redis clients, each lent to one operation at a time. Scripts run alone, several as one, or replicated."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, LifoQueue
from time import monotonic, time
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from waitcall.adapters.redis.cause import cause_of
from waitcall.adapters.redis.keys import READY
from waitcall.adapters.redis.script import Script, Step, batch
from waitcall.adapters.redis.topology import TURN_SECONDS, AnyClient, Topology
from waitcall.domain.errors import StoreUnavailable

OUTAGES = (RedisError, RedisClusterException, OSError)
RETRY_AFTER_SECONDS = 2
COMPLAIN_SECONDS = 10.0
"""Each process logs one kind of failure at most once in this time."""
WAIT_MS = 300
"""Longest wait for replicas. It must be shorter than a cluster's socket timeout, or it would look like an outage."""
_REDIRECTIONS = 3
_HAPPENED = (1, 2, b"done", b"again")
"""Answers of scripts that have changed something, now or before their answer was lost."""

_TRY_WRITES = Script("ready")
_READY_KEPT_MS = 10_000

_log = logging.getLogger(__name__)


class TooFewReplicas(RedisError):
    """The master has done the write, but too few replicas confirmed it, so it may be lost. Treat it like an outage."""


class Connection:
    """Lends Redis clients, each to one user at a time, runs scripts, and turns errors into StoreUnavailable."""

    def __init__(
        self,
        topology: Topology,
        count_error: Callable[[str], None],
        max_steps: int = 64,
        count_unreadable: Callable[[str], None] = lambda _: None,
        *,
        min_replicas: int = 0,
    ) -> None:
        """
        Args:
            topology: makes the clients.
            count_error: called with the operation of each step that failed.
            max_steps: steps that may run at the same time. A further one waits up to TURN_SECONDS for its turn.
            count_unreadable: called with the kind of each entry that cannot be read.
            min_replicas: number of replicas that must confirm a replicated step.
        """
        self.topology = topology
        self.min_replicas = min_replicas
        self._count_error = count_error
        self._count_unreadable = count_unreadable
        self._complained: dict[str, float] = {}
        # The client that was used last is lent first, so that no more clients are made than needed.
        self._free: LifoQueue[AnyClient | None] = LifoQueue()
        for _ in range(max_steps):
            self._free.put(None)

    @contextmanager
    def using(self, operation: str) -> Iterator[Any]:
        """Lend a client for one operation.

        Raises:
            StoreUnavailable: Redis failed, or no client was free in time. Counted under ``operation``.
        """
        try:
            client = self._free.get(timeout=TURN_SECONDS)
        except Empty:
            raise self.failed(operation, None) from None
        try:
            if client is None:
                client = self.topology.client()
            yield client
        except ResponseError as error:
            # An error answer is a complete answer, so the connection can be used again.
            raise self.failed(operation, error) from error
        except BaseException as error:
            # An unread answer may be left on the connection, and the next user would take it for its own.
            if client is not None:
                self.topology.end(client)
            if isinstance(error, OUTAGES):
                raise self.failed(operation, error) from error
            raise
        finally:
            self._free.put(client)

    def run(self, operation: str, step: Step, *, replicated: bool = False) -> Any:
        """Run a step and return its answer.

        Args:
            operation: name of the operation in metrics and logs, if it fails.
            step: the step. A replicated one must write something even if it only confirms an earlier write, because WAIT
                waits for writes.
            replicated: True to fail unless ``min_replicas`` replicas confirm the write.

        Raises:
            StoreUnavailable: the step may not have happened, or may not survive a fail-over.
        """
        return self.run_with(operation, step, (), replicated=replicated)[0]

    def run_with(
        self, operation: str, first: Step, others: Sequence[Step], *, replicated: bool = False
    ) -> list[Any]:
        """Run a step and, if it changed something, the others.

        On a single server (also behind Sentinel) all steps run as one script: all of them once, or none. On a cluster a
        script cannot touch keys in different slots, so the others follow in a second round trip. They are lost if the
        process dies in between.

        Returns:
            The answer of the first step, then those of the others if they ran. The answer of one that failed is None:
            the failure is counted under ``redis_errors_total`` and not raised, because the first step has happened.

        Raises:
            StoreUnavailable: the first step may not have happened.
        """
        as_one = bool(others) and self.topology.one_server
        step = batch([first, *others]) if as_one else first
        more: list[Any] = []
        with self.using(operation) as client:
            answer = (
                self._replicated(client, step)
                if replicated and self.min_replicas
                else step.script.run(client, step.keys, step.args)
            )
            if as_one:
                answer, *more = answer
            elif others and answer in _HAPPENED:
                try:
                    more = self.run_each(client, others, raise_on_error=False)
                except OUTAGES as error:
                    more = [error] * len(others)
        # An int is never an error, so skip the check.
        pairs = zip(more, others, strict=False)
        return [answer, *(each if type(each) is int else self._counted(each, step) for each, step in pairs)]

    def run_each(self, client: Any, steps: Sequence[Step], *, raise_on_error: bool = True) -> list[Any]:
        """Run independent steps in one round trip to each server, and return their answers.

        ``raise_on_error``: False to return the server's errors among the answers.

        Raises:
            RedisError, RedisClusterException, OSError: the first failure; other steps may have run.
        """
        pipeline = client.pipeline(transaction=False)
        for step in steps:
            # A node may not know the hash, so send the text, which is small.
            step.script.queue(pipeline, step.keys, step.args, **self.topology.route(client, step.keys[0]))
        answers: list[Any] = pipeline.execute(raise_on_error=raise_on_error)
        return answers

    def read_all(self, operation: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of many keys, in one round trip to each server. Raises StoreUnavailable."""
        with self.using(operation) as client:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            values: list[bytes | None] = pipeline.execute()
        return values

    def _replicated(self, client: Any, step: Step) -> Any:
        """Run a step and WAIT on one connection, in one round trip."""
        known = True
        for _ in range(_REDIRECTIONS):
            _, node = self.topology.server_of(client, step.keys[0])
            pipeline = node.pipeline(transaction=False)
            step.script.queue(pipeline, step.keys, step.args, known=known)
            pipeline.wait(self.min_replicas, WAIT_MS)
            try:
                answer, replicas = pipeline.execute(raise_on_error=False)
            except (RedisConnectionError, RedisTimeoutError):
                # A replica may have taken the place of this node. The pipeline of a single node does not ask for that.
                self.topology.look_again(client)
                raise
            if isinstance(answer, NoScriptError):
                known = False
                continue
            if isinstance(answer, MovedError | AskError | ClusterDownError):
                self.topology.look_again(client)
                continue
            for each in (answer, replicas):
                if isinstance(each, Exception):
                    raise each
            if replicas < self.min_replicas:
                raise TooFewReplicas(f"{replicas} of {self.min_replicas}")
            return answer
        raise TooFewReplicas("The slot is being moved to another node.")

    def _counted(self, answer: Any, step: Step) -> Any:
        """Return the answer of a step; None if it is an error, which is counted."""
        if isinstance(answer, bytes) and answer.startswith(b"ERR "):
            answer = ResponseError(answer[4:].decode(errors="replace"))
        if not isinstance(answer, Exception):
            return answer
        self.failed(step.script.name, answer)
        return None

    def failed(self, operation: str, error: BaseException | None) -> StoreUnavailable:
        """Count and log a failed operation, and return the exception to raise.

        ``error``: None if no client was free. After a timeout or TooFewReplicas, idle connections are closed as well.
        """
        self._count_error(operation)
        cause = cause_of(error, self.topology.address) if error else "no connection was free in time"
        self._complain(operation, cause)
        if isinstance(error, TooFewReplicas | RedisTimeoutError):
            # The master may have been replaced and not know it yet. Close the connections to it, so that new ones go to
            # the new master.
            self._end_idle()
        unavailable = StoreUnavailable(retry_after=RETRY_AFTER_SECONDS)
        unavailable.cause = cause
        return unavailable

    def unreadable(self, where: str, error: Exception) -> None:
        """Count and log an entry that cannot be read: its kind and the error's type, never its content."""
        self._count_unreadable(where)
        _log.error("unreadable entry", extra={"where": where, "error": type(error).__name__})

    def skip(self, where: str, error: Exception) -> None:
        """Count a key whose value is of a wrong type, so that the caller can go on without it.

        Raises:
            Exception: ``error`` itself, if it is any other error.
        """
        if not str(error).startswith("WRONGTYPE"):
            raise error
        self.unreadable(where, error)

    def _complain(self, operation: str, cause: str) -> None:
        # A failing store fails every request, so log each kind of failure only now and then. Redis' own code is the second
        # word: MISCONF, NOREPLICAS and BUSY are all a ResponseError.
        now, kind = monotonic(), " ".join(cause.split(maxsplit=2)[:2])
        if now - self._complained.get(kind, -COMPLAIN_SECONDS) >= COMPLAIN_SECONDS:
            self._complained[kind] = now
            _log.error("redis operation failed", extra={"operation": operation, "cause": cause})

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._end_idle()
        self.topology.close()

    def _end_idle(self) -> None:
        idle: list[AnyClient | None] = []
        with suppress(Empty):
            while True:
                idle.append(self._free.get_nowait())
        for client in reversed(idle):
            if client is not None:
                self.topology.end(client)
            self._free.put(client)


@dataclass(frozen=True, slots=True)
class ServerProperties:
    """Properties of one server.

    Attributes:
        version: version of the server; empty if our user may not ask.
        ahead_seconds: the server's clock minus ours, in seconds.
        eviction: the server's ``maxmemory-policy``; empty if our user may not ask.
    """

    version: str
    ahead_seconds: float
    eviction: str


class RedisProbe:
    """StoreProbe over Redis."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ping(self) -> None:
        """Write by a script, as a create does; on a cluster, at each node.

        The exception's ``cause`` has the first words of the server's message.
        """
        topology = self._connection.topology
        with self._connection.using("ping") as client:
            keys = topology.one_each(client, READY)
        # A server of a cluster refuses this key beside the first, because it is in another slot. Without it a cluster of
        # one server would pass for a single server, until the first create.
        other = READY[1:2] if topology.one_server else ()
        for each in keys:
            step = Step(
                _TRY_WRITES, [each, f"{each}:set", f"{each}:stream", f"{each}:hash", *other], [_READY_KEPT_MS]
            )
            self._connection.run("ping", step, replicated=True)

    def examine(self) -> ServerProperties:
        """Read the properties of the server; of a cluster, those of a random node.

        Raises:
            StoreUnavailable
        """
        with self._connection.using("examine") as client:
            where = self._connection.topology.any_node
            asked = time()
            seconds, microseconds = client.time(**where)
            ahead = seconds + microseconds / 1e6 - (asked + time()) / 2
            version = eviction = ""
            # The user of config/redis.conf may not run INFO and CONFIG.
            with suppress(RedisError):
                told = client.info("server", **where)
                version = str(told.get("valkey_version") or told.get("redis_version", ""))
            with suppress(RedisError):
                eviction = str(client.config_get("maxmemory-policy", **where).get("maxmemory-policy", ""))
        return ServerProperties(version, ahead, eviction)
