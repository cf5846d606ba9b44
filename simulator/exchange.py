"""State of an smsc account: orders, calls, inbox, request ceilings. No HTTP, no threads; the caller passes the time.

Source: smsc-api.md sections 1, 3 and 7. README.md lists what they leave open and how it was decided here.
"""

import hashlib
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

WINDOW_SECONDS = 900
# The block 555 of a Moscow mobile code stands for invented numbers.
POOL = tuple(f"7958555{suffix:04d}" for suffix in (1234, 5678, 1001, 2002, 3003, 4004))
CEILINGS = {
    "wait_call": 50,
    "get_answers": 3,
    "balance": 10,
    "send": 1,
    "status": 5,
    "receive_phones": 2,
    "downloads": 3,
}
"""Most identical requests in one minute. For the balance all requests are counted, not only identical ones."""
BALANCE = "250.80"
ERROR_TEXTS = {
    1: "parameters error",
    2: "authorise error",
    3: "no money",
    4: "IP blocked",
    5: "phone error",
    6: "daily limit",
    7: "invalid number",
    8: "undeliverable number",
    9: "too many requests",
}


def international(phone: str) -> str:
    """Return a phone as international digits. Without a ``+``, an 8 in front of ten digits is corrected to 7."""
    given = phone.strip()
    if given.startswith("+"):
        return given[1:]
    return f"7{given[1:]}" if len(given) == 11 and given.startswith("8") else given


class ProviderError(Exception):
    """The provider answers with an error code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(ERROR_TEXTS.get(code, "error"))


@dataclass(frozen=True)
class Account:
    """Credentials of a provider account: login and password, or an API key."""

    login: str
    password: str
    apikey: str


@dataclass
class Exchange:
    """State of one provider account. The caller must hold the simulator's lock and pass the time (epoch seconds)."""

    account: Account
    rng: random.Random
    orders: dict[str, tuple[str, float]] = field(default_factory=dict)
    inbox: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    utc_offset: int = 10800
    balance: str = BALANCE
    _asked: dict[str, deque[float]] = field(default_factory=dict)

    def admit(self, fields: dict[str, str], endpoint: str, now: float) -> None:
        """Check credentials, then the endpoint's ceiling.

        Raises:
            ProviderError: code 2 for wrong credentials, 9 for too many requests.
        """
        by_key = fields.get("apikey") == self.account.apikey
        password = self.account.password.encode()
        spellings = {
            self.account.password,
            *(hashlib.new(each, password).hexdigest() for each in ("md5", "sha1")),
        }
        by_login = fields.get("login") == self.account.login and fields.get("psw") in spellings
        if not by_key and not by_login:
            raise ProviderError(2)
        secrets = ("apikey", "login", "psw")
        # Two messages with the same text and phone are identical even if their ids differ.
        ignored = (*secrets, "id", "imgcode", "userip") if endpoint == "send" else secrets
        parameters = {} if endpoint == "balance" else {k: v for k, v in fields.items() if k not in ignored}
        identical = self._asked.setdefault(f"{endpoint} {sorted(parameters.items())}", deque())
        while identical and identical[0] <= now - 60:
            identical.popleft()
        if len(identical) >= CEILINGS[endpoint]:
            raise ProviderError(9)
        identical.append(now)

    def order(self, phone: str, now: float) -> tuple[str, tuple[str, ...]]:
        """Choose the number that a phone has to dial, and return it with its pool. A second order replaces the first.

        Raises:
            ProviderError: code 1 for a phone that is not 10 to 15 digits.
        """
        phone = international(phone)
        if not phone.isascii() or not phone.isdecimal() or not 10 <= len(phone) <= 15:
            raise ProviderError(1)
        number = self.rng.choice(POOL)
        self.orders[phone] = (number, now)
        return number, POOL

    def call(self, cli: str, did: str, now: float, listed: str | None = "") -> bool:
        """Dial one of the pool's numbers as a subscriber. Return whether the provider reports the call.

        Args:
            cli: the calling number, digits.
            did: the dialled number, digits.
            now: epoch seconds.
            listed: the dialled number that the inbox shows; empty for the real one, None for none.
        """
        ordered = self.orders.get(cli)
        if ordered is None or did not in POOL or now - ordered[1] > WINDOW_SECONDS:
            return False
        self._received(cli, did if listed == "" else listed, "[waitcall]", now)
        return True

    def live(self, phone: str, now: float) -> list[tuple[float, str]]:
        """List the caller's live orders: when each was placed (epoch seconds), and the number to dial."""
        number, at = self.orders.get(phone, ("", now - WINDOW_SECONDS - 1))
        return [(at, number)] if now - at <= WINDOW_SECONDS else []

    def text(self, cli: str, to: str, text: str, now: float) -> None:
        """Put a text from a subscriber into the inbox."""
        self._received(cli, to, text, now)

    def _received(self, cli: str, to: str | None, text: str, now: float) -> None:
        record = {"id": len(self.inbox) + 1, "phone": cli, "to_phone": to, "at": now, "message": text}
        self.inbox.append(record)

    def answers(self, after_id: int, count: int, to_phone: str = "") -> list[dict[str, Any]]:
        """List at most ``count`` inbox records whose id is greater than ``after_id``, only those to ``to_phone`` if given."""
        listed = (each for each in self.inbox if each["id"] > after_id and to_phone in ("", each["to_phone"]))
        return list(islice(listed, count))

    def reset(self) -> None:
        """Remove all orders, records and counts, and restore the balance."""
        for state in (self.orders, self.inbox, self.ledger, self._asked):
            state.clear()
        self.balance = BALANCE
