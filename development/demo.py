"""``make demo``: one verification, step by step, with a line for each."""

import json
import os
import secrets
import sys
import time
from typing import Any

from development.processes import end_if_signaled
from development.stack import Stack
from development.steps import Step, filled, steps

SUBSCRIBER = "+79991234567"
GREEN, RED, DIM, PLAIN = "32", "31", "2", "0"


def demonstrate(stack: Stack, *, verbose: bool, call: Step | None = None) -> bool:
    """Perform the steps, with ``call`` instead of the simulated call. Return whether the number was verified by the call, and consumed exactly once."""
    # A terminal whose encoding lacks the marks shows question marks in their places.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a test may have replaced it
    began = time.monotonic()
    found = {"phone": SUBSCRIBER, "reference": secrets.token_urlsafe(16)}
    first, dial, *rest = steps(stack)
    for step in (first, call or dial, *rest):
        end_if_signaled()
        status, answer = step.perform(found)
        sound = _tell(step, found, status, answer, verbose=verbose)
        if not sound:
            print("The demo failed at this step.", file=sys.stderr)
            return False
        if "call" in answer and "id" not in found:
            found |= {"id": answer["id"], "number": answer["call"]["number"]}
    print(f"\nVerified by a call, and consumed once, in {time.monotonic() - began:.1f} seconds.")
    return True


def _tell(step: Step, found: dict[str, str], status: int, answer: dict[str, Any], *, verbose: bool) -> bool:
    """Print what a step did. Return whether it is what was expected."""
    _, member, _ = step.expected
    sound = (status, member, answer.get(member)) == step.expected
    mark = painted("✓", GREEN) if sound else painted("✗", RED)
    outcome = "the provider reported the call" if member == "reported" else answer.get(member)
    if answer.get("status") == "verified":
        outcome = f"{outcome}, assurance {answer['assurance']}"
    print(f"{mark} {filled(step.title, found):<42} {painted(f'{status} {outcome}', DIM)}", flush=True)
    if verbose or not sound:
        print(
            painted(f"{step.curl()}\n{json.dumps(answer, indent=2, ensure_ascii=False)}\n", DIM), flush=True
        )
    return sound


def painted(text: str, colour: str) -> str:
    """Return the text in a colour, if a person looks at it and wants colours (no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{colour}m{text}\033[{PLAIN}m"
