"""Fault plans for the provider's door: what goes wrong next, how often, in which order."""

from collections import deque
from dataclasses import dataclass
from typing import Any

KINDS = (
    "hang",  # accept, say nothing until released
    "drip",  # one byte a second
    "reset",  # close without an answer
    "status",  # HTTP status `value`
    "html",  # 200 with a page
    "half",  # half a JSON document
    "empty",  # 200 with nothing
    "error",  # error code `value`
    "premium",  # a number that charges
    "answer",  # the body `value`, as it stands
    "lost",  # of send.php: take the message, close without an answer
    "slow",  # wait `value` seconds, then answer as ever
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    value: Any = None


class FaultPlan:
    """A queue of faults; the last may stay for good."""

    def __init__(self) -> None:
        self._queue: deque[Fault | None] = deque()
        self._always: Fault | None = None

    def load(self, steps: list[dict[str, Any]], always: dict[str, Any] | None) -> None:
        """Replace the plan.

        Args:
            steps: one per request, in order; ``{"kind": "none"}`` lets one pass.
            always: for all requests after them.

        Raises:
            ValueError: an unknown kind.
        """
        queue = deque(_fault(step) for step in steps)
        self._always = _fault(always) if always else None
        self._queue = queue

    def next(self) -> Fault | None:
        """What happens to the request at hand."""
        return self._queue.popleft() if self._queue else self._always


def _fault(step: dict[str, Any]) -> Fault | None:
    kind = step.get("kind")
    if kind == "none":
        return None
    if kind not in KINDS:
        raise ValueError(f"kind must be one of none, {', '.join(KINDS)}")
    return Fault(str(kind), step.get("value"))
