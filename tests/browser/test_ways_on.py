"""Test that every page of both examples has a way on, that each way leads somewhere, and that leaving a flow frees its number."""

from collections.abc import Callable

import pytest
from waitcall_client import Waitcall

from development.stack import API_KEY
from examples.__main__ import KNOWN
from tests.browser.conftest import Visitor
from tests.browser.test_login import expire
from tests.browser.test_reset import type_code

Visiting = Callable[..., Visitor]
Step = Callable[[Visitor], None]
FORM, HOSTED = "#phone", ".qr"
REFUSED = "+442079460123"
"""Number of a country that the policy does not allow."""


def first(example: str) -> Step:
    return lambda visitor: visitor.page.goto(getattr(visitor.stack, example))


def began(example: str, number: str | None = None) -> Step:
    def begin(visitor: Visitor) -> None:
        visitor.number = number or visitor.number
        visitor.begin(example)
        visitor.page.wait_for_load_state()

    return begin


def clicked(before: Step, *names: str) -> Step:
    def click(visitor: Visitor) -> None:
        before(visitor)
        for name in names:
            follow(visitor, name)

    return click


def went(before: Step, path: str, example: str) -> Step:
    def go(visitor: Visitor) -> None:
        before(visitor)
        visitor.page.goto(getattr(visitor.stack, example) + path)

    return go


def called(example: str, *, coded: bool = False) -> Step:
    def call(visitor: Visitor) -> None:
        began(example)(visitor)
        visitor.page.get_by_role("heading", name="Call this number").wait_for()
        visitor.call()
        if example == "login":
            return visitor.logged_in()
        visitor.page.get_by_role("heading", name="Type the code").wait_for()
        return type_code(visitor, visitor.code() if coded else "000000")

    return call


def late(visitor: Visitor) -> None:
    began("reset")(visitor)
    visitor.page.get_by_role("heading", name="Call this number").wait_for()
    expire(visitor)
    visitor.page.reload()


def stale(example: str) -> Step:
    """Send the first form after the server has forgotten the session."""

    def send(visitor: Visitor) -> None:
        first(example)(visitor)
        visitor.context.clear_cookies()
        visitor.page.locator(FORM).fill(visitor.number)
        follow(visitor, "Continue")

    return send


def renewed(visitor: Visitor) -> None:
    visitor.number = KNOWN
    called("reset", coded=True)(visitor)
    visitor.page.locator("#password").fill("a new password of mine")
    follow(visitor, "Save")


def follow(visitor: Visitor, name: str) -> None:
    """Click a button or a link of the page's own part."""
    main = visitor.page.locator("main")
    main.get_by_role("button", name=name, exact=True).or_(
        main.get_by_role("link", name=name, exact=True)
    ).click()


