"""Fault plans of a provider: which faults the next requests meet, and in which order."""

from collections import deque
from dataclasses import dataclass
from typing import Any

KINDS = (
    "hang",  # accept, send nothing until released
    "drip",  # one byte a second
    "reset",  # close without an answer
    "status",  # HTTP status `value`
    "html",  # 200 with an HTML page
    "half",  # half a JSON document
    "empty",  # 200 with an empty body
    "error",  # error code `value`
    "premium",  # a number whose calls cost extra
    "answer",  # the body `value`, unchanged
    "lost",  # in send.php: take the message, close without an answer
    "slow",  # wait `value` seconds, then answer normally
)


@dataclass(frozen=True)
class Fault:
    """Fault of one request: one of ``KINDS``, and its value."""

    kind: str
    value: Any = None


class FaultPlan:
    """Queue of faults for the next requests, and optionally a fault for all later ones."""

    def __init__(self) -> None:
        self._queue: deque[Fault | None] = deque()
        self._always: Fault | None = None

    def load(self, steps: list[dict[str, Any]], always: dict[str, Any] | None) -> None:
        """Replace the plan.

        Args:
            steps: the fault of each request, in order; ``{"kind": "none"}`` for a request without a fault.
            always: the fault of all requests after them.

        Raises:
            ValueError: for an unknown kind.
        """
        queue = deque(_fault(step) for step in steps)
        self._always = _fault(always) if always else None
        self._queue = queue

    def next(self) -> Fault | None:
        """Take the fault of the current request from the plan; None for no fault."""
        return self._queue.popleft() if self._queue else self._always


def _fault(step: dict[str, Any]) -> Fault | None:
    kind = step.get("kind")
    if kind == "none":
        return None
    if kind not in KINDS:
        raise ValueError(f"kind must be one of none, {', '.join(KINDS)}")
    return Fault(str(kind), step.get("value"))
