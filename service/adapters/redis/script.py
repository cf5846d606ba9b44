"""Run a script by its hash, and send its text where a server does not know it yet."""

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from service.adapters.redis.scripts import source


class Script:
    """One Lua script. All of its keys share one cluster slot."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._text = source(name)
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """The script's answer. EVAL both runs and caches it, also on a node that just restarted."""
        try:
            return client.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.eval(self._text, len(keys), *keys, *args)

    def queue(
        self, pipeline: Any, keys: Sequence[str], args: Sequence[str | bytes | int], *, known: bool
    ) -> None:
        """Into a pipeline to one node: by hash, or by text where the node has not ``known`` it."""
        command = pipeline.evalsha if known else pipeline.eval
        command(self._sha if known else self._text, len(keys), *keys, *args)
