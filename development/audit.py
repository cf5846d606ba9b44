"""Known weaknesses of the locked dependencies, by pip-audit; without its data, the lock files alone are checked.

A weakness fails the check, and so does a lock file with an unpinned or unhashed line. That the data could not be
reached (an isolated network, a mirror without it) is said, and does not fail.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = tuple(sorted(path.name for path in ROOT.glob("requirements*.txt")))


def main() -> int:
    """Exit status."""
    loose = [f"{name}: {line}" for name in LOCKS for line in loose_lines((ROOT / name).read_text())]
    for line in loose:
        print(f"not pinned by version and hash: {line}")
    weak = 0
    for name in LOCKS:
        found, reached = audited(name)
        for line in found:
            print(line)
        weak += len(found)
        print(f"{name}: {reached}")
    return int(bool(loose) or bool(weak))


def loose_lines(text: str) -> list[str]:
    """Requirements that another artefact could stand in for."""
    joined = text.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [
        line.split()[0]
        for line in lines
        if not re.match(r"[A-Za-z0-9._\[\],-]+==[^ ;]+", line) or "--hash=sha256:" not in line
    ]


def audited(name: str) -> tuple[list[str], str]:
    """Weaknesses of one lock file, and how much of it could be asked about."""
    command = [
        str(Path(sys.executable).with_name("pip-audit")),
        *("-r", str(ROOT / name), "--require-hashes", "--disable-pip"),
        *("--format", "json", "--progress-spinner", "off", "--timeout", "15"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    try:
        dependencies = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (ended.stderr.strip().splitlines() or ["no answer"])[-1]
        return (
            [],
            f"the data on weaknesses could not be reached ({reason[:120]}); pins and hashes are checked",
        )
    asked = [each for each in dependencies if "vulns" in each]
    found = [
        f"{each['name']} {each['version']}: {weakness['id']}, fixed in {', '.join(weakness['fix_versions'])}"
        for each in asked
        for weakness in each["vulns"]
    ]
    if not asked:
        return found, f"no data on any of {len(dependencies)} packages here; pins and hashes are checked"
    return found, f"{len(asked)} of {len(dependencies)} packages asked about, {len(found)} weaknesses"


if __name__ == "__main__":
    sys.exit(main())
