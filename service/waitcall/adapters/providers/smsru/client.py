"""Client of sms.ru: orders, their status, and the balance. Each takes one request, without retries."""

import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from time import monotonic
from typing import TypeVar

import urllib3

from waitcall.adapters.providers.guarded_calls import RETRY_AFTER_SECONDS, GuardedCalls
from waitcall.adapters.providers.request_outcome import RequestOutcome
from waitcall.adapters.providers.smsru.wire import (
    MAX_ANSWER_BYTES,
    Added,
    Refused,
    UnreadableAnswer,
    read_added,
    read_balance,
    read_status,
)
from waitcall.adapters.providers.time_limit import TimeLimit
from waitcall.adapters.providers.transport import Account, ProviderMetrics, Transport, transport_outcome
from waitcall.domain.channel import Capability, PlacedOrder, ProviderOrder
from waitcall.domain.errors import InvalidPhoneNumber, NumberRefused, ProviderError, ProviderUnavailable
from waitcall.domain.matching import OrderStatus
from waitcall.domain.numbers import E164

NAME = "smsru"
OPERATION = "callcheck_add"
WINDOW_SECONDS = 300
"""Seconds for which the provider waits for the call (docs/providers/smsru.md)."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


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
        self._http = Transport(account)
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
            added = self._ask(OPERATION, {"phone": subscriber.digits}, read_added, left)
            return self._checked(added, subscriber)

        return self._calls.run(call)

    def status(self, order: ProviderOrder) -> OrderStatus:
        """Return the status of an order.

        Raises:
            ProviderFailure
        """
        return self._ask(
            "callcheck_status", {"check_id": order.id}, read_status, self._account.budget_seconds
        )

    def balance(self) -> Decimal:
        """Return the account's balance, in roubles.

        Raises:
            ProviderFailure
        """
        return self._ask("smsru_balance", {}, read_balance, self._account.budget_seconds)

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
            raise ProviderError("The provider gave a number that must not be shown.")
        return PlacedOrder(number, ProviderOrder(NAME, added.order_id), WINDOW_SECONDS)

    def _ask(
        self,
        operation: str,
        fields: Mapping[str, str],
        read: Callable[[bytes], T | Refused],
        timeout_seconds: float,
    ) -> T:
        path = {OPERATION: "callcheck/add", "callcheck_status": "callcheck/status"}.get(
            operation, "my/balance"
        )
        # A request that is interrupted has exceeded its time limit.
        began, outcome, answer = monotonic(), RequestOutcome.TIMEOUT, None
        try:
            status, body = self._http.post(
                f"{self._account.base_urls[0]}/{path}",
                dict(fields) | {"json": "1"},
                timeout_seconds,
                MAX_ANSWER_BYTES,
            )
            outcome, answer = self._read(operation, status, body, read)
        except urllib3.exceptions.HTTPError as error:
            outcome = transport_outcome(error)
        finally:
            self._metrics.provider_request(operation, outcome, monotonic() - began)
        if answer is not None:
            return answer
        _log.warning("provider request failed", extra={"operation": operation, "outcome": outcome.value})
        raise self._failure(outcome)

    def _read(
        self, operation: str, status: int, body: bytes, read: Callable[[bytes], T | Refused]
    ) -> tuple[RequestOutcome, T | None]:
        if status >= 500:  # noqa: PLR2004  the class of HTTP server errors
            return RequestOutcome.SERVER_ERROR, None
        try:
            answer = read(body)
        except UnreadableAnswer:
            return RequestOutcome.UNREADABLE, None
        if isinstance(answer, Refused):
            _log.warning("provider error", extra={"operation": operation, "error_code": answer.code})
            return answer.outcome, None
        return RequestOutcome.OK, answer

    def _failure(self, outcome: RequestOutcome) -> Exception:
        match outcome:
            case RequestOutcome.UNREACHABLE | RequestOutcome.TIMEOUT | RequestOutcome.SERVER_ERROR:
                return ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)
            case RequestOutcome.UNREADABLE:
                return ProviderError("The provider's answer cannot be read.")
            case RequestOutcome.THROTTLED:
                return ProviderUnavailable("The provider is asked too often.", retry_after=60)
            case RequestOutcome.NUMBER_REFUSED:
                return NumberRefused()
            case RequestOutcome.CREDENTIALS:
                return self._calls.pause()
            case _:
                return ProviderError()
