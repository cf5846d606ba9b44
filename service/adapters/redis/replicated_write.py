"""Scripts whose effect is acknowledged only when enough replicas have it (WAIT), so that a fail-over keeps it."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError

from service.adapters.redis.connection import TooFewReplicas
from service.adapters.redis.script import Args, Script
from service.adapters.redis.topology import Topology

WAIT_MS = 300
"""Shorter than a cluster socket's timeout, or an answer would be taken for an outage; replicas nearby answer within a few."""
_REDIRECTIONS = 3


class ReplicatedWrite:
    """Runs scripts. Where replicas are asked for, script and WAIT go in one round trip on one connection."""

    def __init__(self, topology: Topology, min_replicas: int) -> None:
        self._topology = topology
        self._min_replicas = min_replicas

    @property
    def asks(self) -> bool:
        """True where it waits for any replica."""
        return self._min_replicas > 0

    def run(self, client: Any, script: Script, keys: Sequence[str], args: Args) -> Any:
        """Run a script and return its answer. It must write whenever it says what must not be lost.

        Raises:
            TooFewReplicas: it may not survive a fail-over.
        """
        if not self._min_replicas:
            return script.run(client, keys, args)
        known = True
        for _ in range(_REDIRECTIONS):
            answer, replicas = self._attempt(client, script, keys, args, known=known)
            if isinstance(answer, NoScriptError):
                known = False
                continue
            if isinstance(answer, MovedError | AskError | ClusterDownError):
                self._topology.look_again(client)
                continue
            for each in (answer, replicas):
                if isinstance(each, Exception):
                    raise each
            if replicas < self._min_replicas:
                raise TooFewReplicas(f"{replicas} of {self._min_replicas}")
            return answer
        raise TooFewReplicas("The slot is on the move.")

    def _attempt(
        self,
        client: Any,
        script: Script,
        keys: Sequence[str],
        args: Args,
        *,
        known: bool,
    ) -> list[Any]:
        _, node = self._topology.server_of(client, keys[0])
        pipeline = node.pipeline(transaction=False)
        script.queue(pipeline, keys, args, known=known)
        pipeline.wait(self._min_replicas, WAIT_MS)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers
