"""Measure the service, print a table of the targets, and keep the results as JSON.

python -m benchmarks [--quick] [NAME …]
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import (
    against,
    costs,
    endpoints,
    faults,
    flood,
    growth,
    isolation,
    journeys,
    profiles,
    pythons,
    replicas,
    scripts,
    sip,
    startup,
    waiting,
    workers,
)
from benchmarks.report import write
from benchmarks.subject import machine
from benchmarks.targets import judged
from development.stack import ROOT

RESULTS = ROOT / "benchmarks" / "results"

WHOLE: dict[str, Callable[[], dict[str, Any]]] = {
    "endpoints": lambda: endpoints.measure(rounds=15, requests=400),
    "against": lambda: against.measure(rounds=20, journeys=200),
    "journeys": lambda: journeys.measure(rounds=5, journeys=400),
    "waiting": lambda: waiting.measure(rounds=5, polls=5000, seconds=4),
    "isolation": lambda: isolation.measure(rounds=5, creates=1000, seconds=4),
    "flood": lambda: flood.measure(rounds=5, seconds=10),
    "growth": lambda: growth.measure([1_000, 10_000, 100_000, 1_000_000], rounds=16, requests=200),
    "startup": lambda: startup.measure(rounds=5),
    "scripts": lambda: scripts.measure(requests=100_000),
    "replicas": lambda: replicas.measure([1, 2, 4], rounds=5, journeys=300),
    "workers": lambda: workers.measure(rounds=5, requests=800),
    "profiles": lambda: profiles.measure(requests=4000),
    "pythons": lambda: pythons.measure(rounds=20, journeys=200),
    "sip": lambda: sip.measure(seconds=60),
    "costs": lambda: costs.measure(journeys=600, records=5000),
    "faults": lambda: faults.measure(per_second=10, seconds=30),
}
QUICK: dict[str, Callable[[], dict[str, Any]]] = {
    "endpoints": lambda: endpoints.measure(rounds=2, requests=300),
    "against": lambda: against.measure(rounds=2, journeys=100),
    "journeys": lambda: journeys.measure(rounds=1, journeys=150),
    "waiting": lambda: waiting.measure(rounds=1, polls=1000, seconds=2),
    "isolation": lambda: isolation.measure(rounds=1, creates=200, seconds=2),
    "flood": lambda: flood.measure(rounds=1, seconds=4),
    "growth": lambda: growth.measure([1_000, 20_000], rounds=1, requests=200),
    "startup": lambda: startup.measure(rounds=2),
    "scripts": lambda: scripts.measure(requests=10_000),
    "sip": lambda: sip.measure(seconds=5),
}


def main() -> None:
    """Run the named measurements, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the service.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(WHOLE)}; all if none is named"
    )
    parser.add_argument(
        "--quick", action="store_true", help="measure for under three minutes, and keep no results"
    )
    given = parser.parse_args()
    suite = QUICK if given.quick else WHOLE
    if unknown := set(given.names) - suite.keys():
        parser.error(f"not a measurement: {', '.join(sorted(unknown))}")
    results: dict[str, Any] = {}
    for name in given.names or suite:
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = suite[name]()
        if not given.quick:
            RESULTS.mkdir(exist_ok=True)
            command = f"python -m benchmarks {name}"
            kept = {"command": command, "machine": machine(), "found": results[name]}
            (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    tell(results)
    if not given.quick:
        write(RESULTS, ROOT / "docs")


def tell(results: dict[str, Any]) -> None:
    """Print the table of targets, then all results as one JSON document."""
    for target, value in judged(results):
        sign, word = ("≥" if target.at_least else "≤"), ("met" if target.met(value) else "NOT MET")
        print(
            f"{target.what:<75} {value:>9.2f}{target.unit:<3} {sign} {target.bound:g}{target.unit:<4} {word}"
            + (f" (half of the rounds: {middle})" if (middle := target.middle(results[target.of])) else "")
            + (f" (bare: {target.bare(results[target.of]):.2f})" if target.bare else "")
        )
    print(json.dumps(machine() | {"results": results}))


if __name__ == "__main__":
    main()
