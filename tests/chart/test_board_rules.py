"""Test the board's JSON against the rules of Grafana's dashboard-linter, and against rules of our own.

The linter itself is not run, because it needs modules of Grafana and Loki that are under the AGPL. Its rules are written
down here, each with the exceptions that the board takes and their reasons.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from development.board import ROWS, Tile, written

ROOT = Path(__file__).resolve().parents[2]
BOARD = json.loads(written())
PANELS = [each for each in BOARD["panels"] if each["type"] != "row"]
VARIABLES = {each["name"]: each for each in BOARD["templating"]["list"]}
UNITS = {"none", "short", "s", "percentunit", "reqps", "suffix: /min"}

panel = pytest.mark.parametrize("panel", PANELS, ids=lambda each: each["title"])


@panel
def test_a_panel_is_complete(panel: dict[str, Any]) -> None:
    """Linter: panel-title-description-rule, panel-units-rule, panel-datasource-rule, panel-no-targets-rule."""
    assert panel["type"] in ("stat", "timeseries")
    assert 3 < len(panel["title"]) <= 52
    shows, normal, otherwise, *runbook = panel["description"].split("\n\n")
    assert shows
    assert shows[0].isupper() or shows[0] == "`"
    assert normal.startswith("Normal: ")
    assert otherwise.startswith("Otherwise: ")
    assert all(each.endswith(".") for each in (shows, normal, otherwise))
    for each in runbook:
        assert (ROOT / f"docs/runbooks/{each.removeprefix('Runbook: ')}.md").is_file()
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@panel
def test_a_panel_says_what_no_data_means(panel: dict[str, Any]) -> None:
    empty = panel["fieldConfig"]["defaults"]["noValue"]
    assert empty
    assert empty != "No data"


@panel
def test_a_graph_has_no_legend_of_zeros(panel: dict[str, Any]) -> None:
    """A query with labels returns only what counted something, or what is there now."""
    lasting = (
        "histogram_quantile",
        "increase(waitcall_verifications_verified",
        "count by (version)",
        "time()",
        "ALERTS",
        "@ end()",
    )
    for target in panel["targets"]:
        if "{{" in target["legendFormat"]:
            assert target["expr"].endswith("> 0") or any(each in target["expr"] for each in lasting)
            assert panel["options"]["legend"]["displayMode"] == "table"
    if panel["type"] == "timeseries" and len(panel["targets"]) == 1:
        assert panel["options"]["legend"]["showLegend"] == ("{{" in panel["targets"][0]["legendFormat"])


@panel
def test_the_window_of_a_rate_follows_the_scrape_interval(panel: dict[str, Any]) -> None:
    """Linter: target-rate-interval-rule.

    Exceptions: a tile looks at the time that its title names, a share of people needs 30 minutes to say anything, and a
    legend looks at the whole time shown.
    """
    windows = {each for target in panel["targets"] for each in re.findall(r"\[([^\]]+)\]", target["expr"])}
    named = re.search(r"\((\d+) (min|h)\)$", panel["title"])
    if named:
        assert windows == {f"{named[1]}{named[2][0]}"}
    elif panel["type"] == "timeseries":
        assert windows <= {"$__rate_interval", "$__range"}


@panel
def test_a_counter_is_never_drawn_as_its_total(panel: dict[str, Any]) -> None:
    """Linter: target-counter-agg-rule."""
    for target in panel["targets"]:
        names = re.findall(r"\w+_(?:total|count|bucket|sum)\b", target["expr"])
        assert len(names) == len(
            re.findall(r"(?:rate|increase)\(waitcall_\w+_(?:total|count|bucket|sum)\b", target["expr"])
        )


@panel
def test_a_zero_never_hides_trouble(panel: dict[str, Any]) -> None:
    """Where nothing means trouble, the zero that is shown instead is red."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    for target in panel["targets"]:
        if target["expr"].endswith("or vector(0)") and panel["type"] == "stat":
            counts_errors = "errors_total" in target["expr"]
            assert steps[0]["color"] == ("green" if counts_errors else "red")
        elif target["expr"].endswith("or vector(0)"):
            # A missing line would hide that nobody calls, or look as if something rare were not counted at all.
            assert panel["title"] in {
                "Started, proven, used",
                "Wrong numbers and weak calls",
                "Orders for an own number",
                "Calls that were never reported",
                "Requests from strangers",
            }


def test_titles_are_unique_and_panels_do_not_overlap() -> None:
    titles = [each["title"] for each in BOARD["panels"]]
    assert len(set(titles)) == len(titles)
    queries = [target["expr"] for each in PANELS for target in each["targets"]]
    doubled = {each for each in queries if queries.count(each) > 1}
    # The tile tells how old the oldest event is now; wrong codes are a sign of an attack, and part of the codes' story.
    assert {re.search(r"waitcall_\w+", each)[0] for each in doubled} == {  # type: ignore[index]
        "waitcall_webhook_oldest_seconds",
        "waitcall_code_checks_total",
    }
    taken = set()
    for each in BOARD["panels"]:
        at = each["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_the_first_row_is_tiles_and_no_other_row_has_any() -> None:
    first, *others = ROWS.values()
    assert all(isinstance(each, Tile) for each in first)
    assert not any(isinstance(each, Tile) for row in others for each in row)
    assert all(title.endswith("?") for title in ROWS)
    for each in first:
        assert {"green", "red"} <= {color for _, color in each.steps}


def test_the_variables_are_complete() -> None:
    """Linter: template-datasource-rule, -job-rule, -instance-rule, -on-time-change-reload-rule.

    Exception: the linter wants ``.+`` for "All". Ours is ``.*``, which also selects series that lost their job or instance
    on the way, as by OTLP or by remote write.
    """
    assert list(VARIABLES) == [
        "datasource",
        "namespace",
        "release",
        "job",
        "instance",
        "client",
        "purpose",
        "region",
    ]
    assert VARIABLES.pop("datasource")["label"] == "Data source"
    for name, each in VARIABLES.items():
        assert each["type"] == "query"
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert (each["label"], each["refresh"], each["multi"]) == (name, 2, True)
        # All installations together would be a sum that nobody asked for. One alone has no "All" to choose.
        assert each.get("allValue") == (None if name in ("namespace", "release") else ".*")


def test_the_board_is_kept_as_code() -> None:
    """Linter: template-uneditable-rule."""
    assert BOARD["editable"] is False
    assert not any(each.get("links") for each in PANELS), "only the chart knows where the runbooks are"


def test_the_page_has_a_picture_of_each_row() -> None:
    page = (ROOT / "docs/board.md").read_text()
    pictures = re.findall(r"!\[[^\]]+\]\((board/\w+\.png)\)", page)
    assert len(pictures) == len(ROWS) + 1, "the first row is there twice"
    assert {f"docs/{each}" for each in pictures} == {
        str(each.relative_to(ROOT)) for each in (ROOT / "docs/board").iterdir()
    }
    assert all(f"## {title}" in page for title in ROWS)
