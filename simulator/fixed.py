"""Test numbers of the simulator: subscribers that always do the same after an order, without anybody at the handset."""

import json
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from simulator.dialler import exchange

OUTCOMES = ("verified", "expired", "failed")


@dataclass(frozen=True)
class FixedOutcome:
    """Behaviour of a test number after an order.

    Attributes:
        outcome: ``verified``: the number calls; ``expired``: it never calls; ``failed``: the order is refused.
        delay_seconds: time from the order to the call.
    """

    outcome: str
    delay_seconds: float = 2.0


def read_fixed(text: str) -> tuple[str, FixedOutcome]:
    """Read ``NUMBER=OUTCOME`` or ``NUMBER=OUTCOME:SECONDS``. Return the number's digits and the outcome.

    Raises:
        ValueError: the text has another form.
    """
    number, _, rest = text.partition("=")
    outcome, _, delay = rest.partition(":")
    digits = number.strip().removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()) or outcome not in OUTCOMES:
        raise ValueError(f"Write NUMBER=OUTCOME or NUMBER=OUTCOME:SECONDS; OUTCOME: {', '.join(OUTCOMES)}.")
    return digits, FixedOutcome(outcome, float(delay or 2))


class Subscribers:
    """The test numbers of a simulator."""

    def __init__(self, fixed: Mapping[str, FixedOutcome]) -> None:
        self._fixed = fixed
        self.control_url = ""
        """URL of the control API, which makes the calls."""

    def refuses(self, phone: str) -> bool:
        """Tell whether an order for this number fails."""
        return phone in self._fixed and self._fixed[phone].outcome == "failed"

    def is_silent(self, phone: str) -> bool:
        """Tell whether this number never calls."""
        return phone in self._fixed and self._fixed[phone].outcome != "verified"

    def ordered(self, phone: str, number: str) -> None:
        """Note an order. If the test number calls, it calls ``number`` after its delay."""
        fixed = self._fixed.get(phone)
        if fixed is None or fixed.outcome != "verified":
            return
        body = json.dumps({"cli": phone, "did": number}).encode()
        headers = {"Content-Type": "application/json"}
        call = urllib.request.Request(f"{self.control_url}/dial", body, headers)  # noqa: S310  our own URL
        timer = threading.Timer(fixed.delay_seconds, exchange, (call,))
        timer.daemon = True
        timer.start()
