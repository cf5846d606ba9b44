"""Lua scripts, one file each in ``scripts/``, and the combination of several as one.

Keys come through KEYS (``latest.lua`` derives one more), and every key gets a TTL.
"""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

Arg = str | bytes | int
Args = Sequence[Arg]

_PARTS = ("audit", "claim", "count_conversion", "replace", "reserve", "schedule", "spends", "uncount")
"""Scripts that can run as parts of ``batch.lua``."""


def source(name: str) -> str:
    """Return the text of ``scripts/name.lua`` without the comments at the beginning of a line."""
    text = files(__package__).joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


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

    def queue(
        self, pipeline: Any, keys: Sequence[str], args: Args, *, known: bool = False, **route: Any
    ) -> None:
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


def batch(steps: Sequence[Step]) -> Step:
    """Combine several steps into one, which runs the others only if the first changes something."""
    keys: list[str] = []
    shape: list[Arg] = [len(steps)]
    args: list[Arg] = []
    for step in steps:
        keys += step.keys
        shape += (step.script.name, len(step.keys), len(step.args))
        args += step.args
    return Step(_BATCH, keys, shape + args)
