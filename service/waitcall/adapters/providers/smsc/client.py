"""Orders at SMSC: each base URL is tried once, within one time limit. SMSC's table of error codes.

Source: smsc-api.md, sections 0 and 1.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import Any

from waitcall.adapters.providers.guarded_calls import RETRY_AFTER_SECONDS, GuardedCalls, TimeLimit
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
from waitcall.domain.channel import Capability, PlacedOrder
from waitcall.domain.errors import InvalidPhoneNumber, ProviderFailure, ProviderUnavailable
from waitcall.domain.limits import Limit
from waitcall.domain.numbers import E164

NAME = "smsc"
OPERATION = "wait_call"
AS_JSON = {"fmt": "3", "charset": "utf-8"}
"""Form fields of every request whose answer is read as JSON."""
NO_USABLE_ANSWER = frozenset(
    {
        RequestOutcome.UNREACHABLE,
        RequestOutcome.TIMEOUT,
        RequestOutcome.SERVER_ERROR,
        RequestOutcome.UNREADABLE,
    }
)
"""Outcomes after which it is unknown what the provider did."""
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
"""Error codes of every script. Those that are not in the table count as REJECTED: the request would fail again."""

_CEILING_A_MINUTE = 49
"""Our ceiling of identical requests, just below the provider's 50 (smsc-api.md, section 1)."""
_LONGEST_BUDGET_SECONDS = 30
_NUMBER = re.compile(r"\+?[0-9][0-9 ().\-]{4,30}", re.ASCII)
_SEPARATORS = re.compile(r"[,;\n]")

_log = logging.getLogger(__name__)


def order_limit(tries: int) -> Limit:
    """Return a limit of orders for one number that stays below the provider's ceiling of identical requests.

    Args:
        tries: maximum number of requests for one order, one for each base URL.
    """
    # An order is counted before it is sent, and its requests may be sent later, until its time limit ends.
    return Limit(max(_CEILING_A_MINUTE // tries, 1), 60 + _LONGEST_BUDGET_SECONDS)


@dataclass(frozen=True, slots=True)
class NumberGiven:
    """A successful answer. Numbers are digits without ``+``.

    Attributes:
        number: the number to dial.
        pool: all numbers that the provider could have assigned; None if the answer does not name them.
    """

    number: str = field(repr=False)
    pool: frozenset[str] | None = field(repr=False)


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
        self._base_urls = account.base_urls
        self._may_be_shown = may_be_shown
        self._http = Transport(account, metrics)
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
        def read(body: bytes) -> E164 | Refusal:
            given = read_order_answer(body)
            return given if isinstance(given, Refusal) else self._checked(given, subscriber)

        fields = AS_JSON | {"phone": subscriber.digits}
        failure: ProviderFailure = ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)
        for tried, base_url in enumerate(self._base_urls):
            # Each base URL gets an equal share of the remaining time, so that one that hangs leaves time for the others.
            share = max((deadline - monotonic()) / (len(self._base_urls) - tried), 0.05)
            answer = self._http.ask(OPERATION, f"{base_url}/wait_call.php", fields, read, share)
            if answer.value is not None:
                return answer.value
            if answer.code is not None:
                _log.warning("provider error", extra={"operation": OPERATION, "error_code": answer.code})
            _log.warning("order failed", extra={"operation": OPERATION, "outcome": answer.outcome})
            failure = self._calls.failure(answer.outcome)
            if answer.outcome not in NO_USABLE_ANSWER:
                break
        raise failure

    def _checked(self, given: NumberGiven, subscriber: E164) -> E164 | Refusal:
        try:
            number = E164.parse(f"+{given.number}")
        except InvalidPhoneNumber:
            return Refusal(RequestOutcome.BAD_NUMBER)
        in_pool = given.pool is None or given.number in given.pool
        shown = in_pool and self._may_be_shown(number, subscriber)
        return number if shown else Refusal(RequestOutcome.BAD_NUMBER)


def read_order_answer(body: bytes) -> NumberGiven | Refusal:
    """Read a ``fmt=3`` answer in every shape that smsc-api.md section 1 leaves open.

    Raises:
        UnreadableAnswer
    """
    answer = document(body)
    if not isinstance(answer, dict):
        raise UnreadableAnswer
    if refusal := refusal_in(answer):
        return refusal
    try:
        return NumberGiven(_digits(answer.get("phone")), _pool(answer.get("all_phones")))
    except ValueError as error:
        raise UnreadableAnswer from error


def refusal_in(answer: Mapping[str, Any]) -> Refusal | None:
    """Return the error that an answer of any script gives; None if it gives none."""
    if "error_code" not in answer and "error" not in answer:
        return None
    code = whole_number(answer.get("error_code"))
    return Refusal(ERROR_CODES.get(code, RequestOutcome.REJECTED), code)


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
    """Read a text, a list of numbers, or an object of those ("by country"; smsc-api.md, section 1). Nothing is nested deeper."""
    if value is None:
        return None
    groups = value.values() if isinstance(value, dict) else [value]
    members = (member for group in groups for member in (group if isinstance(group, list) else [group]))
    return frozenset(digits for member in members for digits in _numbers(member))


def _numbers(member: Any) -> list[str]:
    if isinstance(member, str):
        return [_digits_of(part) for part in _SEPARATORS.split(member) if part.strip()]
    return [_digits(member)]
