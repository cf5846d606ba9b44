"""Execution of Lua scripts: alone, several as one, or replicated, so that their writes survive a fail-over."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, ResponseError

from waitcall.adapters.redis.connection import OUTAGES, Connection, TooFewReplicas
from waitcall.adapters.redis.scripts import source

Args = Sequence[str | bytes | int]

WAIT_MS = 300
"""Longest wait for replicas. It must be shorter than a cluster's socket timeout, or it would look like an outage."""
_REDIRECTIONS = 3
_PARTS = ("audit", "claim", "count_conversion", "replace", "reserve", "schedule", "spends", "uncount")
"""Scripts that can run as parts of ``batch.lua``."""
_HAPPENED = (1, 2, b"done", b"again")


class Script:
    """A Lua script. On a cluster, all keys of one run must share a slot."""

    def __init__(self, name: str, text: str | None = None) -> None:
        """``text``: None reads the file ``name.lua``."""
        self.name = name
        self.text = source(name) if text is None else text
        self._sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], args: Args) -> Any:
        """Run the script by its hash and return its answer. If the server does not know the hash, send the text."""
        try:
            return client.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *args)

    def queue(self, pipeline: Any, keys: Sequence[str], args: Args, *, known: bool, **route: Any) -> None:
        """Add the script to a pipeline.

        Args:
            pipeline: the pipeline of a client.
            keys: keys of the script.
            args: arguments of the script.
            known: True to send the script's hash; False to send its text, because the server may not know the hash.
            route: options that tell a cluster's pipeline the node (``Topology.route``).
        """
        named = ("EVALSHA", self._sha) if known else ("EVAL", self.text)
        # A cluster's pipeline does not allow its methods for scripts, but it sends the commands.
        pipeline.execute_command(*named, len(keys), *keys, *args, **route)


class Step(NamedTuple):
    """A script with its keys and arguments."""

    script: Script
    keys: Sequence[str]
    args: Args

    def __repr__(self) -> str:
        return f"Step({len(self.keys)} keys)"


def _composed() -> str:
    functions = (f"scripts['{name}'] = function(KEYS, ARGV)\n{source(name)}\nend" for name in _PARTS)
    return "\n".join(["local scripts = {}", *functions, source("batch")])


_BATCH = Script("batch", _composed())


class ScriptRunner:
    """Runs steps, replicated if need be."""

    def __init__(self, connection: Connection, min_replicas: int = 0) -> None:
        """``min_replicas``: number of replicas that must confirm a replicated step."""
        self._connection = connection
        self._min_replicas = min_replicas

    @property
    def waits(self) -> bool:
        """True if replicated steps wait for replicas."""
        return self._min_replicas > 0

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
        with self._connection.using(operation) as client:
            return (
                self._replicated(client, step)
                if replicated and self.waits
                else step.script.run(client, *step[1:])
            )

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
        one_server = self._connection.topology.one_server
        step = _batch(first, others) if others and one_server else first
        with self._connection.using(operation) as client:
            answer = (
                self._replicated(client, step)
                if replicated and self.waits
                else step.script.run(client, *step[1:])
            )
            if step is first:
                follow = others and answer in _HAPPENED
                return [answer, *(self._behind(client, others) if follow else ())]
        pairs = zip(answer[1:], others, strict=False)
        # An int is never an error, so skip the check.
        return [
            answer[0],
            *[each if type(each) is int else self._counted(each, step) for each, step in pairs],
        ]

    def _replicated(self, client: Any, step: Step) -> Any:
        """Run a step and WAIT on one connection, in one round trip."""
        topology, known = self._connection.topology, True
        for _ in range(_REDIRECTIONS):
            _, node = topology.server_of(client, step.keys[0])
            pipeline = node.pipeline(transaction=False)
            step.script.queue(pipeline, step.keys, step.args, known=known)
            pipeline.wait(self._min_replicas, WAIT_MS)
            answer, replicas = pipeline.execute(raise_on_error=False)
            if isinstance(answer, NoScriptError):
                known = False
                continue
            if isinstance(answer, MovedError | AskError | ClusterDownError):
                topology.look_again(client)
                continue
            for each in (answer, replicas):
                if isinstance(each, Exception):
                    raise each
            if replicas < self._min_replicas:
                raise TooFewReplicas(f"{replicas} of {self._min_replicas}")
            return answer
        raise TooFewReplicas("The slot is being moved to another node.")

    def _behind(self, client: Any, steps: Sequence[Step]) -> list[Any]:
        try:
            answers = run_all(self._connection, client, steps, raise_on_error=False)
        except OUTAGES as error:
            answers = [error] * len(steps)
        return list(map(self._counted, answers, steps))

    def _counted(self, answer: Any, step: Step) -> Any:
        if isinstance(answer, bytes) and answer.startswith(b"ERR "):
            answer = ResponseError(answer[4:].decode(errors="replace"))
        if not isinstance(answer, Exception):
            return answer
        self._connection.failed(step.script.name, answer)
        return None


def _batch(first: Step, others: Sequence[Step]) -> Step:
    """Combine several steps into one."""
    keys: list[str] = []
    shape: list[str | bytes | int] = [1 + len(others)]
    args: list[str | bytes | int] = []
    for step in (first, *others):
        keys += step.keys
        shape += (step.script.name, len(step.keys), len(step.args))
        args += step.args
    return Step(_BATCH, keys, shape + args)


def run_all(
    connection: Connection, client: Any, steps: Sequence[Step], *, raise_on_error: bool = True
) -> list[Any]:
    """Run independent steps in one round trip to each server, and return their answers.

    ``raise_on_error``: False to return the server's errors among the answers.

    Raises:
        RedisError, RedisClusterException, OSError: the first failure; other steps may have run.
    """
    pipeline = client.pipeline(transaction=False)
    for step in steps:
        # A node may not know the hash, so send the text, which is small.
        route = connection.topology.route(client, step.keys[0])
        step.script.queue(pipeline, step.keys, step.args, known=False, **route)
    answers: list[Any] = pipeline.execute(raise_on_error=raise_on_error)
    return answers


def read_all(client: Any, keys: Sequence[str]) -> list[bytes | None]:
    """Return the values of many keys, in one round trip to each server."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    values: list[bytes | None] = pipeline.execute()
    return values
