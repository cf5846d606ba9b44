"""Command line of the embedded stack: ``python -m development run | demo | sip-demo | examples``."""

import argparse
import os
import sys
import time
from pathlib import Path

from development.demo import demonstrate
from development.examples import Examples
from development.ports import Ports
from development.processes import StartFailed, end_if_signaled, end_with_parent, note_signals
from development.sip_demo import SipStack
from development.stack import Stack
from development.steps import lines

INTERRUPTED = 130
"""Exit code of shells for a command that Ctrl-C ended."""


def main() -> int:
    """Run the stack until Ctrl-C, or demonstrate one verification."""
    parser = argparse.ArgumentParser(prog="development", description="The embedded stack.")
    parser.add_argument("verb", choices=["run", "demo", "sip-demo", "examples"])
    parser.add_argument(
        "--verbose", action="store_true", help="demo: show each request and the whole of its answer"
    )
    parser.add_argument("--policy", type=Path, help="run: use this policy instead of config/policy.toml")
    asked = parser.parse_args()
    # If make is killed, nothing else would stop the stack.
    end_with_parent()
    note_signals()
    try:
        if asked.verb == "demo":
            return _demo(verbose=asked.verbose)
        if asked.verb == "sip-demo":
            return _sip_demo(verbose=asked.verbose)
        return run(asked.policy) if asked.verb == "run" else examples()
    except StartFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return INTERRUPTED if asked.verb.endswith("demo") else 0


def run(policy: Path | None) -> int:
    """Run the stack until Ctrl-C. Return 1 if a process ended by itself."""
    with Stack(_ports(), {"WAITCALL_POLICY": str(policy.resolve())} if policy else None) as stack:
        print(_where(stack))
        print("Paste these lines; they complete a verification:\n")
        print("\n".join(lines(stack)))
        return _until_it_ends(stack)


def examples() -> int:
    """Run the stack with both examples until Ctrl-C. Return 1 if a process ended by itself."""
    with Examples(_ports()) as stack:
        print(
            f"begin here   {stack.demonstration}\n             a phone to call with, which leads to both examples\n\n"
            f"login        {stack.login}/\nreset        {stack.reset}/  (+79991234567 has an account)\n"
            f"API          {stack.api}/docs\nlogs         {stack.directory}/*.log",
        )
        return _until_it_ends(stack)


def _demo(*, verbose: bool) -> int:
    # Any free ports will do, so that it runs beside `make run`.
    ports = _ports() if os.environ.get("PORT_BASE") else Ports.free()
    print("Starting Valkey, the provider simulator, the service and its worker ...", flush=True)
    with Stack(ports) as stack:
        return 0 if demonstrate(stack, verbose=verbose) else 1


def _sip_demo(*, verbose: bool) -> int:
    print("Starting Valkey, the service, its worker and Kamailio ...", flush=True)
    with SipStack(Ports.free()) as stack:
        return 0 if demonstrate(stack, verbose=verbose, call=stack.call()) else 1


def _ports() -> Ports:
    return Ports.given(os.environ.get("PORT_BASE"))


def _until_it_ends(stack: Stack) -> int:
    print(f"\n{operate(stack)}\n\nCtrl-C stops everything.", flush=True)
    while (ended := stack.processes.ended()) is None:
        end_if_signaled()
        time.sleep(0.1)
    print(f"{ended} ended by itself:\n{stack.processes.output(ended)[-2000:]}", file=sys.stderr)
    return 1


def operate(stack: Stack) -> str:
    """Tell how to get the ``waitcall`` command for this stack into a shell."""
    return (
        "Paste this line into a shell to operate this stack by `waitcall doctor`, `waitcall explain NUMBER` and all\n"
        f'other commands:\n\nexport PATH="{stack.commands}:$PATH"'
    )


def _where(stack: Stack) -> str:
    return "\n".join(
        (
            f"API         {stack.api}/docs  (and /openapi.json)",
            f"callback    {stack.callback}/callbacks/smsc",
            *(f"            {each}" for each in stack.own.callbacks),
            f"operations  {stack.ops}/metrics  /livez  /readyz  /version",
            f"worker      {stack.worker_ops}/metrics",
            f"handset     {stack.control}/  (dial as a subscriber, in the browser)",
            f"logs        {stack.directory}/*.log",
            "",
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
