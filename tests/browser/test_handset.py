"""Test the simulator's handset: it rings, the provider's side ends the call, and the person can hang up first."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Visitor
from waitcall.adapters.http.hosted_page.colors import contrast

Visiting = Callable[..., Visitor]
SOUNDS = """
window.contexts = 0;
const Real = window.AudioContext;
window.AudioContext = class extends Real { constructor() { super(); window.contexts += 1; } };
"""


def order(visitor: Visitor) -> Any:
    """Open the handset and, in a window of its own, the login. Begin the login, and return its window."""
    page = visitor.page
    page.goto(visitor.stack.demonstration)
    page.locator("#cli").fill(visitor.number)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Log in").click()
    login = visitor.watch(opened.value)
    login.get_by_role("button", name="Continue").click()
    page.locator("#did:not(:placeholder-shown)").wait_for()
    return login


def press(visitor: Visitor, name: str) -> None:
    visitor.page.get_by_role("button", name=name, exact=True).click()


def reports(visitor: Visitor) -> list[Any]:
    """Return the reports of calls from the visitor's number that the provider sent."""
    phone = visitor.number.removeprefix("+")
    return [
        each
        for each in visitor.ask("ledger")["ledger"]
        if each.get("kind") == "call" and f"phone={phone}&" in each["body"]
    ]


@pytest.mark.parametrize("size", ["phone", "desktop", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_handset_rings_and_then_the_other_side_ends_the_call(
    visiting: Visiting, size: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    visitor = visiting(size, color_scheme=scheme, reduced_motion="reduce")
    page = visitor.page
    login = order(visitor)
    visitor.check_accessible()
    press(visitor, "Call")
    page.get_by_role("status").filter(has_text="It rings.").wait_for()
    assert page.get_by_role("button", name="Call", exact=True).count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if size != "narrow":
        visitor.shoot(f"handset-ringing-{size}-{scheme}", request)
    visitor.check_accessible()
    page.get_by_role("status").filter(
        has_text="The other side ended the call.\nYou hear a busy tone."
    ).wait_for()
    page.locator("#sent").filter(has_text="→ 200 OK").wait_for()
    assert len(reports(visitor)) == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visitor.check_accessible()
    visitor.logged_in(login)
    if (size, scheme) == ("desktop", "light"):
        visitor.shoot("handset", request)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_placeholder_has_enough_contrast(visiting: Visiting, scheme: str) -> None:
    visitor = visiting("phone", color_scheme=scheme)
    visitor.page.goto(visitor.stack.demonstration)
    colours = visitor.page.locator("#did").evaluate(
        "field => [getComputedStyle(field, '::placeholder').color, getComputedStyle(field).backgroundColor]"
    )
    text, ground = (
        "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", each)) for each in colours
    )
    assert contrast(text, ground) >= 4.5


def test_the_labels_of_the_examples_stand_in_the_middle_of_their_buttons(visiting: Visiting) -> None:
    visitor = visiting("phone")
    visitor.page.goto(visitor.stack.demonstration)
    for link in visitor.page.locator(".examples a").all():
        above, below = link.evaluate("""link => {
            const range = document.createRange();
            range.selectNodeContents(link);
            const [text, box] = [range.getBoundingClientRect(), link.getBoundingClientRect()];
            return [text.top - box.top, box.bottom - text.bottom];
        }""")
        assert abs(above - below) <= 1


def test_a_call_that_the_person_ends_first_is_not_reported(visiting: Visiting) -> None:
    visitor = visiting()
    login = order(visitor)
    press(visitor, "Call")
    press(visitor, "Hang up")
    visitor.page.get_by_role("status").filter(has_text="You hung up").wait_for()
    visitor.page.locator("#sent").filter(has_text="does not report").wait_for()
    # The second call is the first that is reported.
    press(visitor, "Call")
    visitor.logged_in(login)
    assert len(reports(visitor)) == 1


def test_a_hidden_number_proves_nothing(visiting: Visiting) -> None:
    visitor = visiting()
    page = visitor.page
    login = order(visitor)
    page.get_by_text("Call settings").click()
    page.get_by_label("Hide my number").check()
    visitor.check_accessible()
    press(visitor, "Call")
    page.locator("#sent").filter(has_text="Your number was hidden").wait_for()
    assert reports(visitor) == []
    assert login.get_by_role("status").inner_text() == "Waiting for your call"
    page.get_by_label("Hide my number").uncheck()
    press(visitor, "Call")
    visitor.logged_in(login)


def test_the_call_may_end_with_an_announcement(visiting: Visiting) -> None:
    visitor = visiting()
    order(visitor)
    visitor.page.get_by_text("Call settings").click()
    visitor.page.locator("#ending").select_option("blocked")
    press(visitor, "Call")
    visitor.page.get_by_role("status").filter(has_text="This number is blocked").wait_for()


def test_a_number_that_waits_for_no_call_is_not_reported(visiting: Visiting) -> None:
    visitor = visiting()
    page = visitor.page
    page.goto(f"{visitor.stack.demonstration}?phone=%2B79998880001")
    assert page.locator("#cli").input_value() == "+79998880001"
    page.locator("#did").fill("+7 (958) 555-12-34")
    press(visitor, "Call")
    page.locator("#sent").filter(has_text="No order waits").wait_for()


def test_the_handset_is_silent_unless_sound_is_switched_on(visiting: Visiting) -> None:
    visitor = visiting()
    page = visitor.page
    page.add_init_script(SOUNDS)
    page.goto(visitor.stack.demonstration)
    page.locator("#did").fill("+79585551234")
    press(visitor, "Call")
    press(visitor, "Hang up")
    assert page.evaluate("contexts") == 0
    page.get_by_text("Call settings").click()
    page.get_by_label("Sound").check()
    press(visitor, "Call")
    assert page.evaluate("[contexts, audio.state]") == [1, "running"]
    press(visitor, "Hang up")
    assert page.evaluate("audio") is None
    press(visitor, "Call")
    page.get_by_role("status").filter(has_text="busy tone").wait_for()
    assert page.evaluate("contexts") == 3


def test_the_handset_works_by_keyboard_alone(visiting: Visiting) -> None:
    visitor = visiting()
    page = visitor.page
    login = order(visitor)
    page.bring_to_front()
    page.locator("#did").focus()
    page.keyboard.press("Tab")
    for name in ("Call", "Hang up", "Call"):
        # The focus follows the button that the person needs next.
        page.locator(f"button:focus:text-is('{name}')").wait_for()
        page.keyboard.press("Enter")
    visitor.logged_in(login)
    assert len(reports(visitor)) == 1
