"""Fields and answers of wait_call.php, and SMSC's table of error codes (smsc-api.md, sections 0 and 1)."""

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from waitcall.adapters.providers.request_outcome import RequestOutcome

ERROR_CODES = {
    1: RequestOutcome.REJECTED,  # wrong parameters (documented)
    2: RequestOutcome.CREDENTIALS,  # wrong login or key, or our address is not in the allow-list (documented)
    3: RequestOutcome.REJECTED,  # probably not enough money (inferred)
    4: RequestOutcome.CREDENTIALS,  # our address is blocked after frequent errors (uniform on other endpoints)
    5: RequestOutcome.REJECTED,  # meaning unknown; one integrator says a wrong number
    6: RequestOutcome.REJECTED,  # meaning unknown; one integrator says the daily attempts of the number
    7: RequestOutcome.NUMBER_REFUSED,  # wrong number format (as in send.php)
    8: RequestOutcome.NUMBER_REFUSED,  # the number cannot be served (as in send.php)
    9: RequestOutcome.THROTTLED,  # more than 50 identical requests in a minute (ceiling documented)
}
"""Codes that are not in the table count as REJECTED: the request would fail again."""

MAX_ANSWER_BYTES = 65536
_NUMBER = re.compile(r"\+?[0-9][0-9 ().\-]{4,30}", re.ASCII)
_SEPARATORS = re.compile(r"[,;\n]")


@dataclass(frozen=True, slots=True)
class NumberGiven:
    """A successful answer. Numbers are digits without ``+``.

    Attributes:
        number: the number to dial.
        pool: all numbers that the provider could have assigned; None if the answer does not name them.
    """

    number: str = field(repr=False)
    pool: frozenset[str] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ErrorGiven:
    """An answer with an error code; -1 if the code is unreadable."""

    code: int

    @property
    def outcome(self) -> RequestOutcome:
        """RequestOutcome that the code stands for."""
        return ERROR_CODES.get(self.code, RequestOutcome.REJECTED)


class UnreadableAnswer(Exception):
    """The answer is empty, cut off, HTML, or of a shape that smsc-api.md rules out."""


def order_fields(digits: str) -> dict[str, str]:
    """Return the form fields of an order, without credentials. ``digits``: the subscriber's number without ``+``."""
    return {"phone": digits, "fmt": "3", "charset": "utf-8"}


def read_order_answer(body: bytes) -> NumberGiven | ErrorGiven:
    """Read a ``fmt=3`` answer in every shape that smsc-api.md section 1 leaves open.

    Raises:
        UnreadableAnswer
    """
    try:
        answer = json.loads(body.decode("utf-8-sig"))
        if not isinstance(answer, dict):
            raise UnreadableAnswer
        if "error_code" in answer or "error" in answer:
            return ErrorGiven(_code(answer.get("error_code")))
        return NumberGiven(_digits(answer.get("phone")), _pool(answer.get("all_phones")))
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer from error


def _code(value: Any) -> int:
    try:
        return -1 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        return -1


def _digits(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableAnswer
    return _digits_of(str(value))


# All answers name the same few numbers, so remember how they are read.
@lru_cache(maxsize=256)
def _digits_of(written: str) -> str:
    text = written.strip()
    if not _NUMBER.fullmatch(text):
        raise UnreadableAnswer
    return re.sub(r"[^0-9]", "", text)


def _pool(value: Any) -> frozenset[str] | None:
    return None if value is None else frozenset(_members(value))


def _members(value: Any) -> list[str]:
    if isinstance(value, str):
        return [_digits_of(part) for part in _SEPARATORS.split(value) if part.strip()]
    # "By country" (smsc-api.md, section 1) may mean an object of lists.
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [digits for member in value for digits in _members(member)]
    return [_digits(value)]
