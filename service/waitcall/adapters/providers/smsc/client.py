"""Orders at SMSC: each base URL is tried once, within one time limit."""

import logging
from collections.abc import Callable
from time import monotonic

import urllib3

from waitcall.adapters.providers.guarded_calls import RETRY_AFTER_SECONDS, GuardedCalls
from waitcall.adapters.providers.request_outcome import RequestOutcome
from waitcall.adapters.providers.smsc.wire import (
    MAX_ANSWER_BYTES,
    ErrorGiven,
    NumberGiven,
    UnreadableAnswer,
    order_fields,
    read_order_answer,
)
from waitcall.adapters.providers.time_limit import TimeLimit
from waitcall.adapters.providers.transport import Account, ProviderMetrics, Transport, transport_outcome
from waitcall.domain.channel import Capability, PlacedOrder
from waitcall.domain.errors import (
    InvalidPhoneNumber,
    NumberRefused,
    ProviderError,
    ProviderFailure,
    ProviderUnavailable,
)
from waitcall.domain.limits import Limit
from waitcall.domain.numbers import E164

NAME = "smsc"
OPERATION = "wait_call"
_CEILING_A_MINUTE = 49
"""Our ceiling of identical requests, just below the provider's 50 (smsc-api.md, section 1)."""
_LONGEST_BUDGET_SECONDS = 30

_log = logging.getLogger(__name__)


def order_limit(tries: int) -> Limit:
    """Return a limit of orders for one number that stays below the provider's ceiling of identical requests.

    Args:
        tries: maximum number of requests for one order, one for each base URL.
    """
    # An order is counted before it is sent, and its requests may be sent later, until its time limit ends.
    return Limit(max(_CEILING_A_MINUTE // tries, 1), 60 + _LONGEST_BUDGET_SECONDS)


class _NextBaseUrl(Exception):
    """This base URL gave no usable answer, but the next one may."""

    def __init__(self, failure: ProviderFailure) -> None:
        self.failure = failure


class SmscProvider:
    """CallProvider for SMSC's wait_call.php."""

    name = NAME
    capabilities = frozenset({Capability.POLL, Capability.TEXT_IN, Capability.CODE})

    def __init__(
        self,
        account: Account,
        may_be_shown: Callable[[E164, E164], bool],
        metrics: ProviderMetrics,
        time_limit: TimeLimit,
    ) -> None:
        self._account = account
        self._may_be_shown = may_be_shown
        self._metrics = metrics
        self._http = Transport(account)
        self._calls = GuardedCalls(OPERATION, account, metrics, time_limit)

    def order(self, subscriber: E164) -> PlacedOrder:
        """Order a number that ``subscriber`` may dial.

        Raises:
            NumberRefused: the provider answered code 7 or 8.
            ProviderError: another error code except 9, an unreadable answer, or a number that must not be shown.
            ProviderUnavailable: the provider is unreachable, timed out, answered 5xx or code 9, or a guard prevented the
                request.
        """
        return PlacedOrder(self._calls.run(lambda deadline: self._over_base_urls(subscriber, deadline)))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _over_base_urls(self, subscriber: E164, deadline: float) -> E164:
        failure: ProviderFailure = ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)
        left = len(self._account.base_urls)
        for base_url in self._account.base_urls:
            # Each base URL gets an equal share of the remaining time, so that one that hangs leaves time for the others.
            share = (deadline - monotonic()) / left
            try:
                return self._ask(base_url, subscriber, max(share, 0.05))
            except _NextBaseUrl as unusable:
                failure = unusable.failure
            left -= 1
        raise failure

    def _ask(self, base_url: str, subscriber: E164, timeout_seconds: float) -> E164:
        began = monotonic()
        # A request that is interrupted has exceeded its time limit.
        outcome = RequestOutcome.TIMEOUT
        try:
            fields = order_fields(subscriber.digits)
            status, body = self._http.post(
                f"{base_url}/wait_call.php", fields, timeout_seconds, MAX_ANSWER_BYTES
            )
            outcome, number = self._read(status, body, subscriber)
        except urllib3.exceptions.HTTPError as error:
            outcome, number = transport_outcome(error), None
        finally:
            self._metrics.provider_request(OPERATION, outcome, monotonic() - began)
        if number is not None:
            return number
        _log.warning("order failed", extra={"operation": OPERATION, "outcome": outcome})
        raise self._failure(outcome)

    def _read(self, status: int, body: bytes, subscriber: E164) -> tuple[RequestOutcome, E164 | None]:
        if status >= 500:  # noqa: PLR2004  the class of HTTP server errors
            return RequestOutcome.SERVER_ERROR, None
        try:
            answer = read_order_answer(body)
        except UnreadableAnswer:
            return RequestOutcome.UNREADABLE, None
        if isinstance(answer, ErrorGiven):
            _log.warning("provider error", extra={"operation": OPERATION, "error_code": answer.code})
            return answer.outcome, None
        return self._checked(answer, subscriber)

    def _checked(self, given: NumberGiven, subscriber: E164) -> tuple[RequestOutcome, E164 | None]:
        try:
            number = E164.parse(f"+{given.number}")
        except InvalidPhoneNumber:
            return RequestOutcome.BAD_NUMBER, None
        in_pool = given.pool is None or given.number in given.pool
        if not in_pool or not self._may_be_shown(number, subscriber):
            return RequestOutcome.BAD_NUMBER, None
        return RequestOutcome.OK, number

    def _failure(self, outcome: RequestOutcome) -> Exception:  # noqa: PLR0911  the table of outcomes
        match outcome:
            case RequestOutcome.UNREACHABLE | RequestOutcome.TIMEOUT | RequestOutcome.SERVER_ERROR:
                return _NextBaseUrl(ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS))
            case RequestOutcome.UNREADABLE:
                return _NextBaseUrl(ProviderError("The provider's answer cannot be read."))
            case RequestOutcome.THROTTLED:
                return ProviderUnavailable("The provider is asked too often.", retry_after=60)
            case RequestOutcome.NUMBER_REFUSED:
                return NumberRefused()
            case RequestOutcome.BAD_NUMBER:
                return ProviderError("The provider gave a number that must not be shown.")
            case RequestOutcome.CREDENTIALS:
                return self._calls.pause()
            case _:
                return ProviderError()
