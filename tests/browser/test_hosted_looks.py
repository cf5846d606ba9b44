"""Test how the hosted page looks: every language, phone and laptop, light and dark, any colour of the brand."""

from collections.abc import Callable

import pytest
from waitcall_client import Waitcall

from development.stack import API_KEY
from tests.browser.conftest import Visitor

Visiting = Callable[..., Visitor]
LANGUAGES = ("ar", "de", "en", "es", "kk", "ru", "uk", "uz")
SHOWN = ("en", "ru", "ar")


def open_page(visitor: Visitor, reference: str) -> str:
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(
            visitor.number,
            purpose="login",
            reference=reference,
            return_url=f"{visitor.stack.login}/phone",
        )
    visitor.page.goto(made.hosted_url)
    return str(made.hosted_url)


@pytest.mark.parametrize("size", ["phone", "desktop", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_language_is_accessible_and_fits(
    visiting: Visiting, size: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    visitor = visiting(size, color_scheme=scheme)
    page = visitor.page
    address = open_page(visitor, f"looks-{size}-{scheme}")
    for lang in LANGUAGES:
        page.goto(f"{address}?lang={lang}")
        assert page.locator("html").get_attribute("lang") == lang
        assert page.evaluate("getComputedStyle(document.documentElement).direction") == (
            "rtl" if lang == "ar" else "ltr"
        )
        page.locator(".qr").wait_for(state="visible" if size == "desktop" else "hidden")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), lang
        # The number stands on one line.
        assert page.evaluate("document.getElementById('shown').getClientRects().length") == 1, lang
        if size != "narrow":
            # Number, status and time left need no scrolling.
            assert page.locator(".state").bounding_box()["y"] < page.viewport_size["height"] / 2, lang
        visitor.check_accessible()
        if lang in SHOWN and size != "narrow":
            visitor.shoot(f"hosted-{size}-{lang}-{scheme}", request)
