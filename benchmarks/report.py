"""Writer of docs/performance.md and its plots, from the JSON of the last runs."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle

from benchmarks.endpoints import ELSEWHERE
from benchmarks.targets import judged, rounds_of

OF_SIZING = ("costs", "faults", "simulation")
"""Results that docs/sizing.md is made from."""


def write(results: Path, docs: Path) -> None:
    """Write the page and its plots. For a measurement without results the page says "Not measured yet"."""
    kept = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("*.json"))
        if path.stem not in OF_SIZING
    }
    plots = docs / "performance"
    plots.mkdir(exist_ok=True)
    text = (docs / "performance.in.md").read_text(encoding="utf-8")
    parts = {"targets": _targets(kept), "machine": _machine(kept)}
    for name, told in (
        ("endpoints", _endpoints),
        ("against", _against),
        ("journeys", _journeys),
        ("growth", _growth),
        ("scripts", _scripts),
        ("replicas", _replicas),
        ("workers", _workers),
        ("profiles", _profiles),
        ("pythons", _pythons),
        ("sip", _sip),
    ):
        parts[name] = told(kept[name]["found"], plots) if name in kept else "Not measured yet."
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    (docs / "performance.md").write_text(text, encoding="utf-8")


def _targets(kept: Mapping[str, Any]) -> str:
    lines = [
        "| what | target | found | rounds | bare | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    found = {name: each["found"] for name, each in kept.items()}
    for target, value in judged(found):
        bare = f"{target.bare(found[target.of]):.2f}" if target.bare else ""
        sign = "≥" if target.at_least else "≤"
        word = "met" if target.met(value) else "**not met**"
        lines.append(
            f"| {target.what} | {sign} {target.bound:g}{target.unit} | {value:.2f}{target.unit} | {target.middle(found[target.of])} | {bare} | {word} |"
        )
    return "\n".join(lines)


def _machine(kept: Mapping[str, Any]) -> str:
    """Return each machine with its versions, and the commands that ran on it."""
    by_machine: dict[str, list[str]] = {}
    for each in kept.values():
        machine = each["machine"]
        packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
        told = f"| {machine['cpu']}, {machine['cores']} cores | Linux {machine['kernel']}, Python {machine['python']} | {packages} |"
        by_machine.setdefault(told, []).append(f"| `{each['command']}` | {machine['commit']} |")
    return "\n\n".join(
        "\n".join(
            [
                "| machine | system | packages |",
                "|---|---|---|",
                told,
                "",
                "| command | commit |",
                "|---|---|",
                *rows,
            ]
        )
        for told, rows in by_machine.items()
    )


def _endpoints(found: Mapping[str, Any], plots: Path) -> str:
    chart = pygal.HorizontalBar(style=CleanStyle, show_legend=False, height=300, title="requests a second")
    chart.x_labels = list(found)
    chart.add("", [round(each["per_second"]) for each in found.values()])
    _render(chart, plots / "endpoints.svg")
    lines = [
        "| | per second | CPU, ms | p50, ms | p95 | p99 |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {each['per_second']:,.0f} | {each['cpu_ms']:.2f} | "
            + " | ".join(f"{value:.1f}" for value in each["latency_ms"].values())
            + " |"
            for name, each in found.items()
        ),
    ]
    elsewhere = ", ".join(
        f"{name} {statistics.median(rounds_of(name, 'f3')(found)):.2f}" for name in ELSEWHERE
    )
    lines += [
        "",
        f"Throughput ÷ f3 for verifications whose earlier requests another process answered: {elsewhere}.",
    ]
    return "\n".join([*lines, "", "![Requests a second](performance/endpoints.svg)"])


def _against(found: Mapping[str, Any], _: Path) -> str:
    lines = (f"| {name} | {cpu:.2f} | {found['ms'][name]:.2f} |" for name, cpu in found["cpu_ms"].items())
    return "\n".join(["| | CPU of its processes, ms | time, ms |", "|---|---:|---:|", *lines])


def _pythons(found: Mapping[str, Any], plots: Path) -> str:
    if "skipped" in found:
        return str(found["skipped"])
    return f"{_against(found, plots)}\n\nCPU, newer ÷ older: {found['cpu_ratio']:.2f} (median of the rounds)."


def _journeys(found: Mapping[str, Any], _: Path) -> str:
    return "\n".join(
        [
            f"At most {found['most_per_second']:.0f} journeys a second; at {found['half_per_second']:.0f} a second:",
            "",
            "| | p50, ms | p95 | p99 |",
            "|---|---:|---:|---:|",
            *(
                f"| {name} | " + " | ".join(f"{value:.1f}" for value in found[key].values()) + " |"
                for name, key in (
                    ("whole journey, without the 100 ms until the call", "whole_ms"),
                    ("callback answered → poll answered", "told_ms"),
                )
            ),
            "",
            f"CPU of the service for a journey: {found['cpu_ms']:.2f} ms (bare {found['cpu_ms_of_a_bare_one']:.2f} ms).",
        ]
    )


def _growth(found: Mapping[str, Any], plots: Path) -> str:
    counts = found["counts"]
    chart = pygal.Line(style=CleanStyle, height=300, title="requests a second, by live verifications")
    chart.x_labels = [f"{each['live']:,}" for each in counts]
    for name in counts[0]["per_second"]:
        chart.add(name, [round(each["per_second"][name]) for each in counts])
    _render(chart, plots / "growth.svg")
    names = list(counts[0]["per_second"])
    lines = [
        f"| live | bytes each | {' | '.join(names)} |",
        "|---:|---:|" + "---:|" * len(names),
        *(
            f"| {each['live']:,} | {each['bytes_each']:.0f} | "
            + " | ".join(f"{each['per_second'][name]:,.0f}" for name in names)
            + " |"
            for each in counts
        ),
    ]
    lines += [
        "",
        f"A verification created by the service takes {found['bytes_each_made']:.0f} bytes with its limits and audit entry.",
    ]
    return "\n".join([*lines, "", "![Throughput by live verifications](performance/growth.svg)"])


def _scripts(found: Mapping[str, Any], _: Path) -> str:
    if "skipped" in found:
        return str(found["skipped"])
    lines = (f"| {name} | {rate:,.0f} | {1e6 / rate:.0f} |" for name, rate in found.items())
    return "\n".join(["| f4 | per second | µs each |", "|---|---:|---:|", *lines])


def _replicas(found: Mapping[str, Any], _: Path) -> str:
    names = list(found["runs"][0]["cores_used"])
    lines = (
        f"| {run['redis']} | {run['processes']} | {run['journeys_per_second']:.0f} | "
        + " | ".join(f"{run['cores_used'][name]:.2f}" for name in names)
        + " |"
        for run in found["runs"]
    )
    head = f"| Redis | processes | journeys a second | cores used: {' | '.join(names)} |"
    return "\n".join([head, "|---|---:|---:|" + "---:|" * len(names), *lines])


def _workers(found: Mapping[str, Any], _: Path) -> str:
    names = list(next(iter(found.values())))
    lines = (
        f"| {kind} | "
        + " | ".join(f"{each['per_second']:,.0f} | {each['cpu_ms']:.2f}" for each in floors.values())
        + " |"
        for kind, floors in found.items()
    )
    head = f"| | {' | '.join(f'{name}, per second | CPU, ms' for name in names)} |"
    return "\n".join([head, "|---|" + "---:|---:|" * len(names), *lines])


def _sip(found: Mapping[str, Any], _: Path) -> str:
    if "skipped" in found:
        return str(found["skipped"])
    lines = (
        f"| {name} | {each['cpu_ms_per_call']:.2f} | {each['posts_per_call']:.2f} | "
        f"{each['end_ms_median']:.1f} | {each['end_ms_p99']:.1f} |"
        for name, each in ((name, found[name]) for name in ("plain", "signed"))
    )
    head = f"| {found['calls_per_second']} calls a second for {found['seconds']} s | CPU, ms each | posts each | end after, ms | p99 |"
    return "\n".join([head, "|---|---:|---:|---:|---:|", *lines])


def _profiles(found: Mapping[str, Any], _: Path) -> str:
    if "skipped" in found:
        return str(found["skipped"])
    parts = sorted(
        {part for each in found.values() for part in each["parts"]},
        key=lambda part: -sum(each["parts"].get(part, 0) for each in found.values()),
    )
    lines = [f"| % of its CPU | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    lines += (
        f"| {part} | "
        + " | ".join(f"{100 * each['parts'].get(part, 0):.0f}" for each in found.values())
        + " |"
        for part in parts
    )
    lines += ["", "Our functions, each including everything it calls:", ""]
    lines += (
        f"- {name}: "
        + ", ".join(f"`{step}` {100 * share:.0f} %" for step, share in each["steps"].items())
        + "."
        for name, each in found.items()
    )
    return "\n".join(lines)


def _render(chart: Any, path: Path) -> None:
    # The plots are pictures, so they need no script.
    chart.config.js = []
    path.write_text(chart.render(is_unicode=True, disable_xml_declaration=True), encoding="utf-8")
