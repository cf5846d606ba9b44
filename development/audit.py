"""Check the lock files: ask pip-audit for known vulnerabilities, and require a version and a hash on every line.

The check fails for a known vulnerability, for a line without version and hash, and if pip-audit cannot be run. It does not
fail for packages without data (on an isolated network, or with a mirror that has none). It names them in a banner at the
end, and in the summary that `make check` and CI print last.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = ROOT / "build" / "audit.txt"
SECONDS = 300
"""Longest time to audit one lock file."""


@dataclass
class Audit:
    """Result of asking about one lock file's packages."""

    packages: set[str]
    asked: set[str] = field(default_factory=set)
    weaknesses: list[str] = field(default_factory=list)
    reason: str = "no data on them here"

    @property
    def missing(self) -> set[str]:
        """Packages for which there was no vulnerability data."""
        return self.packages - self.asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Check all lock files, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m development.audit", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the lock files")
    parser.add_argument("--summary", type=Path, default=SUMMARY, help="file that also gets the last line")
    parser.add_argument(
        "--pip-audit", default=str(Path(sys.executable).with_name("pip-audit")), help="path of pip-audit"
    )
    parser.add_argument("--timeout", type=float, default=SECONDS, help="most seconds for one lock file")
    given = parser.parse_args(arguments)

    locks = sorted(given.root.glob("requirements*.txt"))
    texts = {lock: lock.read_text(encoding="utf-8") for lock in locks}
    loose = [f"{lock.name}: {line}" for lock, text in texts.items() for line in loose_lines(text)]
    for line in loose:
        print(f"not pinned by version and hash: {line}")
    if loose or not locks:
        return _end(given.summary, f"FAILED: {len(loose)} lines not pinned in {len(locks)} lock files.", 1)
    audits: dict[str, Audit] = {}
    for lock, text in texts.items():
        try:
            audit = audited(lock, packages_of(text), given.pip_audit, given.timeout)
        except OSError as error:
            return _end(given.summary, f"FAILED: pip-audit cannot be run ({error.strerror}).", 1)
        audits[lock.name] = audit
        for line in audit.weaknesses:
            print(f"{lock.name}: {line}")
    return _end(given.summary, *_verdict(audits))


def _verdict(audits: dict[str, Audit]) -> tuple[str, int]:
    packages = set[str]().union(*(each.packages for each in audits.values()))
    missing = set[str]().union(*(each.missing for each in audits.values()))
    weaknesses = {line for each in audits.values() for line in each.weaknesses}
    parts = []
    if weaknesses:
        parts.append(f"FAILED: {len(weaknesses)} known vulnerabilities in the locked dependencies.")
    if missing:
        reasons = "; ".join(sorted({each.reason for each in audits.values() if each.missing}))
        named = ", ".join(sorted(missing)[:5]) + (", …" if len(missing) > 5 else "")  # noqa: PLR2004  as many as fit on a line
        parts.append(
            f"NOT AUDITED: {len(missing)} of {len(packages)} locked packages ({named}): {reasons}. "
            "Their pins and hashes were checked."
        )
    if not parts:
        parts.append(f"Audited: {len(packages)} locked packages, no known vulnerabilities.")
    return " ".join(parts), int(bool(weaknesses))


def _end(summary: Path, line: str, status: int) -> int:
    """Print the summary with a rule around it unless all is well, write it to a file, and return the status."""
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(f"{line}\n", encoding="utf-8")
    rule = "" if line.startswith("Audited") else f"{'=' * 79}\n"
    sys.stdout.flush()
    sys.stderr.write(f"{rule}{line}\n{rule}")
    return status


def _lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def loose_lines(text: str) -> list[str]:
    """List the requirements without a version or a hash, which another artefact could replace unnoticed."""
    return [
        line.split()[0]
        for line in _lines(text)
        if not re.match(r"[A-Za-z0-9._\[\],-]+==[^ ;]+", line) or "--hash=sha256:" not in line
    ]


def packages_of(text: str) -> set[str]:
    """Return the names of the packages that would be installed on this platform."""
    requirements = [Requirement(line.partition(" --hash")[0]) for line in _lines(text)]
    return {
        canonicalize_name(each.name) for each in requirements if each.marker is None or each.marker.evaluate()
    }


def audited(lock: Path, packages: set[str], program: str, seconds: float) -> Audit:
    """Run pip-audit on one lock file.

    Raises:
        OSError: if pip-audit cannot be started.
    """
    audit = Audit(packages)
    command = [
        program,
        *("-r", str(lock), "--require-hashes", "--disable-pip"),
        *("--format", "json", "--progress-spinner", "off", "--timeout", "15"),
    ]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        audit.reason = f"no answer in {seconds:g} s"
        return audit
    try:
        for each in json.loads(ended.stdout)["dependencies"]:
            if "vulns" not in each:
                continue
            for weakness in each["vulns"]:
                fixed = ", ".join(weakness.get("fix_versions") or ["no version yet"])
                audit.weaknesses.append(
                    f"{each['name']} {each.get('version')}: {weakness.get('id')}, fixed in {fixed}"
                )
            audit.asked.add(canonicalize_name(each["name"]))
    except (ValueError, KeyError, TypeError):
        # Entries before the broken one still count, so a vulnerability among them fails the check.
        said = (ended.stderr.strip().splitlines() or ["no error message"])[-1]
        audit.reason = f"no readable answer ({said[:120]})"
    return audit


if __name__ == "__main__":
    sys.exit(main())
