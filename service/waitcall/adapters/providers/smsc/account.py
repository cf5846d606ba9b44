"""Account at SMSC: its inbox and balance, dedicated numbers, and deferred tasks. No end user waits for these requests.

Source: get.php, balance.php, receive_phones.php and downloads.php (smsc-api.md, sections 3, 4, 6 and 7).
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from waitcall.adapters.providers.smsc.callback import is_marked
from waitcall.adapters.providers.smsc.client import AS_JSON, refusal_in
from waitcall.adapters.providers.transport import (
    Account,
    ProviderMetrics,
    Refusal,
    RequestOutcome,
    Transport,
    UnreadableAnswer,
    document,
)
from waitcall.application.provider_account import DedicatedNumber, Download, NumberState, Task, TaskStatus
from waitcall.application.reconcile_inbox import PAGE, InboxRecord
from waitcall.domain.errors import InvalidPhoneNumber, ProviderError, ProviderFailure, ProviderUnavailable
from waitcall.domain.matching import InboundText
from waitcall.domain.numbers import E164

MAX_ANSWER_BYTES = 4 * 1024 * 1024
SECONDS_A_REQUEST = 10.0

_HOURS = 1
_PHONE = re.compile(r"\+?([0-9]{1,15})", re.ASCII)
_DATE = "%d.%m.%Y %H:%M:%S"
_KINDS = {"1": "virtual", "4": "virtual", "2": "sim"}
_STATUSES = dict(
    enumerate(
        (TaskStatus.WAITING, TaskStatus.RUNNING, TaskStatus.DONE, TaskStatus.CANCELLED, TaskStatus.FAILED)
    )
)
_REASONS: Mapping[tuple[str, int | None], str] = {
    ("", 1): "the parameters are wrong",
    ("", 2): "the credentials are wrong, or our address is not in the account's allow-list",
    ("", 4): "our address is blocked for a while after frequent errors",
    ("", 9): "too many requests of this kind within a minute",
    ("numbers", 3): "there is not enough money in the account",
    ("get_answers", 3): "nothing was found",
}
"""Meaning of an error code for one operation, or for all (smsc-api.md, sections 0, 3 and 4)."""
_CHUNK = 64 * 1024
_PARTIAL = 206
_ERROR = re.compile(rb"\s*\{\s*\"error|\s*ERROR = ")

_log = logging.getLogger(__name__)
T = TypeVar("T")


class SmscAccount:
    """Inbox, Balance and ProviderAccount for an account at SMSC. Each request tries one base URL after the other."""

    def __init__(self, account: Account, metrics: ProviderMetrics, to_phones: Sequence[E164] = ()) -> None:
        """``to_phones``: our numbers whose records the inbox is to return, one request each; empty for all."""
        self._base_urls = account.base_urls
        self._to_phones = to_phones
        self._http = Transport(account, metrics)

    def after(self, record_id: int | None) -> list[InboxRecord]:
        """Return the records of the last hour that follow ``record_id``, oldest first; ``PAGE`` or more if others remain.

        Raises:
            ProviderFailure
        """
        fields = {"get_answers": "1", "hour": str(_HOURS), "cnt": str(PAGE)}
        if record_id is not None:
            fields["after_id"] = str(record_id)
        each_number: list[dict[str, str]] = [{"to_phone": each.digits} for each in self._to_phones]
        pages = [self._ask("get_answers", "get.php", fields | to, read_inbox) for to in each_number or [{}]]
        # Of a number with a full page further records remain. No later record of another number may come before them.
        last = min((page[-1].id for page in pages if len(page) >= PAGE), default=None)
        records = sorted((each for page in pages for each in page), key=lambda each: each.id)
        return [each for each in records if last is None or each.id <= last]

    def balance(self) -> Decimal:
        """Return the account's balance, in the account's currency.

        Raises:
            ProviderFailure
        """
        return self._ask("balance", "balance.php", {}, read_balance)

    def free_numbers(self) -> list[DedicatedNumber]:
        """List the numbers for rent (``get=1``). Unreadable ones are left out."""
        return self._ask("numbers", "receive_phones.php", {"get": "1"}, _read_numbers)

    def rent(self, number: E164, *, prolong: bool) -> Decimal:
        """Rent a number (``buy=1``), and return its cost. The request is sent at most once, because it costs money."""
        fields = {"buy": "1", "phone": number.digits, "noprolong": str(int(not prolong))}
        return self._ask("numbers", "receive_phones.php", fields, _read_cost, once=True)

    def set_prolong(self, number: E164, *, prolong: bool) -> bool:
        """Switch the monthly prolongation of a number (``chg=1``). Repeating the request is harmless.

        Returns:
            Whether the provider answered with a document; else with ``OK`` alone, or with nothing.
        """
        fields = {"chg": "1", "phone": number.digits, "noprolong": str(int(not prolong))}
        return self._ask("numbers", "receive_phones.php", fields, _read_confirmation)

    def tasks(self, after_id: int, count: int) -> list[Task]:
        """List up to ``count`` tasks with ids above ``after_id`` (``get_list=1``)."""
        fields = {"get_list": "1", "cnt": str(count)} | ({"after_id": str(after_id)} if after_id else {})
        return self._ask("downloads", "downloads.php", fields, _read_tasks)

    def file(self, task: int | str, offset: int) -> Download:
        """Download a task's file from byte ``offset`` (``get_file=1``), by the task's id or the file's name.

        If the server does not support ranges, the first ``offset`` bytes are read and dropped.
        """
        by = {"id": str(task)} if isinstance(task, int) else {"name": task}
        response = self._opened(AS_JSON | {"get_file": "1"} | by, offset)
        skip = 0 if response.status == _PARTIAL else offset
        first = b"" if skip else response.read(_CHUNK)
        if _ERROR.match(first):
            response.close()
            raise ProviderError(_told("downloads", _code_of(first)))
        length = response.headers.get("Content-Length", "")
        size = int(length) - skip if length.isdecimal() else None
        return Download(_chunks(response, first, skip), size)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(
        self,
        operation: str,
        script: str,
        fields: Mapping[str, str],
        read: Callable[[bytes], T | Refusal],
        *,
        once: bool = False,
    ) -> T:
        """Send a query, and return the provider's answer.

        Args:
            operation: value of the metric's label.
            script: for instance ``get.php``.
            fields: form fields without credentials, format and charset.
            read: turns a body into the answer or an error code; raises UnreadableAnswer.
            once: True if the request costs money. Another base URL is then tried only if nothing was sent.

        Raises:
            ProviderError: the provider answered with an error code, or unreadably.
            ProviderUnavailable: no base URL answered. A request with ``once`` may have been carried out.
        """
        failure: ProviderFailure = ProviderUnavailable()
        for base_url in self._base_urls:
            answer = self._http.ask(
                operation,
                f"{base_url}/{script}",
                dict(fields) | AS_JSON,
                read,
                SECONDS_A_REQUEST,
                max_bytes=MAX_ANSWER_BYTES,
            )
            if answer.value is not None:
                return answer.value
            _log.warning(
                "provider request failed", extra={"operation": operation, "outcome": answer.outcome.value}
            )
            if answer.code is not None:
                raise ProviderError(_told(operation, answer.code))
            if once and answer.sent:
                raise ProviderUnavailable(
                    "The answer was lost, so the request may have been carried out. Check before you repeat it."
                )
            unreadable = answer.outcome is RequestOutcome.UNREADABLE
            failure = ProviderError() if unreadable else ProviderUnavailable()
        raise failure

    def _opened(self, fields: Mapping[str, str], offset: int) -> Any:
        for base_url in self._base_urls:
            url = f"{base_url}/downloads.php"
            response = self._http.open("downloads", url, fields, SECONDS_A_REQUEST, offset)
            if response is not None:
                return response
        raise ProviderUnavailable


def _told(operation: str, code: int | None) -> str:
    reason = _REASONS.get((operation, code)) or _REASONS.get(("", code))
    return f"The provider answered with error code {code}{f': {reason}' if reason else ''}."


def _chunks(response: Any, first: bytes, skip: int) -> Iterator[bytes]:
    try:
        if first:
            yield first
        while chunk := response.read(_CHUNK):
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            yield chunk[skip:]
            skip = 0
    finally:
        response.close()


def _code_of(body: bytes) -> int | None:
    try:
        refusal = refusal_in(json.loads(body))
    except ValueError:
        return -1
    return refusal.code if refusal else -1


def read_inbox(body: bytes) -> list[InboxRecord] | Refusal:
    """Read the records, or an error code. Unreadable records are left out, so that they do not hold up the others."""
    answer = _list(body)
    if isinstance(answer, Refusal):
        return answer
    records = [_record(each) for each in answer]
    return sorted((each for each in records if each is not None), key=lambda each: each.id)


def read_balance(body: bytes) -> Decimal | Refusal:
    """Read the balance, or an error code."""
    return _amount(body, "balance")


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
    is_call = is_marked(text)
    sent, received = _wall_time(given.get("sent")), _wall_time(given.get("received"))
    return InboxRecord(
        id=record_id,
        cli=f"+{phone[1]}" if phone and is_call else None,
        dialled=f"+{dialled[1]}" if dialled else None,
        wall_time=sent or received,
        text=InboundText(f"+{phone[1]}", f"+{dialled[1]}", text)
        if phone and dialled and not is_call
        else None,
        received=received,
        message=text if is_call else "",
    )


def _wall_time(text: Any) -> datetime | None:
    try:
        # The result has no offset, because the time zone of the provider's dates is unknown.
        return datetime.strptime(str(text).strip(), _DATE)  # noqa: DTZ007  as above
    except ValueError:
        return None


def _list(body: bytes) -> list[Any] | Refusal:
    answer = document(body)
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict) and (refusal := refusal_in(answer)):
        return refusal
    raise UnreadableAnswer


def _amount(body: bytes, name: str) -> Decimal | Refusal:
    answer = document(body)
    if not isinstance(answer, dict):
        raise UnreadableAnswer
    if name not in answer and (refusal := refusal_in(answer)):
        return refusal
    amount = _money(answer.get(name))
    if amount is None:
        raise UnreadableAnswer
    return amount


def _read_numbers(body: bytes) -> list[DedicatedNumber] | Refusal:
    answer = _list(body)
    if isinstance(answer, Refusal):
        return answer
    found = [_number(each) for each in answer if isinstance(each, dict)]
    return [each for each in found if each is not None]


def _number(given: dict[str, Any]) -> DedicatedNumber | None:
    try:
        number = E164.parse("+" + re.sub(r"[^0-9]", "", str(given.get("phone", ""))))
    except InvalidPhoneNumber:
        return None
    return DedicatedNumber(
        number,
        NumberState.FREE,
        _KINDS.get(str(given.get("type", "")), ""),
        _money(given.get("cost")),
        _money(given.get("current_cost")),
        str(given.get("info", "")),
    )


def _read_cost(body: bytes) -> Decimal | Refusal:
    return _amount(body, "cost")


def _read_confirmation(body: bytes) -> bool | Refusal:
    # Some clients of the provider get OK or an empty body, although they ask for JSON.
    words = body.decode("utf-8-sig", "replace").casefold().split()
    if words in ([], ["ok"]):
        return False
    answer = document(body)
    # The text of a success is not documented.
    return (refusal_in(answer) if isinstance(answer, dict) else None) or True


def _read_tasks(body: bytes) -> list[Task] | Refusal:
    answer = _list(body)
    if isinstance(answer, Refusal):
        return answer
    return [_task(each) for each in answer if isinstance(each, dict) and str(each.get("id", "")).isdecimal()]


def _task(given: dict[str, Any]) -> Task:
    status = str(given.get("status", ""))
    return Task(
        int(given["id"]),
        str(given.get("name", "")),
        _STATUSES.get(int(status), TaskStatus.UNKNOWN) if status.isdecimal() else TaskStatus.UNKNOWN,
        str(given.get("created", "")),
        str(given.get("time", "")),
        str(given.get("file") or ""),
    )


def _money(value: Any) -> Decimal | None:
    try:
        money = Decimal(str(value).strip().replace(",", "."))
    except InvalidOperation:
        return None
    return money if money.is_finite() else None