CALL, TEXT, CODE, WAITING = (
    f"main:has-text('{words}')"
    for words in ("Call this number", "Send this text", "Type the code", "We are waiting for your call")
)
# What leads to a page, then the ways that it must have, each with what it leads to.
PAGES: dict[str, tuple[Step, dict[str, str]]] = {
    "login, not a number": (began("login", "+7999777"), {"Continue": FORM}),
    "login, refused": (began("login", REFUSED), {"Continue": FORM}),
    "login, waiting": (went(began("login"), "/", "login"), {"Go on": HOSTED, "Start again": FORM}),
    "login, canceled": (
        clicked(began("login"), "Cancel"),
        {"Start again": FORM, "Go on": HOSTED},
    ),
    "login, another way": (
        clicked(began("login"), "Another way"),
        {"Send me a code instead": CODE, "Start again": FORM, "Go on": HOSTED},
    ),
    "login, code": (
        clicked(began("login"), "Another way", "Send me a code instead"),
        {"Start again": FORM},
    ),
    "login, logged in": (called("login"), {"Log out": FORM}),
    "login, out of date": (stale("login"), {"To the first page": FORM}),
    "login, nothing there": (went(first("login"), "/nowhere", "login"), {"To the first page": FORM}),
    "login, address of a form": (went(began("login", REFUSED), "/login", "login"), {"Continue": FORM}),
    "reset, not a number": (began("reset", "+7999777"), {"Continue": FORM}),
    "reset, call": (began("reset"), {"Start again": FORM, "I cannot call": TEXT}),
    "reset, refused": (began("reset", REFUSED), {"Start again": FORM, "I cannot call": TEXT}),
    "reset, text": (clicked(began("reset"), "I cannot call"), {"Start again": FORM}),
    "reset, under way": (went(began("reset"), "/", "reset"), {"Go on": CALL, "Start again": FORM}),
    "reset, too late": (late, {"Continue": CALL}),
    "reset, wrong code": (called("reset"), {"Send it again": CODE, "Start again": FORM}),
    "reset, no account": (called("reset", coded=True), {"Start again": FORM}),
    "reset, done": (renewed, {"Log in": FORM}),
    "reset, out of date": (stale("reset"), {"To the first page": FORM}),
    "reset, nothing there": (went(first("reset"), "/nowhere", "reset"), {"To the first page": FORM}),
    "reset, address of a form": (went(began("reset", "+7999777"), "/reset", "reset"), {"Continue": FORM}),
}


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_a_way_on(visiting: Visiting, page: str) -> None:
    reach, ways = PAGES[page]
    for way, target in ways.items():
        visitor = visiting()
        reach(visitor)
        visitor.page.locator("main").get_by_text(way, exact=True).wait_for()
        visitor.check_accessible()
        if visitor.page.locator(FORM).count():
            visitor.page.locator(FORM).fill(visitor.number)
        follow(visitor, way)
        visitor.page.locator(target).first.wait_for()
        if target == FORM and visitor.number.startswith("+7999777") and len(visitor.number) > 8:
            assert is_free(visitor)


def is_free(visitor: Visitor) -> bool:
    """Return whether another requester gets the number at once."""
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(visitor.number, purpose="password_reset", reference=f"free-{visitor.number}")
        client.cancel(made.id)
        return made.created


@pytest.mark.parametrize("number", [None, REFUSED])
def test_the_back_button_leaves_a_reset_and_frees_the_number(visiting: Visiting, number: str | None) -> None:
    visitor = visiting()
    began("reset", number)(visitor)
    visitor.page.locator(CALL).wait_for()
    visitor.page.go_back()
    visitor.page.locator(FORM).wait_for()
    visitor.page.reload()
    visitor.page.locator(FORM).wait_for()
    if number is None:
        assert is_free(visitor)


def test_the_back_button_of_a_login_leads_to_the_choice_to_go_on_or_to_start_again(
    visiting: Visiting,
) -> None:
    visitor = visiting()
    began("login")(visitor)
    visitor.page.locator(HOSTED).wait_for()
    visitor.page.go_back()
    follow(visitor, "Start again")
    visitor.page.locator(FORM).wait_for()
    assert is_free(visitor)


def test_both_examples_and_the_handset_lead_to_each_other(visiting: Visiting) -> None:
    """A person who logs in and then resets the password stays logged in, and types no address."""
    visitor = visiting()
    page = visitor.page
    called("login")(visitor)
    page.get_by_role("link", name="Reset a password").click()
    page.get_by_text("The phone number of your account").wait_for()
    began("reset")(visitor)
    page.locator(CALL).wait_for()
    with visitor.context.expect_page() as opened:
        page.get_by_role("link", name="Handset").click()
    handset = visitor.watch(opened.value)
    assert handset.locator("#cli").input_value() == visitor.number
    handset.locator("#did:not(:placeholder-shown)").wait_for()
    handset.get_by_role("button", name="Call", exact=True).click()
    page.locator(CODE).wait_for()
    page.get_by_role("link", name="Log in").click()
    visitor.logged_in()
    with visitor.context.expect_page() as opened:
        handset.get_by_role("link", name="Reset a password").click()
    opened.value.get_by_text("A password reset is under way.").wait_for()
    opened.value.close()
