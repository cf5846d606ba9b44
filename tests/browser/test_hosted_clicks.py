"""Test that a click on a link of the hosted page always lands, although the page polls and replaces itself."""

import re
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from waitcall_client import Waitcall

from development.stack import API_KEY
from tests.browser.conftest import Visitor

playwright = pytest.importorskip("playwright.sync_api", reason="not installed: make browser-tools")
Visiting = Callable[..., Visitor]

LINKS = {
    "en": {"fallback": "Another way", "start_again": "Start again", "canceled": "Cancel"},
    "ru": {"fallback": "Другой способ", "start_again": "Начать заново", "canceled": "Отменить"},
    "ar": {"fallback": "طريقة أخرى", "start_again": "البدء من جديد", "canceled": "إلغاء"},
}
_references = count()
LANDING_MILLISECONDS = 15000
ROUNDS = 3
"""Clicks on each link, so that with 3 languages, 2 sizes, 2 latencies and 3 links 108 clicks land."""


@pytest.mark.parametrize("milliseconds", [0, 200])
@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("lang", list(LINKS))
def test_a_click_wins_over_the_poll(visiting: Visiting, lang: str, size: str, milliseconds: int) -> None:
    """The client acts as soon as the click arrives, so the open poll is answered before the click's page is shown."""
    visitor = visiting(size, lang)
    with Waitcall(visitor.stack.api, API_KEY) as client:
        clicks = [
            lands(visitor, client, milliseconds, outcome, name)
            for outcome, name in ROUNDS * list(LINKS[lang].items())
        ]
    print(f"{clicks.count(True)} of {len(clicks)} clicks landed: {lang}, {size}, {milliseconds} ms")  # noqa: T201  a figure
    assert clicks == [True] * ROUNDS * len(LINKS[lang])


@pytest.mark.everyday
def test_a_click_on_an_enter_key_and_a_tap_win_too(visiting: Visiting) -> None:
    visitor = visiting("phone")
    with Waitcall(visitor.stack.api, API_KEY) as client:
        for press in (
            lambda link: link.press("Enter", no_wait_after=True),
            lambda link: link.tap(no_wait_after=True),
        ):
            assert lands(visitor, client, 200, "canceled", "Cancel", press)


def test_a_page_that_is_about_to_reload_lets_the_click_through(visiting: Visiting) -> None:
    """The finger is already down when the poll reports the change, and goes up later."""
    visitor = visiting()
    page = visitor.page
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = open_page(visitor, client)
        link = page.get_by_role("link", name="Start again")
        link.scroll_into_view_if_needed()
        box = link.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        with page.expect_response(re.compile("/status")) as polled:
            client.cancel(made.id)
        polled.value.finished()
        page.evaluate("new Promise((done) => setTimeout(done, 100))")
        page.mouse.up()
        page.wait_for_url(f"{visitor.stack.login}/", timeout=LANDING_MILLISECONDS)


def test_without_a_script_a_slow_click_wins_over_the_refresh(visiting: Visiting) -> None:
    visitor = visiting(java_script_enabled=False)
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = new_page(visitor, client)
        visitor.page.goto(made.hosted_url)
        visitor.slow_down(6000)
        visitor.page.get_by_role("link", name="Cancel").click(no_wait_after=True)
        visitor.page.wait_for_url(f"{visitor.stack.login}/", timeout=2 * LANDING_MILLISECONDS)


def lands(
    visitor: Visitor,
    client: Waitcall,
    milliseconds: int,
    outcome: str,
    name: str,
    press: Callable[[Any], None] = lambda link: link.click(no_wait_after=True),
) -> bool:
    """Open a new page, press a link of it while its poll is open, and return whether the link's address is reached."""
    page = visitor.page
    made = open_page(visitor, client)

    def act(route: Any) -> None:
        if outcome == "fallback":
            client.fall_back(made.id)
        else:
            client.cancel(made.id)
        route.continue_()

    page.route(re.compile(f"/phone.outcome={outcome}"), act, times=1)
    visitor.slow_down(milliseconds)
    press(page.get_by_role("link", name=name, exact=True))
    # The example has not started this verification, so it leads on to its first page.
    with suppress(playwright.TimeoutError):
        page.wait_for_url(f"{visitor.stack.login}/", timeout=LANDING_MILLISECONDS)
    client.cancel(made.id)
    return bool(page.url == f"{visitor.stack.login}/")


def new_page(visitor: Visitor, client: Waitcall) -> Any:
    return client.start(
        visitor.number,
        purpose="login",
        reference=f"clicks-{next(_references)}",
        locale=visitor.lang,
        return_url=f"{visitor.stack.login}/phone",
    )


def open_page(visitor: Visitor, client: Waitcall) -> Any:
    made = new_page(visitor, client)
    with visitor.page.expect_request(re.compile("/status")):
        visitor.page.goto(made.hosted_url)
    return made
