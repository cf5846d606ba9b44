"""Every shape of an answer that smsc-api.md section 1 leaves open, and every error code."""

import json

import pytest

from waitcall.adapters.providers.smsc.client import ERROR_CODES, NumberGiven, order_limit, read_order_answer
from waitcall.adapters.providers.transport import Refusal, RequestOutcome, UnreadableAnswer
from waitcall.domain.limits import Limit

POOL = frozenset({"79585551234", "79585555678"})


@pytest.mark.parametrize(
    "phone", ["79585551234", "+79585551234", 79585551234, "+7 958 555-12-34", " 79585551234 "]
)
@pytest.mark.parametrize(
    ("all_phones", "pool"),
    [
        (["79585551234", "79585555678"], POOL),
        (["+79585551234", 79585555678], POOL),
        ("79585551234,79585555678", POOL),
        ("+79585551234; 79585555678", POOL),
        ({"7": ["79585551234", "79585555678"]}, POOL),
        ({"RU": "79585551234,79585555678"}, POOL),
        (79585551234, frozenset({"79585551234"})),
        (None, None),
        ([], frozenset()),
    ],
)
def test_every_open_shape_is_read(phone: object, all_phones: object, pool: object) -> None:
    answer = json.dumps({"phone": phone, "all_phones": all_phones}).encode()

    assert NumberGiven("79585551234", pool) == read_order_answer(answer)  # type: ignore[arg-type]


def test_the_pool_may_be_absent() -> None:
    assert NumberGiven("79585551234", None) == read_order_answer(b'\xef\xbb\xbf{"phone":"79585551234"}')


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"<html></html>", b'{"phone":"7958555', b"[]", b'["79585551234"]', b"null", b"79585551234",
        b"{}", b'{"phone":null}', b'{"phone":true}', b'{"phone":7958555.5}', b'{"phone":"abc"}', b'{"phone":""}',
        b'{"phone":{}}', b'{"phone":"79585551234","all_phones":true}', b"\xff\xfe", b"[" * 60000,
        b'{"phone":"79585551234","all_phones":["x"]}', b"OK - 1 SMS",
        b'{"phone":"79585551234","all_phones":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"phone":"79585551234","all_phones":[["79585551234"]]}', b'{"phone":"79585551234","all_phones":[{}]}',
        b'{"phone":"79585551234","all_phones":{"RU":[["79585551234"]]}}',
        b'{"phone":"79585551234","all_phones":{"RU":{"7":"79585551234"}}}',
    ],
)  # fmt: skip
def test_anything_else_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_order_answer(body)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (1, RequestOutcome.REJECTED), (2, RequestOutcome.CREDENTIALS), (3, RequestOutcome.REJECTED), (4, RequestOutcome.CREDENTIALS),
        (5, RequestOutcome.REJECTED), (6, RequestOutcome.REJECTED), (7, RequestOutcome.NUMBER_REFUSED), (8, RequestOutcome.NUMBER_REFUSED),
        (9, RequestOutcome.THROTTLED), (10, RequestOutcome.REJECTED), (-1, RequestOutcome.REJECTED), (0, RequestOutcome.REJECTED),
    ],
)  # fmt: skip
def test_every_code_means_one_thing(code: int, outcome: RequestOutcome) -> None:
    for written in (code, str(code)):
        body = json.dumps({"error": "words that nobody matches on", "error_code": written}).encode()
        assert read_order_answer(body) == Refusal(outcome, code)


def test_all_documented_codes_are_in_the_table() -> None:
    assert set(range(1, 10)) == set(ERROR_CODES)


@pytest.mark.parametrize("code", ["null", "true", '"x"', "[]", "1e400", "{}"])
def test_an_error_with_an_unreadable_code_is_an_error(code: str) -> None:
    assert Refusal(RequestOutcome.REJECTED, -1) == read_order_answer(
        f'{{"error":"x","error_code":{code}}}'.encode()
    )


def test_an_error_wins_over_a_number() -> None:
    assert Refusal(RequestOutcome.REJECTED, 3) == read_order_answer(b'{"phone":"79585551234","error_code":3}')


@pytest.mark.parametrize(("base_urls", "orders"), [(1, 49), (2, 24), (5, 9), (100, 1)])
def test_no_order_rate_reaches_the_providers_ceiling(base_urls: int, orders: int) -> None:
    """An order may ask every base URL once, at any time of its budget after it was counted."""
    limit = order_limit(base_urls)

    assert limit == Limit(orders, 90)
