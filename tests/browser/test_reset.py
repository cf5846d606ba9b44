"""Test the password reset example, which needs a call or a text and then a code, and has pages of its own."""

from collections.abc import Callable

import pytest
from redis import Redis

from development.examples import Examples
from examples.__main__ import KNOWN
from tests.browser.conftest import Visitor

Visiting = Callable[..., Visitor]


@pytest.fixture(autouse=True)
def fresh(stack: Examples) -> None:
    """Empty Redis, so that the only account can be reset again at once."""
    with Redis(unix_socket_path=str(stack.directory / "valkey.sock")) as client:
        client.flushall()


def type_code(visitor: Visitor, code: str) -> None:
    visitor.page.locator("#code").fill(code)
    visitor.page.locator("form", has=visitor.page.locator("#code")).get_by_role("button").click()


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_a_call_and_a_code_reset_the_password(
    visiting: Visiting, size: str, request: pytest.FixtureRequest
) -> None:
    visitor = visiting(size)
    visitor.number = KNOWN
    page = visitor.page
    visitor.begin("reset")
    page.get_by_role("heading", name="Call this number").wait_for()
    visitor.check_accessible()
    visitor.shoot(f"reset-{size}", request)
    visitor.call()
    page.get_by_role("heading", name="Type the code").wait_for()
    visitor.check_accessible()
    code = visitor.code()
    type_code(visitor, f"{(int(code) + 1) % 10**6:06}")
    page.get_by_text("The code is wrong.").wait_for()
    type_code(visitor, code)
    page.get_by_role("heading", name="Choose a new password").wait_for()
    visitor.check_accessible()
    page.locator("#password").fill("a new password of mine")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your password is changed.").wait_for()


def test_a_visitor_who_cannot_call_sends_a_text(visiting: Visiting) -> None:
    visitor = visiting("phone", "ru")
    visitor.number = KNOWN
    page = visitor.page
    visitor.begin("reset")
    page.get_by_role("button", name="Не могу позвонить").click()
    page.get_by_role("heading", name="Отправьте это сообщение").wait_for()
    visitor.check_accessible()
    text = page.locator(".number").inner_text()
    visitor.tell("text", cli=visitor.number, to="+79585550000", text=text)
    page.get_by_role("heading", name="Введите код").wait_for()
    type_code(visitor, visitor.code())
    page.get_by_role("heading", name="Придумайте новый пароль").wait_for()


def test_a_missing_account_is_shown_only_after_the_proof(visiting: Visiting) -> None:
    """Until then visitors with and without an account see the same pages, word for word."""
    pages: list[list[str]] = []
    for number in (KNOWN, None):
        visitor = visiting()
        visitor.number = number or visitor.number
        seen = []
        visitor.begin("reset")
        visitor.page.get_by_role("heading", name="Call this number").wait_for()
        seen.append(masked(visitor))
        visitor.call()
        visitor.page.get_by_role("heading", name="Type the code").wait_for()
        seen.append(masked(visitor))
        pages.append(seen)
        type_code(visitor, visitor.code())
    assert pages[0] == pages[1]
    visitor.page.get_by_text("There is no account with this number.").wait_for()
    visitor.page.get_by_role("button", name="Start again").click()
    visitor.page.locator("#phone").wait_for()


def test_after_starting_again_the_number_can_be_used_at_once(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.number = KNOWN
    for _ in range(2):
        visitor.begin("reset")
        visitor.page.get_by_role("heading", name="Call this number").wait_for()
        visitor.page.get_by_role("button", name="Start again").click()
        visitor.page.locator("#phone").wait_for()
    other = visiting()
    other.number = KNOWN
    other.begin("reset")
    other.page.get_by_role("heading", name="Call this number").wait_for()
    other.call()
    other.page.get_by_role("heading", name="Type the code").wait_for()


def test_a_number_that_another_visitor_is_resetting_looks_like_any_other(visiting: Visiting) -> None:
    pages = []
    for _ in range(2):
        visitor = visiting()
        visitor.number = KNOWN
        visitor.begin("reset")
        visitor.page.get_by_role("heading", name="Call this number").wait_for()
        pages.append(masked(visitor))
    assert pages[0] == pages[1]


def masked(visitor: Visitor) -> str:
    """Return the page's text with every digit replaced by 0.

    The text depends on the layout, so the stylesheet must be loaded first.
    """
    visitor.page.wait_for_load_state("load")
    text = visitor.page.locator("main").inner_text()
    return "".join("0" if letter.isdigit() else letter for letter in text)


def test_no_password_can_be_set_without_the_proof(visiting: Visiting) -> None:
    visitor = visiting()
    for path in ("/password", "/confirm"):
        visitor.page.goto(visitor.stack.reset + path)
        visitor.page.locator("#phone").wait_for()
    visitor.begin("reset")
    visitor.page.get_by_role("heading", name="Call this number").wait_for()
    visitor.page.goto(f"{visitor.stack.reset}/password")
    visitor.page.get_by_text("A password reset is under way.").wait_for()


def test_too_many_wrong_codes_end_the_reset_with_a_neutral_message(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin("reset")
    visitor.page.get_by_role("heading", name="Call this number").wait_for()
    visitor.call()
    visitor.page.get_by_role("heading", name="Type the code").wait_for()
    wrong = f"{(int(visitor.code()) + 1) % 10**6:06}"
    for _ in range(4):
        type_code(visitor, wrong)
        visitor.page.get_by_text("The code is wrong.").wait_for()
    type_code(visitor, wrong)
    visitor.page.get_by_text("That did not work.").wait_for()
