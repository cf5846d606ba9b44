"""Colours of the hosted page: contrasts by WCAG 2.2, at least 4.5:1 whatever the brand's colour."""

LIGHT_GROUNDS = {"ground": "#f3f4f6", "card": "#ffffff"}
DARK_GROUNDS = {"ground": "#101216", "card": "#1a1d23"}
CONTRAST = 4.5
_BLACK, _WHITE = "#000000", "#ffffff"
_STEPS = 50
_SRGB_LINEAR = 0.03928


def style(brand: str) -> str:
    """Return the CSS variables of the brand's colour and of the grounds, for a light and a dark screen."""
    light = LIGHT_GROUNDS | {"brand": brand, "on-brand": readable_on(brand)}
    light["accent"] = visible_on(LIGHT_GROUNDS, brand, towards=_BLACK)
    dark = DARK_GROUNDS | {"accent": visible_on(DARK_GROUNDS, brand, towards=_WHITE)}
    return (
        f":root{{{_variables(light)}}}\n@media (prefers-color-scheme:dark){{:root{{{_variables(dark)}}}}}\n"
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable_on(color: str) -> str:
    """Return black or white, whichever has the greater contrast to ``color``. It is at least 4.5:1 for every colour."""
    return max(_WHITE, _BLACK, key=lambda text: contrast(text, color))


def visible_on(grounds: dict[str, str], color: str, towards: str) -> str:
    """Mix as little of ``towards`` into ``color`` as it needs for a contrast of 4.5:1 to each of the grounds."""
    mixes = (_mixed(color, towards, step / _STEPS) for step in range(_STEPS + 1))
    return next(mix for mix in mixes if all(contrast(mix, each) >= CONTRAST for each in grounds.values()))


def _variables(values: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in values.items())


def _mixed(color: str, other: str, share: float) -> str:
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in pairs)


def _channels(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


def _luminance(color: str) -> float:
    """Return the relative luminance by WCAG 2.2."""
    shares = [each / 255 for each in _channels(color)]
    linear = [each / 12.92 if each <= _SRGB_LINEAR else ((each + 0.055) / 1.055) ** 2.4 for each in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
