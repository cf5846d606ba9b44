"""The provider's inbox and balance: get.php and balance.php (smsc-api.md, sections 3 and 7)."""

import json
import logging
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from time import monotonic
from typing import Any, TypeVar

import urllib3

from service.adapters.smsc.transport import Account, ProviderMetrics, Transport, transport_outcome
from service.adapters.smsc.wire import ERROR_CODES, Outcome
from service.application.inbox import PAGE, InboxRecord
from service.domain.channel import InboundText
from service.domain.errors import ProviderError, ProviderFailure, ProviderUnavailable

MAX_INBOX_BYTES = 4 * 1024 * 1024
SECONDS_A_REQUEST = 10.0
"""Nobody waits for the worker."""
_HOURS = 1
_MARK = "[waitcall]"
_PHONE = re.compile(r"\+?([0-9]{1,15})", re.ASCII)
_DATE = "%d.%m.%Y %H:%M:%S"

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Unreadable(Exception):
    """Neither an error nor the answer."""


class SmscInbox:
    """Inbox and Balance over SMSC."""

    def __init__(self, account: Account, metrics: ProviderMetrics) -> None:
        self._account = account
        self._metrics = metrics
        self._http = Transport(account, 1)

    def after(self, record_id: int | None) -> list[InboxRecord]:
        """What arrived after a record, of the last hour, oldest first; at most ``PAGE``.

        Raises:
            ProviderFailure
        """
        fields = {"get_answers": "1", "hour": str(_HOURS), "cnt": str(PAGE)}
        if record_id is not None:
            fields["after_id"] = str(record_id)
        return self._ask("get_answers", "get.php", fields, read_inbox)

    def balance(self) -> Decimal:
        """The account's money, in its own currency.

        Raises:
            ProviderFailure
        """
        return self._ask("balance", "balance.php", {}, read_balance)

    def close(self) -> None:
        """Give the sockets back."""
        self._http.close()

    def _ask(
        self, operation: str, script: str, fields: dict[str, str], read: Callable[[bytes], T | int]
    ) -> T:
        failure: ProviderFailure = ProviderUnavailable()
        for base_url in self._account.base_urls:
            began = monotonic()
            outcome = Outcome.UNREACHABLE
            try:
                status, body = self._http.post(
                    f"{base_url}/{script}",
                    fields | {"fmt": "3", "charset": "utf-8"},
                    SECONDS_A_REQUEST,
                    MAX_INBOX_BYTES,
                )
                outcome, answer = _judged(status, body, read)
                if answer is not None:
                    return answer
            except urllib3.exceptions.HTTPError as error:
                outcome = transport_outcome(error)
            finally:
                self._metrics.provider_request(operation, outcome, monotonic() - began)
            _log.warning("provider asked in vain", extra={"operation": operation, "outcome": outcome.value})
            if outcome in (Outcome.CREDENTIALS, Outcome.THROTTLED, Outcome.REJECTED):
                raise ProviderError
            failure = ProviderError() if outcome is Outcome.UNREADABLE else ProviderUnavailable()
        raise failure


def _judged(status: int, body: bytes, read: Callable[[bytes], T | int]) -> tuple[Outcome, T | None]:
    if status >= 500:  # noqa: PLR2004  the class of HTTP server errors
        return Outcome.SERVER_ERROR, None
    try:
        answer = read(body)
    except Unreadable:
        return Outcome.UNREADABLE, None
    if isinstance(answer, int):
        return ERROR_CODES.get(answer, Outcome.REJECTED), None
    return Outcome.OK, answer


def read_inbox(body: bytes) -> list[InboxRecord] | int:
    """The records, or an error's code. A record that cannot be read is left out: others must not wait for it."""
    answer = _document(body)
    if isinstance(answer, dict):
        return _code(answer)
    if not isinstance(answer, list):
        raise Unreadable
    records = [_record(each) for each in answer]
    return sorted((each for each in records if each is not None), key=lambda each: each.id)


def read_balance(body: bytes) -> Decimal | int:
    """The money, or an error's code."""
    answer = _document(body)
    if not isinstance(answer, dict):
        raise Unreadable
    if "balance" not in answer:
        return _code(answer)
    try:
        money = Decimal(str(answer["balance"]).strip().replace(",", "."))
    except InvalidOperation as error:
        raise Unreadable from error
    if not money.is_finite():
        raise Unreadable
    return money


def _document(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unreadable from error


def _code(answer: dict[str, Any]) -> int:
    if "error_code" not in answer and "error" not in answer:
        raise Unreadable
    try:
        return int(answer.get("error_code", -1))
    except (TypeError, ValueError):
        return -1


def _record(given: Any) -> InboxRecord | None:
    if not isinstance(given, dict):
        return None
    try:
        record_id = int(given.get("id", ""))
    except (TypeError, ValueError):
        return None
    text = str(given.get("message", "")).strip()
    phone = _PHONE.fullmatch(str(given.get("phone", "")).strip())
    dialled = _PHONE.fullmatch(str(given.get("to_phone") or "").strip())
    is_call = text.casefold().startswith(_MARK)
    return InboxRecord(
        id=record_id,
        cli=f"+{phone[1]}" if phone and is_call else None,
        dialled=f"+{dialled[1]}" if dialled else None,
        wall_time=_wall_time(given.get("sent")) or _wall_time(given.get("received")),
        text=InboundText(f"+{phone[1]}", f"+{dialled[1]}", text)
        if phone and dialled and not is_call
        else None,
    )


def _wall_time(text: Any) -> datetime | None:
    try:
        # No offset is meant: the zone of the provider's dates is unknown.
        return datetime.strptime(str(text).strip(), _DATE)  # noqa: DTZ007
    except ValueError:
        return None
