"""Contrast of the hosted page for any colour of the brand."""

import re
from pathlib import Path

import pytest

from waitcall.adapters.http import hosted_page
from waitcall.adapters.http.hosted_page.colors import contrast, readable_on, style

STYLESHEET = Path(str(hosted_page.__path__[0])) / "page.css"
STEPS = ("00", "33", "66", "80", "99", "cc", "ff")
COLORS = [f"#{red}{green}{blue}" for red in STEPS for green in STEPS for blue in STEPS]


def variables(css: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the colours of a light screen and of a dark one."""
    light, dark = re.findall(r":root\{(--[^}]*)\}", css)
    as_dict = [dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{3,6})\b", each)) for each in (light, dark)]
    return as_dict[0], as_dict[0] | as_dict[1]


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21), ("#ffffff", "#ffffff", 1), ("#767676", "#ffffff", 4.54)],
)
def test_contrast_is_measured_by_wcag(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01) == contrast(other, one)


@pytest.mark.parametrize(
    ("color", "on"),
    [("#000000", "#ffffff"), ("#ffffff", "#000000"), ("#ffcc00", "#000000"), ("#1d4ed8", "#ffffff")],
)
def test_text_on_the_brands_colour_is_readable(color: str, on: str) -> None:
    assert readable_on(color) == on


def test_every_brand_is_readable_and_visible_on_light_and_dark_screens() -> None:
    poor = [
        (brand, kind, name)
        for brand in COLORS
        for kind, shown in zip(("light", "dark"), variables(style(brand)), strict=True)
        for name, one, other in (
            ("button", shown["on-brand"], shown["brand"]),
            ("accent on the card", shown["accent"], shown["card"]),
            ("accent on the ground", shown["accent"], shown["ground"]),
        )
        if contrast(one, other) < 4.5
    ]
    assert poor == []


def test_a_visible_colour_of_the_brand_stays_as_it_is() -> None:
    light, dark = variables(style("#1d4ed8"))
    assert light["accent"] == light["brand"] == dark["brand"] == "#1d4ed8"
    assert dark["accent"] != "#1d4ed8"


def test_the_other_texts_are_readable_on_both_grounds() -> None:
    texts = variables(STYLESHEET.read_text())
    for own, fixed in zip(variables(style("#1d4ed8")), texts, strict=True):
        for name in ("text", "soft", "warn"):
            for ground in ("ground", "card"):
                assert contrast(fixed[name], own[ground]) >= 4.5, (name, ground)
