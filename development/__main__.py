"""Command line of the embedded stack: ``python -m development run | demo | examples``."""

import json
import secrets
import signal
import sys
import time

from development.examples import Examples
from development.processes import StartFailed, end_with_parent
from development.stack import Ports, Stack
from development.steps import lines, steps

CREATED, OK, CONFLICT = 201, 200, 409


def main() -> int:
    """Run the stack until Ctrl-C, or demonstrate one verification."""
    verbs = {"run": run, "demo": demo, "examples": examples}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:  # noqa: PLR2004  the program's name and one argument
        print(f"usage: python -m development {' | '.join(verbs)}", file=sys.stderr)
        return 2
    # If make is killed, nothing else would stop the stack.
    end_with_parent()
    # A shell starts background jobs with SIGINT ignored, and Python would leave it so.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return verbs[sys.argv[1]]()
    except StartFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


def run() -> int:
    """Run the stack on its usual ports until Ctrl-C. Return 1 if a process ended by itself."""
    with Stack(Ports()) as stack:
        print(_where(stack))
        print("Paste these lines; they complete a verification:\n")
        print("\n".join(lines(stack)))
        print("\nCtrl-C stops everything.", flush=True)
        while (ended := stack.processes.ended()) is None:
            time.sleep(0.5)
        print(f"{ended} ended by itself:\n{stack.processes.output(ended)[-2000:]}", file=sys.stderr)
    return 1


def examples() -> int:
    """Run the stack with both examples until Ctrl-C. Return 1 if a process ended by itself."""
    with Examples(Ports()) as stack:
        print(
            f"begin here   {stack.demonstration}\n             shows a phone and opens the login beside it: Continue, then Call\n\n"
            f"login        {stack.login}/\nreset        {stack.reset}/  (+79991234567 has an account)\n"
            f"handset      {stack.control}/\nlogs         {stack.directory}/*.log\n\nCtrl-C stops everything.",
            flush=True,
        )
        while (ended := stack.processes.ended()) is None:
            time.sleep(0.5)
        print(f"{ended} ended by itself:\n{stack.processes.output(ended)[-2000:]}", file=sys.stderr)
    return 1


def demo() -> int:
    """Run one verification on a fresh stack. Return 0 only if it was verified, and consumed exactly once."""
    with Stack(Ports.free()) as stack:
        create, dial, read, consume = steps(stack)
        found = {"reference": secrets.token_urlsafe(16)}
        outcomes = []
        for step in (create, dial, read, consume, consume):
            print(f"# {step.title}\n{step.curl()}", flush=True)
            status, answer = step.perform(found)
            print(f"{status} {json.dumps(answer, indent=2)}\n", flush=True)
            outcomes.append((status, answer.get("status")))
            if step is create and status == CREATED:
                found |= {"id": answer["id"], "number": answer["call"]["number"]}
    expected = [(CREATED, "pending"), (OK, None), (OK, "verified"), (OK, "consumed"), (CONFLICT, CONFLICT)]
    if outcomes != expected:
        print(f"The demo failed: got {outcomes}, expected {expected}", file=sys.stderr)
        return 1
    print("Verified by a call, and consumed once; the second consume was refused.")
    return 0


def _where(stack: Stack) -> str:
    return "\n".join(
        (
            f"API         {stack.api}/docs  (and /openapi.json)",
            f"callback    {stack.callback}/callbacks/smsc",
            f"operations  {stack.ops}/metrics  /livez  /readyz  /version",
            f"worker      {stack.worker_ops}/metrics",
            f"handset     {stack.control}/  (dial as a subscriber, in the browser)",
            f"logs        {stack.directory}/*.log",
            "",
        ),
    )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
