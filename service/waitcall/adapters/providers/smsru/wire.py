"""Answers of callcheck/add, callcheck/status and my/balance, and the table of status codes (docs/providers/smsru.md)."""

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from waitcall.adapters.providers.request_outcome import RequestOutcome
from waitcall.domain.matching import OrderStatus

OK = 100
STATUS_CODES = {
    200: RequestOutcome.CREDENTIALS,
    201: RequestOutcome.REJECTED,  # not enough money
    202: RequestOutcome.NUMBER_REFUSED,  # the number is written wrongly, or there is no route to it
    206: RequestOutcome.THROTTLED,  # the day's limit
    207: RequestOutcome.NUMBER_REFUSED,  # no route to the number
    209: RequestOutcome.NUMBER_REFUSED,  # the number is on the account's stop list
    220: RequestOutcome.SERVER_ERROR,  # not available for now
    230: RequestOutcome.THROTTLED,  # the day's limit of this number
    231: RequestOutcome.THROTTLED,
    232: RequestOutcome.THROTTLED,
    300: RequestOutcome.CREDENTIALS,  # the token has expired, or our address has changed
    301: RequestOutcome.CREDENTIALS,
    302: RequestOutcome.CREDENTIALS,  # the account is not confirmed
    500: RequestOutcome.SERVER_ERROR,
}
"""Codes that are not in the table count as REJECTED: the request would fail again."""
STATUSES = {400: OrderStatus.WAITING, 401: OrderStatus.CALLED, 402: OrderStatus.ENDED}

MAX_ANSWER_BYTES = 65536
ORDER_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9][0-9 ().\-]{4,30}", re.ASCII)


class UnreadableAnswer(Exception):
    """The answer is empty, cut off, HTML, or of an unknown shape."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer with another code than 100; -1 if the code is unreadable."""

    code: int

    @property
    def outcome(self) -> RequestOutcome:
        """RequestOutcome that the code stands for."""
        return STATUS_CODES.get(self.code, RequestOutcome.REJECTED)


@dataclass(frozen=True, slots=True)
class Added:
    """An accepted order: its id, and the number to dial as digits without ``+``."""

    order_id: str = field(repr=False)
    number: str = field(repr=False)


def read_added(body: bytes) -> Added | Refused:
    """Read the answer of callcheck/add. Raises UnreadableAnswer."""
    answer = _document(body)
    if isinstance(answer, Refused):
        return answer
    order_id, number = _text(answer.get("check_id")), _text(answer.get("call_phone"))
    if not ORDER_ID.fullmatch(order_id) or not _NUMBER.fullmatch(number):
        raise UnreadableAnswer
    return Added(order_id, re.sub(r"[^0-9]", "", number))


def read_status(body: bytes) -> OrderStatus | Refused:
    """Read the answer of callcheck/status. Raises UnreadableAnswer."""
    answer = _document(body)
    if isinstance(answer, Refused):
        return answer
    status = STATUSES.get(_whole(answer.get("check_status")))
    if status is None:
        raise UnreadableAnswer
    return status


def read_balance(body: bytes) -> Decimal | Refused:
    """Read the answer of my/balance. Raises UnreadableAnswer."""
    answer = _document(body)
    if isinstance(answer, Refused):
        return answer
    try:
        money = Decimal(str(answer.get("balance")))
    except InvalidOperation as error:
        raise UnreadableAnswer from error
    if not money.is_finite():
        raise UnreadableAnswer
    return money


def _document(body: bytes) -> dict[str, Any] | Refused:
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer from error
    if not isinstance(answer, dict) or "status_code" not in answer:
        raise UnreadableAnswer
    code = _whole(answer["status_code"])
    return answer if code == OK else Refused(code)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableAnswer
    return str(value).strip()


def _whole(value: Any) -> int:
    # The provider writes codes as numbers or as texts.
    try:
        return -1 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        return -1
