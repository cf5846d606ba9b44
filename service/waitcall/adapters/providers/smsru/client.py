"""Client of sms.ru: orders, their status, and the balance. Each takes one request, without retries."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from time import monotonic
from typing import Any, TypeVar

from waitcall.adapters.providers.guarded_calls import GuardedCalls, TimeLimit
from waitcall.adapters.providers.transport import (
    Account,
    ProviderMetrics,
    Refusal,
    RequestOutcome,
    Transport,
    UnreadableAnswer,
    document,
    whole_number,
)
from waitcall.domain.channel import Capability, PlacedOrder, Provider, ProviderOrder
from waitcall.domain.errors import InvalidPhoneNumber
from waitcall.domain.matching import OrderStatus
from waitcall.domain.numbers import E164

NAME = "smsru"
OPERATION = "callcheck_add"
WINDOW_SECONDS = 300
"""Seconds for which the provider waits for the call (docs/providers/smsru.md)."""
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
"""Codes (docs/providers/smsru.md) that are not in the table count as REJECTED: the request would fail again."""
STATUSES = {400: OrderStatus.WAITING, 401: OrderStatus.CALLED, 402: OrderStatus.ENDED}

ORDER_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9][0-9 ().\-]{4,30}", re.ASCII)

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Added:
    """An accepted order: its id, and the number to dial as digits without ``+``."""

    order_id: str = field(repr=False)
    number: str = field(repr=False)


class SmsruProvider:
    """CallProvider and ProviderOrderQuery for sms.ru's callcheck."""

    name = NAME
    capabilities = frozenset({Capability.DIALLED_IN_CALLBACK, Capability.POLL})

    def __init__(
        self,
        account: Account,
        may_be_shown: Callable[[E164, E164], bool],
        metrics: ProviderMetrics,
        time_limit: TimeLimit,
    ) -> None:
        """``account``: with one base URL, for instance ``https://sms.ru``, and the credential ``api_id``."""
        self._account = account
        self._may_be_shown = may_be_shown
        self._metrics = metrics
        self._http = Transport(account, metrics)
        self._calls = GuardedCalls(OPERATION, account, metrics, time_limit)

    def order(self, subscriber: E164) -> PlacedOrder:
        """Order a number that ``subscriber`` may dial.

        Raises:
            NumberRefused: the provider answered code 202, 207 or 209.
            ProviderError: another error code, an unreadable answer, or a number that must not be shown.
            ProviderUnavailable: the provider is unreachable, timed out, answered 5xx or named a limit, or a guard
                prevented the request.
        """

        def call(deadline: float) -> PlacedOrder:
            left = max(deadline - monotonic(), 0.05)
            added = self._ask(OPERATION, "callcheck/add", {"phone": subscriber.digits}, read_added, left)
            return self._checked(added, subscriber)

        return self._calls.run(call)

    def status(self, order: ProviderOrder) -> OrderStatus:
        """Return the status of an order.

        Raises:
            ProviderFailure
        """
        fields, seconds = {"check_id": order.id}, self._account.budget_seconds
        return self._ask("callcheck_status", "callcheck/status", fields, read_status, seconds)

    def balance(self) -> Decimal:
        """Return the account's balance, in roubles.

        Raises:
            ProviderFailure
        """
        return self._ask("smsru_balance", "my/balance", {}, read_balance, self._account.budget_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _checked(self, added: Added, subscriber: E164) -> PlacedOrder:
        try:
            number = E164.parse(f"+{added.number}")
        except InvalidPhoneNumber:
            number = None
        if number is None or not self._may_be_shown(number, subscriber):
            # The request itself was counted as OK, so count the bad number in addition.
            self._metrics.provider_request(OPERATION, RequestOutcome.BAD_NUMBER, 0.0)
            raise self._calls.failure(RequestOutcome.BAD_NUMBER)
        return PlacedOrder(number, ProviderOrder(NAME, added.order_id), WINDOW_SECONDS, Provider.SMSRU)

    def _ask(
        self,
        operation: str,
        path: str,
        fields: Mapping[str, str],
        read: Callable[[bytes], T | Refusal],
        timeout_seconds: float,
    ) -> T:
        url = f"{self._account.base_urls[0]}/{path}"
        answer = self._http.ask(operation, url, dict(fields) | {"json": "1"}, read, timeout_seconds)
        if answer.value is not None:
            return answer.value
        if answer.code is not None:
            _log.warning("provider error", extra={"operation": operation, "error_code": answer.code})
        _log.warning(
            "provider request failed", extra={"operation": operation, "outcome": answer.outcome.value}
        )
        raise self._calls.failure(answer.outcome)


def read_added(body: bytes) -> Added | Refusal:
    """Read the answer of callcheck/add. Raises UnreadableAnswer."""
    answer = _document(body)
    if isinstance(answer, Refusal):
        return answer
    order_id, number = _text(answer.get("check_id")), _text(answer.get("call_phone"))
    if not ORDER_ID.fullmatch(order_id) or not _NUMBER.fullmatch(number):
        raise UnreadableAnswer
    return Added(order_id, re.sub(r"[^0-9]", "", number))


def read_status(body: bytes) -> OrderStatus | Refusal:
    """Read the answer of callcheck/status. Raises UnreadableAnswer."""
    answer = _document(body)
    if isinstance(answer, Refusal):
        return answer
    status = STATUSES.get(whole_number(answer.get("check_status")))
    if status is None:
        raise UnreadableAnswer
    return status


def read_balance(body: bytes) -> Decimal | Refusal:
    """Read the answer of my/balance. Raises UnreadableAnswer."""
    answer = _document(body)
    if isinstance(answer, Refusal):
        return answer
    try:
        money = Decimal(str(answer.get("balance")))
    except InvalidOperation as error:
        raise UnreadableAnswer from error
    if not money.is_finite():
        raise UnreadableAnswer
    return money


def _document(body: bytes) -> dict[str, Any] | Refusal:
    answer = document(body)
    if not isinstance(answer, dict) or "status_code" not in answer:
        raise UnreadableAnswer
    code = whole_number(answer["status_code"])
    return answer if code == OK else Refusal(STATUS_CODES.get(code, RequestOutcome.REJECTED), code)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableAnswer
    return str(value).strip()
