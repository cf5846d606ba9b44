"""A change and what comes of it: one script where one server has everything, else one behind the other.

On one server (also behind Sentinel) either all of it has happened, and once, or nothing has. On a cluster the keys lie in
different slots, which no script may touch together: there what comes of a change may be lost with the process between
two round trips.
"""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from service.adapters.redis.connection import OUTAGES, Connection
from service.adapters.redis.replicated_write import ReplicatedWrite
from service.adapters.redis.script import Args, Script, Step, run_all
from service.adapters.redis.scripts import source

_PARTS = ("audit", "claim", "replace", "reserve", "schedule", "spends", "tally", "uncount")
_HAPPENED = (1, 2, b"done", b"again")


def _composed() -> str:
    functions = (f"scripts['{name}'] = function(KEYS, ARGV)\n{source(name)}\nend" for name in _PARTS)
    return "\n".join(["local scripts = {}", *functions, source("batch")])


_BATCH = Script("batch", _composed())


class ScriptBatch:
    """Runs a step and, if it did something, the others."""

    def __init__(self, connection: Connection, replicated: ReplicatedWrite) -> None:
        """``replicated``: runs steps that must survive a fail-over."""
        self._connection = connection
        self._replicated = replicated

    def run(
        self, operation: str, first: Step, others: Sequence[Step], *, replicated: bool = False
    ) -> list[Any]:
        """Return the answers of the first, and of the others where they ran; None for one of these that failed.

        A failure of the others is counted under ``redis_errors_total`` and not raised: the first has happened.

        Raises:
            StoreUnavailable: the first may not have happened.
        """
        run = self._replicated.run if replicated else _run
        with self._connection.using(operation) as client:
            if not others:
                return [run(client, *first)]
            if not self._connection.topology.one_server:
                answer = run(client, *first)
                return [answer, *self._behind(client, others)] if answer in _HAPPENED else [answer]
            keys: list[str] = []
            shape: list[str | bytes | int] = [1 + len(others)]
            words: list[str | bytes | int] = []
            for step in (first, *others):
                keys += step.keys
                shape += (step.script.name, len(step.keys), len(step.args))
                words += step.args
            answers: list[Any] = run(client, _BATCH, keys, shape + words)
        # An int is never an error, so skip the check.
        pairs = zip(answers[1:], others, strict=False)
        return [
            answers[0],
            *[each if type(each) is int else self._counted(each, step) for each, step in pairs],
        ]

    def _behind(self, client: Any, steps: Sequence[Step]) -> list[Any]:
        try:
            answers = run_all(self._connection, client, steps, raise_on_error=False)
        except OUTAGES as error:
            answers = [error] * len(steps)
        return list(map(self._counted, answers, steps))

    def _counted(self, answer: Any, step: Step) -> Any:
        if not isinstance(answer, Exception) and not (
            isinstance(answer, bytes) and answer.startswith(b"ERR ")
        ):
            return answer
        error = (
            answer if isinstance(answer, Exception) else ResponseError(answer[4:].decode(errors="replace"))
        )
        self._connection.failed(step.script.name, error)
        return None


def _run(client: Any, script: Script, keys: Sequence[str], args: Args) -> Any:
    return script.run(client, keys, args)
