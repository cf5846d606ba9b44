"""Run a script by its hash, and send its text where a server does not know it yet."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from service.adapters.redis.connection import Connection
from service.adapters.redis.scripts import source

Args = Sequence[str | bytes | int]


class Script:
    """One Lua script. On a cluster, all of its keys share one slot."""

    def __init__(self, name: str, text: str | None = None) -> None:
        """``text``: of a script that is no file."""
        self.name = name
        self.text = source(name) if text is None else text
        self._sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], args: Args) -> Any:
        """The script's answer. EVAL both runs and caches it, also on a node that just restarted."""
        try:
            return client.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *args)

    def queue(self, pipeline: Any, keys: Sequence[str], args: Args, *, known: bool, **route: Any) -> None:
        """Put it into a pipeline, by hash, or by text where the server may not have ``known`` it.

        ``route``: the topology's, of the first key.
        """
        named = ("EVALSHA", self._sha) if known else ("EVAL", self.text)
        # The methods of a cluster's pipeline refuse scripts; the commands go through.
        pipeline.execute_command(*named, len(keys), *keys, *args, **route)


class Step(NamedTuple):
    """One script with what it is given."""

    script: Script
    keys: Sequence[str]
    args: Args

    def __repr__(self) -> str:
        return f"Step({len(self.keys)} keys)"


def run_all(
    connection: Connection, client: Any, steps: Sequence[Step], *, raise_on_error: bool = True
) -> list[Any]:
    """The answers of steps that have nothing to do with each other, in one round trip to each server.

    ``raise_on_error``: False puts errors of the server among the answers.

    Raises:
        RedisError, RedisClusterException, OSError: of the first that failed; others may have run.
    """
    pipeline = client.pipeline(transaction=False)
    for step in steps:
        # Whether a node of a cluster knows a script is known to nobody; elsewhere the text is small beside the rest.
        route = connection.topology.route(client, step.keys[0])
        step.script.queue(pipeline, step.keys, step.args, known=False, **route)
    answers: list[Any] = pipeline.execute(raise_on_error=raise_on_error)
    return answers


def read_all(client: Any, keys: Sequence[str]) -> list[bytes | None]:
    """The values of many keys, in one round trip to each server."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    values: list[bytes | None] = pipeline.execute()
    return values
