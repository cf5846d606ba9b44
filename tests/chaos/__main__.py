"""Run every topology (``python -m tests.chaos``), print the table and write it into docs/reliability.md."""

import platform
import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

from tests.chaos.storm import Report, Run, storm
from tests.chaos.tally import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- printed by make chaos -->", "<!-- end -->"
TOPOLOGIES = {
    "single": "one server",
    "sentinel": "Sentinel, one replica",
    "cluster": "cluster, 3 + 3",
}
WITHOUT = "one server, no reconciliation"


def main() -> int:
    """Run the storms and return the exit code.

    The code is 1 when a promise was broken. It is also 1 when the run without reconciliation lost
    nothing: then the storm was too gentle to prove anything.
    """
    parser = ArgumentParser(prog="make chaos")
    parser.add_argument("--count", type=int, default=1700, help="verifications in each topology")
    parser.add_argument("--only", choices=TOPOLOGIES, help="run one topology and do not write the page")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-reconciliation", action="store_true")
    asked = parser.parse_args()
    base = Run("single", asked.count, asked.seed, reconciliation=not asked.no_reconciliation)
    if asked.only:
        runs = {TOPOLOGIES[asked.only]: replace(base, topology=asked.only)}
    else:
        runs = {title: replace(base, topology=name) for name, title in TOPOLOGIES.items()}
        runs[WITHOUT] = replace(base, count=asked.count // 4, reconciliation=False)
    reports = {}
    for title, run in runs.items():
        reports[title] = storm(run)
        _say(f"{title}: {reports[title].mischief}\n  {reports[title].answers}\n  {reports[title].broken}")
    told = _told(reports, asked.count, asked.seed)
    _say(told)
    if not asked.only:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{told}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return _verdict(reports)


def _verdict(reports: dict[str, Report]) -> int:
    lossless = [title for title, each in reports.items() if title == WITHOUT and not each.tally.lost]
    broken = {title: each.tally.broken for title, each in reports.items() if title != WITHOUT}
    for title, promises in broken.items():
        if promises:
            _say(f"BROKEN in {title}: {promises}")
    return 1 if lossless or any(broken.values()) else 0


def _told(reports: dict[str, Report], count: int, seed: int) -> str:
    counts = table({title: each.tally for title, each in reports.items()})
    kinds = sorted({kind for each in reports.values() for kind in each.mischief})
    lines = ["| failure | " + " | ".join(reports) + " |", "|---|" + "---:|" * len(reports)]
    for kind in kinds:
        times = (str(each.mischief.get(kind, "")) for each in reports.values())
        lines += [f"| {kind} | {' | '.join(times)} |"]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    where = f"{platform.system()} {platform.machine()}, {_cores()} cores, Python {platform.python_version()}, Valkey 9"
    asked = f"`python -m tests.chaos --count {count} --seed {seed}`"
    return "\n".join([counts, "", *lines, "", f"{asked} on {where}, at commit {commit.stdout.strip()}.", ""])


def _cores() -> int:
    return Path("/proc/cpuinfo").read_text(encoding="utf-8").count("processor\t")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
