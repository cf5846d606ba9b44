"""Text messages of an account, and their captcha pictures. No HTTP; the caller passes the time.

Source: smsc-api.md sections 2, 5 and 9.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.exchange import international

LONGEST_TEXT = 1000
PRICE = "3.50"
FINAL = frozenset({-3, -2, 1, 2, 3, 4, 20, 22, 23, 25})
STATUS_NAMES = {
    -1: "Ожидает отправки",
    0: "Передано оператору",
    1: "Доставлено",
    2: "Прочитано",
    20: "Невозможно доставить",
}
FORBIDDEN = "casino"
"""Word that no text may contain (error code 6)."""
PICTURE_LETTERS = "23456789abcdefghkmnpqrstuvwxyz"


@dataclass
class Sent:
    """Text that the account sent to a phone. ``at`` and ``status_at`` are epoch seconds."""

    id: int
    phone: str
    text: str
    at: float
    status: int = 0
    err: int = 0
    status_at: float = 0.0
    sender: str = ""


@dataclass
class PostOffice:
    """Texts that one account sent. The caller must hold the simulator's lock and pass the time (epoch seconds)."""

    rng: random.Random
    sent: list[Sent] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    _next_id: int = 1

    def send(self, phones: str, text: str, message_id: str, now: float, sender: str = "") -> list[Sent]:
        """Accept a text to each phone, under the caller's id if it gives one.

        Raises:
            ValueError: with the provider's error code (1, 6 or 7) as its argument.
        """
        numbers = [international(each) for each in phones.replace(";", ",").split(",") if each.strip()]
        if not numbers or not text or len(text) > LONGEST_TEXT:
            raise ValueError(1)
        if FORBIDDEN in text.casefold():
            raise ValueError(6)
        if any(not each.isascii() or not each.isdecimal() or not 10 <= len(each) <= 15 for each in numbers):
            raise ValueError(7)
        given = int(message_id) if message_id.isascii() and message_id.isdecimal() else 0
        if given == 0:
            given, self._next_id = self._next_id, self._next_id + 1
        taken = [Sent(given, each, text, now, status_at=now, sender=sender) for each in numbers]
        self.sent += taken
        return taken

    def find(self, message_id: int, phone: str) -> Sent | None:
        """Find the latest text with this id to this phone."""
        return next(
            (each for each in reversed(self.sent) if (each.id, each.phone) == (message_id, phone)), None
        )

    def picture(self, address: str) -> str:
        """Choose a new code for the picture of the visitor at ``address``. The earlier code is no longer accepted."""
        code = "".join(self.rng.choice(PICTURE_LETTERS) for _ in range(4))
        self.pictures[address] = code
        return code

    def solves(self, code: str, address: str) -> bool:
        """Check the code that the visitor read from the picture. Each picture can be tried once."""
        return self.pictures.pop(address, None) == code.casefold()

    def reset(self) -> None:
        """Remove all texts and pictures."""
        self.sent.clear()
        self.pictures.clear()


def status_fields(sent: Sent) -> dict[str, str]:
    """Return the fields of a delivery report to the handler, without the signature."""
    return {
        "id": str(sent.id),
        "phone": sent.phone,
        "status": str(sent.status),
        "ts": str(int(sent.status_at)),
        "err": str(sent.err),
        "cnt": "1",
        "cost": PRICE,
        "type": "0",
    }


def status_answer(sent: Sent | None, stamp: Callable[[float], str], details: str) -> dict[str, Any]:
    """Return the answer of status.php for a text, or for an unknown one (None).

    Args:
        sent: the text.
        stamp: writes a time as the provider does.
        details: the parameter ``all``: ``1`` adds the message, ``2`` also its country and operator.
    """
    if sent is None:
        return {"status": -3, "last_date": "", "last_timestamp": 0, "err": 0}
    answer: dict[str, Any] = {
        "status": sent.status,
        "last_date": stamp(sent.status_at),
        "last_timestamp": int(sent.status_at),
        "err": sent.err,
    }
    if details in ("1", "2"):
        answer |= {
            "send_date": stamp(sent.at),
            "send_timestamp": int(sent.at),
            "phone": sent.phone,
            "cost": PRICE,
            "sender_id": sent.sender,
            "status_name": STATUS_NAMES.get(sent.status, ""),
            "message": sent.text,
            "type": 0,
        }
    if details == "2":
        answer |= {"country": "Россия", "operator": "Мегафон", "region": "Москва"}
    return answer
