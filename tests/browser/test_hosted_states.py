"""Test every state of the hosted page in the languages with the longest words, and from right to left."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from redis import Redis
from waitcall_client import Problem, Waitcall

from development.stack import API_KEY
from tests.browser.conftest import Visitor
from waitcall.domain.status import REASONS, Reason, Status

Visiting = Callable[..., Visitor]
LANGUAGES = ("de", "ar", "kk")
ENDS = [
    (status, reason)
    for status, reasons in REASONS.items()
    for reason in reasons
    if status is not Status.VERIFIED
]
"""Ends that the page shows. On a verified number it leads back at once."""
WITH_AXE = (Reason.NO_CALL, Reason.CALL_MATCHED)
"""Reasons whose pages have every element that the page of an end can have."""
CUT = """() => [...document.querySelectorAll("main *, footer *")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display === "block")
  .map((each) => each.outerHTML)"""


@pytest.mark.parametrize("size", ["narrow", "phone", "desktop"])
def test_every_state_fits_and_is_accessible(visiting: Visiting, size: str) -> None:
    visitor = visiting(size)
    for channel in ("text_in", "code", "call"):
        with page_of(visitor, channel) as address:
            check(visitor, address, channel)
            if channel == "call":
                check_trouble_and_offline(visitor)
                for status, reason in ENDS:
                    change(visitor, status=status.value, reason=reason.value)
                    check(visitor, address, f"{status.value}-{reason.value}", with_axe=reason in WITH_AXE)
    check(visitor, f"{visitor.stack.callback}/p/{'0' * 32}", "gone")


@contextmanager
def page_of(visitor: Visitor, channel: str) -> Iterator[str]:
    """Start a verification, yield the address of its page, and cancel it."""
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(
            visitor.number,
            purpose="password_reset" if channel == "text_in" else "login",
            reference=channel,
            channel=channel,
            return_url=f"{visitor.stack.login}/phone",
        )
        yield str(made.hosted_url)
        with suppress(Problem):
            client.cancel(made.id)


def check_trouble_and_offline(visitor: Visitor) -> None:
    visitor.page.locator("summary").click()
    look(visitor, f"trouble-{LANGUAGES[-1]}")
    visitor.check_accessible()
    visitor.context.set_offline(True)
    visitor.page.get_by_role("alert").filter(has_text=".").wait_for()
    look(visitor, f"offline-{LANGUAGES[-1]}")
    visitor.check_accessible()
    visitor.context.set_offline(False)


def change(visitor: Visitor, **fields: Any) -> None:
    """Change the visitor's latest record in Redis."""
    with Redis(unix_socket_path=str(visitor.stack.directory / "valkey.sock")) as client:
        for key in client.scan_iter("waitcall:*:v:*"):
            document = json.loads(client.get(key))
            if document["phone_number"] == visitor.number and document["channel"] == "call":
                client.set(key, json.dumps(document | fields, separators=(",", ":")), keepttl=True)


def check(visitor: Visitor, address: str, name: str, *, with_axe: bool = True) -> None:
    """Open a page in each language, and assert that nothing of it is cut off and that it is accessible."""
    for lang in LANGUAGES:
        # An open page loads itself again when its verification changes, which can cut off the way to the next page.
        visitor.turn_to_a_new_page()
        visitor.page.goto(f"{address}?lang={lang}")
        assert visitor.page.locator("html").get_attribute("lang") == lang
        look(visitor, f"{name}-{lang}")
        if with_axe:
            visitor.check_accessible()


def look(visitor: Visitor, name: str) -> None:
    """Assert that the page needs no scrolling to the side, and that no text is wider than its block."""
    page = visitor.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert page.evaluate(CUT) == [], name
