"""Dedicated numbers and deferred tasks: receive_phones.php and downloads.php (smsc-api.md, sections 4 and 6)."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from waitcall.adapters.providers.smsc.query import ProviderQuery, Unreadable, document, error_code
from waitcall.adapters.providers.transport import Account, ProviderMetrics
from waitcall.application.provider_account import DedicatedNumber, Download, NumberState, Task, TaskStatus
from waitcall.domain.errors import InvalidPhoneNumber, ProviderError
from waitcall.domain.numbers import E164

_KINDS = {"1": "virtual", "4": "virtual", "2": "sim"}
_STATUSES = dict(
    enumerate(
        (TaskStatus.WAITING, TaskStatus.RUNNING, TaskStatus.DONE, TaskStatus.CANCELLED, TaskStatus.FAILED)
    )
)
_CHUNK = 64 * 1024
_PARTIAL = 206
_ERROR = re.compile(rb"\s*\{\s*\"error|\s*ERROR = ")


class SmscAccount:
    """ProviderAccount for an account at SMSC."""

    def __init__(self, account: Account, metrics: ProviderMetrics) -> None:
        self._query = ProviderQuery(account, metrics)

    def free_numbers(self) -> list[DedicatedNumber]:
        """List the numbers for rent (``get=1``). Unreadable ones are left out."""
        return self._query.ask("numbers", "receive_phones.php", {"get": "1"}, _read_numbers)

    def rent(self, number: E164, *, prolong: bool) -> Decimal:
        """Rent a number (``buy=1``), and return its cost. The request is sent at most once, because it costs money."""
        fields = {"buy": "1", "phone": number.digits, "noprolong": str(int(not prolong))}
        return self._query.ask("numbers", "receive_phones.php", fields, _read_cost, once=True)

    def set_prolong(self, number: E164, *, prolong: bool) -> None:
        """Switch the monthly prolongation of a number (``chg=1``). Repeating the request is harmless."""
        fields = {"chg": "1", "phone": number.digits, "noprolong": str(int(not prolong))}
        self._query.ask("numbers", "receive_phones.php", fields, _read_confirmation)

    def tasks(self, after_id: int, count: int) -> list[Task]:
        """List up to ``count`` tasks with ids above ``after_id`` (``get_list=1``)."""
        fields = {"get_list": "1", "cnt": str(count)} | ({"after_id": str(after_id)} if after_id else {})
        return self._query.ask("downloads", "downloads.php", fields, _read_tasks)

    def file(self, task_id: int, offset: int) -> Download:
        """Download a task's file from byte ``offset`` (``get_file=1``).

        If the server does not support ranges, the first ``offset`` bytes are read and dropped.
        """
        fields = {"get_file": "1", "id": str(task_id), "fmt": "3"}
        response = self._query.open("downloads", "downloads.php", fields, offset)
        skip = 0 if response.status == _PARTIAL else offset
        first = b"" if skip else response.read(_CHUNK)
        if _ERROR.match(first):
            response.close()
            raise ProviderError(f"The provider answered with error code {_code_of(first)}.")
        length = response.headers.get("Content-Length", "")
        size = int(length) - skip if length.isdecimal() else None
        return Download(_chunks(response, first, skip), size)

    def close(self) -> None:
        """Close the connections."""
        self._query.close()


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


def _code_of(body: bytes) -> int:
    try:
        return error_code(json.loads(body))
    except (ValueError, Unreadable):
        return -1


def _read_numbers(body: bytes) -> list[DedicatedNumber] | int:
    answer = document(body)
    if isinstance(answer, dict):
        return error_code(answer)
    if not isinstance(answer, list):
        raise Unreadable
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


def _read_cost(body: bytes) -> Decimal | int:
    answer = document(body)
    if not isinstance(answer, dict):
        raise Unreadable
    if "cost" not in answer:
        return error_code(answer)
    cost = _money(answer["cost"])
    if cost is None:
        raise Unreadable
    return cost


def _read_confirmation(body: bytes) -> str | int:
    answer = document(body)
    if isinstance(answer, dict) and ("error" in answer or "error_code" in answer):
        return error_code(answer)
    # The text of a success is not documented.
    return "confirmed"


def _read_tasks(body: bytes) -> list[Task] | int:
    answer = document(body)
    if isinstance(answer, dict):
        return error_code(answer)
    if not isinstance(answer, list):
        raise Unreadable
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
