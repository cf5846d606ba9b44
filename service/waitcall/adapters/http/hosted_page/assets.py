"""Static files of the hosted page. Their names change with their content. Nothing is loaded from another host."""

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files

from waitcall.domain.policy import Brand

_DARK, _LIGHT = "#000000", "#ffffff"
_SRGB_LINEAR = 0.03928


@dataclass(frozen=True)
class Asset:
    """Static file of the page."""

    name: str
    content: bytes = field(repr=False)
    content_type: str


class Assets:
    """Static files of the page: style sheet with the brand's colour, script, and icon."""

    def __init__(self, brand: Brand) -> None:
        here = files("waitcall.adapters.http.hosted_page")
        style = f":root{{--brand:{brand.color};--on-brand:{readable_on(brand.color)}}}\n"
        css = style + (here / "page.css").read_text(encoding="utf-8")
        self.css = _named("page", "css", css.encode(), "text/css; charset=utf-8")
        self.js = _named("page", "js", (here / "page.js").read_bytes(), "text/javascript; charset=utf-8")
        self.icon = _named("icon", "svg", (here / "icon.svg").read_bytes(), "image/svg+xml")
        self.by_name = {each.name: each for each in (self.css, self.js, self.icon)}

    @property
    def names(self) -> dict[str, str]:
        """File names for the templates."""
        return {"css": self.css.name, "js": self.js.name, "icon": self.icon.name}


def readable_on(color: str) -> str:
    """Return black or white, whichever has the greater contrast to ``color`` (WCAG 2.2, relative luminance)."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= _SRGB_LINEAR else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    on_light, on_dark = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05
    return _LIGHT if on_light >= on_dark else _DARK


def _named(stem: str, suffix: str, content: bytes, content_type: str) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"{stem}.{digest}.{suffix}", content, content_type)
