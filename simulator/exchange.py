"""What the provider knows: orders, calls, its inbox, its ceilings. No HTTP, no threads, no clock of its own.

Facts: smsc-api.md sections 1, 3, 7. What the record leaves open is decided here and named in README.md.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

WINDOW_SECONDS = 900
# Written as fiction: the 555 block of a Moscow mobile code.
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
"""Requests in one minute: identical ones, but for the balance, where any count."""
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


class ProviderError(Exception):
    """An answer with an error code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(ERROR_TEXTS.get(code, "error"))


@dataclass(frozen=True)
class Account:
    """Whom the provider lets in."""

    login: str
    password: str
    apikey: str


@dataclass
class Exchange:
    """The state of one provider account. Callers hold the lock and bring the time (epoch seconds)."""

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
            ProviderError: 2 or 9.
        """
        by_key = fields.get("apikey") == self.account.apikey
        by_login = (fields.get("login"), fields.get("psw")) == (self.account.login, self.account.password)
        if not by_key and not by_login:
            raise ProviderError(2)
        secrets = ("apikey", "login", "psw")
        # A message is identical by its text and its phone, whatever id it was given.
        ignored = (*secrets, "id", "imgcode", "userip") if endpoint == "send" else secrets
        parameters = {} if endpoint == "balance" else {k: v for k, v in fields.items() if k not in ignored}
        identical = self._asked.setdefault(f"{endpoint} {sorted(parameters.items())}", deque())
        while identical and identical[0] <= now - 60:
            identical.popleft()
        if len(identical) >= CEILINGS[endpoint]:
            raise ProviderError(9)
        identical.append(now)

    def order(self, phone: str, now: float) -> tuple[str, tuple[str, ...]]:
        """A number to dial, and the pool it is from. A second order replaces the first.

        Raises:
            ProviderError: 1 for a phone that is not international digits.
        """
        if not phone.isascii() or not phone.isdecimal() or not 10 <= len(phone) <= 15:
            raise ProviderError(1)
        number = self.rng.choice(POOL)
        self.orders[phone] = (number, now)
        return number, POOL

    def call(self, cli: str, did: str, now: float, listed: str | None = "") -> bool:
        """Dial one of our numbers as a subscriber; tell if the provider reports it.

        ``listed``: the dialled number in the inbox, None to leave it out; empty for the number itself.
        """
        ordered = self.orders.get(cli)
        if ordered is None or did not in POOL or now - ordered[1] > WINDOW_SECONDS:
            return False
        self._received(cli, did if listed == "" else listed, "[waitcall]", now)
        return True

    def live(self, phone: str, now: float) -> list[tuple[float, str]]:
        """When each live order of a caller was placed, and its number."""
        number, at = self.orders.get(phone, ("", now - WINDOW_SECONDS - 1))
        return [(at, number)] if now - at <= WINDOW_SECONDS else []

    def text(self, cli: str, to: str, text: str, now: float) -> None:
        """Somebody sends a text to one of our numbers."""
        self._received(cli, to, text, now)

    def _received(self, cli: str, to: str | None, text: str, now: float) -> None:
        record = {"id": len(self.inbox) + 1, "phone": cli, "to_phone": to, "at": now, "message": text}
        self.inbox.append(record)

    def answers(self, after_id: int, count: int) -> list[dict[str, Any]]:
        """Inbox records after an id."""
        return [record for record in self.inbox if record["id"] > after_id][:count]

    def reset(self) -> None:
        """Forget everything."""
        for state in (self.orders, self.inbox, self.ledger, self._asked):
            state.clear()
        self.balance = BALANCE
