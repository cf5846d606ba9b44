"""Drawing of the board's panels as HTML with SVG, for pictures in the documentation."""

import html
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from development.prometheus import Series

WIDTH, CELL, GAP = 960, 34, 8
COLUMNS = 24
LINES = ("#1f6fd6", "#d9730d", "#3d8b37", "#8b4fc7", "#c92a3f", "#a07a14", "#0f8f95", "#6b6b6b")
FILLS = {"green": "#1e7d45", "orange": "#c96a00", "red": "#c4203a", "": "#d9dde3"}
TITLE, LEGEND_LINE, MOST_LINES = 38, 18, 5
LEFT, RIGHT, TOP, BOTTOM = 70, 10, 8, 20
STYLE = f"""
* {{ box-sizing: border-box; margin: 0 }}
body {{ width: {WIDTH}px; background: #f4f5f7; color: #1b1f24; font: 12px/1.35 'DejaVu Sans', sans-serif; padding: {GAP}px }}
h2 {{ font-size: 14px; height: 28px; line-height: 28px }}
section {{ position: relative }}
article {{ position: absolute; background: #fff; border: 1px solid #d9dde3; border-radius: 3px; padding: 6px 8px; overflow: hidden }}
h3 {{ font-size: 12px; line-height: 15px; font-weight: 600; max-height: 30px }}
.tile {{ color: #fff; text-align: center; border: 0; display: flex; flex-direction: column }}
.tile h3 {{ font-size: 11px; height: 30px }}
.tile p {{ font-size: 25px; margin: auto; white-space: nowrap }}
.tile.long p {{ font-size: 15px }}
.tile.none {{ color: #1b1f24 }}
.empty {{ text-align: center; color: #59636e; margin-top: 60px }}
text {{ font: 11px 'DejaVu Sans', sans-serif; fill: #59636e }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed; font-size: 11px; line-height: {LEGEND_LINE}px }}
td, th {{ padding: 0; font-weight: 400; text-align: right; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; height: {LEGEND_LINE}px }}
th {{ color: #59636e }}
td:first-child, th:first-child {{ text-align: left; width: 58% }}
i {{ display: inline-block; width: 12px; height: 3px; margin-right: 5px; vertical-align: 3px }}
.list span {{ margin-right: 12px; white-space: nowrap; font-size: 11px; line-height: {LEGEND_LINE}px }}
"""


def page(
    title: str, panels: Sequence[tuple[dict[str, Any], Sequence[Sequence[Series]]]], span: tuple[float, float]
) -> str:
    """Return the page of one row. ``panels``: each panel with the series of its queries. ``span``: first and last second."""
    top = min(panel["gridPos"]["y"] for panel, _ in panels)
    drawn = "".join(_panel(panel, found, top, span) for panel, found in panels)
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style><h2>{_text(title)}</h2><section>{drawn}</section>'


def height(panels: Sequence[dict[str, Any]]) -> int:
    """Return the height of the page of these panels in pixels."""
    ends: list[int] = [each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels]
    first: int = min(each["gridPos"]["y"] for each in panels)
    return (max(ends) - first) * CELL + 28 + 2 * GAP


def shown(value: float, unit: str) -> str:
    """Return a value with its unit, as people read it."""
    if unit == "percentunit":
        return f"{_short(value * 100)} %"
    if unit == "s":
        for size, name in ((3600, "h"), (60, "min"), (1, "s")):
            if abs(value) >= size:
                return f"{_short(value / size)} {name}"
        return f"{_short(value * 1000)} ms" if value else "0 s"
    suffix = {"suffix: /min": " /min", "reqps": " req/s"}.get(unit, "")
    return f"{_short(value)}{suffix}"


def _short(value: float) -> str:
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2  # noqa: PLR2004  three digits that count
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def _panel(
    panel: dict[str, Any], found: Sequence[Sequence[Series]], top: int, span: tuple[float, float]
) -> str:
    at, unit = panel["gridPos"], WIDTH - 2 * GAP
    width = at["w"] * unit // COLUMNS - GAP
    tall = at["h"] * CELL - GAP
    place = (
        f"left:{at['x'] * unit // COLUMNS}px;top:{(at['y'] - top) * CELL}px;width:{width}px;height:{tall}px"
    )
    title = f"<h3>{_text(panel['title'])}</h3>"
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] == "stat":
        return _tile(defaults, found[0], place, title)
    lines = [
        (_named(target["legendFormat"], series.labels), series.points)
        for target, each in zip(panel["targets"], found, strict=True)
        for series in each
        if series.points
    ]
    body = f'<p class="empty">{_text(defaults["noValue"])}</p>'
    if lines:
        lines.sort(key=lambda line: -line[1][-1][1] if len(lines) > len(panel["targets"]) else 0)
        legend, rows = _legend(panel["options"]["legend"], lines, defaults["unit"])
        inner = (width - 18, tall - TITLE - 14 - rows * LEGEND_LINE)
        body = _graph(defaults, [points for _, points in lines], inner, span) + legend
    return f'<article style="{place}">{title}{body}</article>'


