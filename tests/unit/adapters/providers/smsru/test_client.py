"""Answers of sms.ru (docs/providers/smsru.md)."""

import json
from decimal import Decimal

import pytest

from waitcall.adapters.providers.smsru.client import (
    STATUS_CODES,
    Added,
    read_added,
    read_balance,
    read_status,
)
from waitcall.adapters.providers.transport import Refusal, RequestOutcome, UnreadableAnswer
from waitcall.domain.matching import OrderStatus


@pytest.mark.parametrize("number", ["78005551101", 78005551101, "+7 (800) 555-11-01"])
@pytest.mark.parametrize("check_id", ["201737-542", 201737])
def test_an_order_is_read(number: object, check_id: object) -> None:
    body = {"status": "OK", "status_code": 100, "check_id": check_id, "call_phone": number}
    assert read_added(json.dumps(body).encode()) == Added(str(check_id), "78005551101")


@pytest.mark.parametrize("code", [*STATUS_CODES, 999, "201", None])
def test_every_code_but_100_refuses(code: object) -> None:
    answer = read_added(json.dumps({"status": "ERROR", "status_code": code}).encode())
    assert isinstance(answer, Refusal)
    assert answer.outcome is not RequestOutcome.OK


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"null", b"{}", b"[" * 60000, b"\xff", b"100\n201737-542",
        b'{"status_code":100}', b'{"status_code":100,"check_id":"1","call_phone":"x"}',
        b'{"status_code":100,"check_id":"1","call_phone":true}',
        b'{"status_code":100,"check_id":"a/b","call_phone":"78005551101"}',
        b'{"status_code":100,"check_id":"","call_phone":"78005551101"}',
    ],
)  # fmt: skip
def test_anything_else_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_added(body)


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("400", OrderStatus.WAITING),
        (401, OrderStatus.CALLED),
        ("401", OrderStatus.CALLED),
        (402, OrderStatus.ENDED),
    ],
)
def test_a_status_is_read(written: object, status: OrderStatus) -> None:
    body = {"status_code": 100, "check_status": written}
    assert read_status(json.dumps(body).encode()) is status


@pytest.mark.parametrize("written", [None, "", 403, True, "4o1"])
def test_an_unknown_status_is_unreadable(written: object) -> None:
    with pytest.raises(UnreadableAnswer):
        read_status(json.dumps({"status_code": 100, "check_status": written}).encode())


def test_a_balance_is_read_exactly() -> None:
    assert read_balance(b'{"status_code":100,"balance":"4122.56"}') == Decimal("4122.56")
    for wrong in (b'{"status_code":100,"balance":"NaN"}', b'{"status_code":100}'):
        with pytest.raises(UnreadableAnswer):
            read_balance(wrong)
