"""Writer of the settings' comments in values.yaml, and of the table in the chart's README: ``python -m development.chart_readme``.

A setting's meaning is that of its declaration. The lines of comment below it say what the chart has to add.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from waitcall.configuration.settings import PREFIX, SETTINGS

CHART = Path(__file__).resolve().parent.parent / "helm" / "waitcall"
BEGIN, END = "<!-- values -->", "<!-- end of values -->"


def described(text: str) -> str:
    """values.yaml with the declared meaning behind the name of each setting."""

    def told(found: re.Match[str]) -> str:
        return f"{found[1]}`{PREFIX}{found[2]}`: {SETTINGS[found[2]].meaning}"

    return re.sub(rf"^( *# -- )`{PREFIX}(\w+)`.*$", told, text, flags=re.MULTILINE)


def rows(text: str) -> list[tuple[str, str, str]]:
    """List name, default and meaning of each value in values.yaml, in order.

    Raises:
        ValueError: for a value without a ``# --`` comment above it.
    """
    found: list[tuple[str, str, str]] = []
    path: list[tuple[int, str]] = []
    meaning = ""
    documented: int | None = None
    values = yaml.safe_load(text)
    for line in text.splitlines():
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if stripped.startswith("# -- "):
            meaning = stripped.removeprefix("# -- ")
            continue
        if not stripped or stripped.startswith("#"):
            meaning += stripped.removeprefix("#") if meaning else ""
            continue
        if documented is not None and indent > documented:
            continue
        documented = None
        path = [each for each in path if each[0] < indent] + [(indent, stripped.partition(":")[0])]
        if meaning:
            name = ".".join(part for _, part in path)
            found.append((name, json.dumps(_at(values, name), ensure_ascii=False), meaning))
            meaning, documented = "", indent
        elif stripped.partition(":")[2].strip():
            raise ValueError(f"{stripped}: no `# --` comment stands above it")
    return found


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values


def table(text: str) -> str:
    """Return the table in Markdown."""
    lines = [f"| `{name}` | `{default}` | {meaning} |" for name, default, meaning in rows(text)]
    return "\n".join(["| value | default | |", "|---|---|---|", *lines])


def filled(readme: str, values: str) -> str:
    """Return the README with a new table between the marks."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(values)}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    values, page = CHART / "values.yaml", CHART / "README.md"
    values.write_text(described(values.read_text(encoding="utf-8")), encoding="utf-8")
    page.write_text(
        filled(page.read_text(encoding="utf-8"), values.read_text(encoding="utf-8")), encoding="utf-8"
    )
    sys.stdout.writelines(f"{each.relative_to(CHART.parent.parent)}\n" for each in (values, page))