def _tile(defaults: dict[str, Any], found: Sequence[Series], place: str, title: str) -> str:
    if not found or not found[0].points:
        return f'<article class="tile none long" style="{place};background:{FILLS[""]}">{title}<p>{_text(defaults["noValue"])}</p></article>'
    value = found[0].points[-1][1]
    color = [
        each["color"]
        for each in defaults["thresholds"]["steps"]
        if each["value"] is None or value >= each["value"]
    ][-1]
    words = {
        key: each["text"] for mapping in defaults["mappings"] for key, each in mapping["options"].items()
    }
    text = words.get(
        f"{value:g}", shown(round(value, 0 if defaults["decimals"] == 0 else 4), defaults["unit"])
    )
    return f'<article class="tile" style="{place};background:{FILLS[color]}">{title}<p>{_text(text)}</p></article>'


def _graph(
    defaults: dict[str, Any],
    lines: Sequence[Sequence[tuple[float, float]]],
    size: tuple[int, int],
    span: tuple[float, float],
) -> str:
    width, tall = size
    top = max((value for points in lines for _, value in points), default=0) or 1
    step = max(_step(top), 1 if defaults["decimals"] == 0 else 0)
    top = math.ceil(top / step - 1e-9) * step

    def x(at: float) -> float:
        return LEFT + (at - span[0]) / (span[1] - span[0]) * (width - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (1 - value / top) * (tall - TOP - BOTTOM)

    parts = [f'<svg width="{width}" height="{tall}">']
    for number in range(round(top / step) + 1):
        parts.append(_rule(y(number * step), width, "#e4e7eb", ""))
        label = shown(number * step, defaults["unit"])
        parts.append(f'<text x="{LEFT - 6}" y="{y(number * step) + 4:.1f}" text-anchor="end">{label}</text>')
    for at in _minutes(span):
        clock = time.strftime("%H:%M", time.gmtime(at))
        parts.append(f'<text x="{x(at):.1f}" y="{tall - 4}" text-anchor="middle">{clock}</text>')
    limits = [each["value"] for each in defaults["thresholds"]["steps"] if each["value"] is not None]
    parts += [_rule(y(limit), width, FILLS["red"], "6 4") for limit in limits if limit <= top]
    for index, points in enumerate(lines):
        line = "".join(
            f"{'M' if not number or at - points[number - 1][0] > _gap(points) else 'L'}{x(at):.1f} {y(value):.1f}"
            for number, (at, value) in enumerate(points)
        )
        parts.append(
            f'<path d="{line}" fill="none" stroke="{LINES[index % len(LINES)]}" stroke-width="1.6"/>'
        )
    return "".join([*parts, "</svg>"])


def _rule(y: float, width: int, color: str, dashes: str) -> str:
    return f'<line x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{color}" stroke-dasharray="{dashes}"/>'


def _gap(points: Sequence[tuple[float, float]]) -> float:
    """Return the distance of points above which the line is interrupted."""
    return 1.5 * min((after[0] - before[0] for before, after in itertools.pairwise(points)), default=0)


def _step(top: float) -> float:
    """Return a round distance of at most five rules below ``top``."""
    rough = top / 4
    power = 10 ** math.floor(math.log10(rough))
    return float(power) * next(each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999)


def _minutes(span: tuple[float, float]) -> list[float]:
    every = 60 * max(1, round((span[1] - span[0]) / 60 / 4))
    first = math.ceil(span[0] / every) * every
    return [
        at
        for at in range(first, int(span[1]) + 1, every)
        if at - span[0] > every / 4 and span[1] - at > every / 4
    ]


def _legend(
    options: dict[str, Any], lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], unit: str
) -> tuple[str, int]:
    """Return the legend and the number of its lines."""
    if not options["showLegend"]:
        return "", 0
    marks = [f'<i style="background:{LINES[index % len(LINES)]}"></i>' for index in range(len(lines))]
    if options["displayMode"] == "list":
        names = (f"<span>{mark}{_text(name)}</span>" for mark, (name, _) in zip(marks, lines, strict=True))
        return f'<div class="list">{"".join(names)}</div>', 1 if len(lines) < 4 else 2  # noqa: PLR2004  more lines need two columns
    rows = [
        f"<tr><td>{mark}{_text(name)}</td><td>{shown(points[-1][1], unit)}</td><td>{shown(max(value for _, value in points), unit)}</td></tr>"
        for mark, (name, points) in zip(marks, lines, strict=True)
    ]
    if len(rows) > MOST_LINES:
        rows = [*rows[: MOST_LINES - 1], f"<tr><td>and {len(rows) - MOST_LINES + 1} more</td></tr>"]
    return f"<table><tr><th></th><th>last</th><th>max</th></tr>{''.join(rows)}</table>", len(rows) + 1


def _named(legend: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


def _text(text: str) -> str:
    return html.escape(text)
