"""Test the drawing of the board's pictures."""

import re
from typing import Any

import pytest

from development import board_drawing
from development.board import board
from development.board_drawing import shown
from development.prometheus import Series, filled

PANELS = {each["title"]: each for each in board()["panels"]}
SPAN = (1_000_000.0, 1_000_300.0)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, "percentunit", "50 %"),
        (0.0213, "s", "21.3 ms"),
        (0, "s", "0 s"),
        (90, "s", "1.5 min"),
        (12.34, "suffix: /min", "12.3 /min"),
        (0.25, "reqps", "0.25 req/s"),
        (12345.6, "short", "12,346"),
    ],
)
def test_a_value_is_shown_with_its_unit(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def drawn(title: str, *series: Series) -> str:
    panel: dict[str, Any] = PANELS[title]
    return board_drawing.page("Row", [(panel, [series, *([] for _ in panel["targets"][1:])])], SPAN)


@pytest.mark.parametrize(("value", "color"), [(0, "green"), (7, "red")])
def test_a_tile_has_the_colour_of_its_threshold(value: float, color: str) -> None:
    page = drawn("Redis errors (5 min)", Series({}, [(SPAN[1], value)]))
    assert f"background:{board_drawing.FILLS[color]}" in page
    assert f"<p>{value}</p>" in page


def test_a_panel_without_series_has_its_own_words() -> None:
    assert "No errors in this time" in drawn("Redis errors, by operation")
    assert "no creates" in drawn("Creates that succeed (5 min)")


def test_a_line_is_interrupted_where_values_are_missing() -> None:
    points = [(SPAN[0] + at, 1.0) for at in (0, 2, 4, 60, 62)]
    page = drawn("Redis errors, by operation", Series({"operation": "<read>"}, points))
    (path,) = re.findall(r'<path d="([^"]*)"', page)
    assert path.count("M") == 2
    assert "&lt;read&gt;" in page


def test_a_query_is_filled_in_as_outside_of_kubernetes() -> None:
    query = PANELS["Leading workers"]["targets"][0]["expr"]
    selector = 'namespace=~"",app_kubernetes_io_instance=~"",job=~".*",instance=~".*"'
    assert filled(query, {}) == f"count(waitcall_leader_fence{{{selector}}} > 0) or vector(0)"
