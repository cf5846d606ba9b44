"""Write docs/sizing.md: ``python -m development.sizing``. With ``simulate``, simulate the faults again before (5 minutes)."""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from development.sizing import scenarios
from development.sizing.model import Shape
from development.sizing.page import RESULTS, load, write
from development.sizing.plan import HALF, plan
from development.stack import ROOT

PER_SECOND = 10_000
SHARES = (0.7, 0.9)
"""Shares of the CPU that are used before the fault, besides half."""
OF_SHARES = ("silent", "all")
"""Scenarios that are simulated at each of them."""


def main() -> None:
    """Simulate if asked to, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m development.sizing", description="Write docs/sizing.md.")
    parser.add_argument("what", nargs="?", choices=["simulate"], help="simulate the faults before")
    if parser.parse_args().what == "simulate":
        found = simulate()
        kept = {"command": "python -m development.sizing simulate", "machine": _machine(), "found": found}
        (RESULTS / "simulation.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    write()


def simulate() -> dict[str, Any]:
    """Simulate each fault at half load, some at higher loads, and one process to compare with the measured one."""
    costs, faults, waiting = (load(name)["found"] for name in ("costs", "faults", "waiting"))
    servers = plan(costs, PER_SECOND, waiting["kb_each"]).redis_servers
    shipped = scenarios.shape_of(costs, faults, PER_SECOND, servers)
    spread = replace(shipped, spread=True)
    runs = {("shipped", name): shipped for name in scenarios.SCENARIOS}
    runs |= {("spread", name): spread for name in scenarios.SCENARIOS if name != "lists"}
    runs |= {("breaker_first", name): replace(spread, breaker_first=True) for name in ("slow", "silent")}
    for share in SHARES:
        # More CPU for each request instead of fewer processes, because only whole processes are simulated.
        busy = replace(spread, cpu={name: each * share / HALF for name, each in spread.cpu.items()})
        runs |= {(str(share), name): busy for name in OF_SHARES}
    runs["larger_part", "all"] = replace(spread, parts=shipped.parts // 4)
    found: dict[str, Any] = {"per_second": PER_SECOND, "servers": servers, "parts": shipped.parts}
    with ProcessPoolExecutor(4) as pool:
        done = pool.map(run, (name for _, name in runs), runs.values())
        for (kind, name), each in zip(runs, done, strict=True):
            print(f"{kind}: {scenarios.SCENARIOS[name].told}", file=sys.stderr, flush=True)
            found.setdefault(kind, {})[name] = each
    shares = {str(HALF): found["spread"]} | {str(share): found.pop(str(share)) for share in SHARES}
    found["utilisation"] = {
        share: {name: each[name]["seconds_to_recover"] for name in OF_SHARES}
        for share, each in shares.items()
    }
    found["larger_part"] = found["larger_part"]["all"]
    found["comparison"] = compare(costs, faults)
    return found


def run(name: str, shape: Shape) -> dict[str, Any]:
    """Simulate one scenario, and return what it shows."""
    scenario = scenarios.SCENARIOS[name]
    return scenarios.found(scenario, scenario.run(shape))


def compare(costs: dict[str, Any], faults: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return what one process did in a real run, and in the simulation of that run."""
    found = {}
    for kind, told in (("one_server", "one server"), ("cluster", "a cluster")):
        # Other programs share the cores, so compare the journeys for each second of the process's own CPU.
        real = 1000 / costs[kind]["cpu_ms_at_full_load"]["api"]
        simulated = scenarios.capacity(costs, kind)
        found[f"journeys for a second of CPU, {told}"] = {"measured": real, "simulated": simulated}
    hangs = scenarios.provider_hangs(costs, faults)
    for name, told in (("orders_sent", "orders sent"), ("orders_refused", "orders refused")):
        real = faults["provider_hangs"][name]
        found[f"{told} while the provider hangs"] = {"measured": real, "simulated": hangs[name]}
    reads = scenarios.master_hangs(costs, faults)
    for group, told in (("of_its_numbers", "its numbers"), ("of_other_numbers", "other numbers")):
        for status in ("200", "503"):
            found[f"reads of {told} answered {status} while a master hangs"] = {
                "measured": faults["master_hangs"][group]["answers"].get(status, 0),
                "simulated": reads[group].get(status, 0),
            }
    return found


def _machine() -> Any:
    """Describe this machine, in a process of its own, because the benchmarks patch the standard library with gevent."""
    code = "import json; from benchmarks.subject import machine; print(json.dumps(machine()))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


if __name__ == "__main__":
    main()
