"""Run console transcripts of the documentation and compare their output with what the page shows."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- end of output ---"


@dataclass
class Line:
    """A command of a page, and the output that the page shows for it."""

    command: str
    expected: str
    output: str = ""


def lines_of(page: Path) -> list[Line]:
    """Return the commands of a page: lines that begin with ``$``, with those that a backslash continues."""
    found: list[Line] = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for text in block.replace("\\\n", " ").splitlines():
            if text.startswith("$ "):
                found.append(Line(text[2:], ""))
            elif text.strip():
                found[-1].expected += text.strip() + "\n"
    return found


def run(lines: list[Line], environ: dict[str, str], directory: Path) -> None:
    """Run the commands in order in one shell, and keep the output of each."""
    script = "\n".join(f"{line.command}\nprintf '\\n%s\\n' '{_END}'" for line in lines)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    outputs = done.stdout.split(f"\n{_END}\n")
    assert len(outputs) == len(lines) + 1, done.stdout + done.stderr
    for line, output in zip(lines, outputs, strict=False):
        line.output = output.strip()


def check(line: Line) -> None:
    """Assert that the output contains what the page shows: each member of a JSON object, or else each line."""
    expected = line.expected.strip()
    if not expected:
        return
    if expected.startswith("{"):
        members = json.loads(expected.replace(", …}", "}").replace("…", ""))
        _contained(members, json.loads(line.output), line)
        return
    for text in expected.splitlines():
        assert text in line.output, f"{line.command}\n{text}\nis not in\n{line.output}"


def _contained(expected: Any, found: Any, line: Line) -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict), line
        for name, value in expected.items():
            assert name in found, f"{line.command}: {name} is missing in {found}"
            _contained(value, found[name], line)
    elif isinstance(expected, str) and re.fullmatch(r"<.*>", expected):
        assert found, f"{line.command}: there is no value for {expected}"
    else:
        assert found == expected, f"{line.command}: {found!r} is not {expected!r}"
