"""Draw the README's moving picture: a call from the handset moves the hosted page on, and the person is logged in."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import SCREENSHOTS, Visitor

# On another Python than the one that installed them, the tools cannot be imported.
Image = pytest.importorskip("PIL.Image", reason="not installed: make browser-tools", exc_type=ImportError)
Visiting = Callable[..., Visitor]
SUBSCRIBER = "+79991234567"
SIZE = {"width": 400, "height": 620}
MARGIN = 16
GROUND, FRAME = "#ffffff", "#d1d5db"
MOST_BYTES = 400_000


def test_a_call_from_the_handset_moves_the_page_on(
    visiting: Visiting, request: pytest.FixtureRequest
) -> None:
    visitor = visiting("phone", device_scale_factor=1, viewport=SIZE)
    visitor.number = SUBSCRIBER
    page, handset = visitor.page, visitor.watch(visitor.context.new_page())
    handset.goto(visitor.stack.control)
    seen: list[tuple[Any, int]] = []

    def see(milliseconds: int) -> None:
        seen.append((side_by_side(page, handset), milliseconds))

    page.goto(visitor.stack.login)
    page.locator("#phone").fill(SUBSCRIBER)
    see(1500)
    with page.expect_request(re.compile("/status")):
        page.locator("form button").click()
    handset.locator("#did:not(:placeholder-shown)").wait_for()
    see(3000)
    # The page leads on after a second. A slow network keeps it until it is drawn.
    visitor.slow_down(5000)
    handset.get_by_role("button", name="Call", exact=True).click()
    handset.get_by_text("It rings.").wait_for()
    see(2000)
    page.get_by_role("heading", name="Number confirmed").wait_for()
    see(2000)
    visitor.slow_down(0)
    visitor.logged_in()
    see(3000)

    picture = animated(seen)
    assert len(picture) <= MOST_BYTES
    if request.config.getoption("--screenshots"):
        (SCREENSHOTS / "journey.webp").write_bytes(picture)


def side_by_side(page: Any, handset: Any) -> Any:
    """Return a picture of the page, and of the phone next to it."""
    phone = handset.locator(".phone")
    shots = [
        Image.open(io.BytesIO(each.screenshot(animations="disabled", caret="hide"))) for each in (page, phone)
    ]
    size = (2 * SIZE["width"] + 3 * MARGIN, SIZE["height"] + 2 * MARGIN)
    whole = Image.new("RGB", size, GROUND)
    whole.paste(FRAME, (MARGIN - 1, MARGIN - 1, MARGIN + SIZE["width"] + 1, MARGIN + SIZE["height"] + 1))
    for column, shot in enumerate(shots):
        whole.paste(shot, (MARGIN + column * (SIZE["width"] + MARGIN), MARGIN))
    return whole


def animated(frames: list[tuple[Any, int]]) -> bytes:
    """Return the frames, each with its milliseconds, as an animated WebP without loss."""
    pictures, milliseconds = zip(*frames, strict=True)
    written = io.BytesIO()
    pictures[0].save(
        written,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=list(milliseconds),
        loop=0,
        lossless=True,
        quality=100,
        method=6,
    )
    return written.getvalue()
