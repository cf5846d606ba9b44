"""Test get.php and balance.php against the simulator, with every shape of answer that smsc-api.md leaves open."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import pytest

from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.fakes.outside import RecordingObserver
from waitcall.adapters.providers.smsc.account import SmscAccount, read_balance, read_inbox
from waitcall.adapters.providers.smsc.callback import resembles_mark
from waitcall.adapters.providers.transport import Account, UnreadableAnswer
from waitcall.application.reconcile_inbox import InboxRecord
from waitcall.domain.errors import ProviderError, ProviderUnavailable
from waitcall.domain.numbers import E164

WALL = datetime(2024, 2, 12, 18, 34, 17)  # noqa: DTZ001  the provider names no zone


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Options(Handler("http://127.0.0.1:9/", "secret"), calm=True)) as running:
        yield running


def inbox_of(
    simulator: Simulator, metrics: RecordingObserver, *before: str, key: str = "sim-apikey"
) -> SmscAccount:
    return SmscAccount(Account((*before, simulator.base_url), {"apikey": key}, 20), metrics)


def test_calls_are_read_after_the_last_one_known(simulator: Simulator) -> None:
    inbox = inbox_of(simulator, RecordingObserver())
    for number in ("79991234567", "79991234568"):
        shown, _ = simulator.exchange.order(number, simulator.clock())
        simulator.exchange.call(number, shown, simulator.clock())
    first, second = inbox.after(None)
    assert (first.id, first.cli, second.cli) == (1, "+79991234567", "+79991234568")
    assert first.dialled == f"+{simulator.exchange.inbox[0]['to_phone']}"
    assert inbox.after(1) == [second]
    assert inbox.after(2) == []
    asked = [each["fields"] for each in simulator.exchange.ledger]
    assert asked[0] == {
        "get_answers": "1",
        "hour": "1",
        "cnt": "1000",
        "fmt": "3",
        "charset": "utf-8",
        "apikey": "***",
    }
    inbox.close()


def test_the_inbox_of_some_numbers_is_read_in_the_order_of_its_records(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full page of one number may not let a later record of another number come first: it would be skipped for ever."""
    numbers = [E164("+79585550000"), E164("+79585550001")]
    for to in ("79585550000", "79585550002", "79585550000", "79585550001", "79585550000", "79585550001"):
        simulator.exchange.text("79991234567", to, "hello", simulator.clock())
    account = Account((simulator.base_url,), {"apikey": "sim-apikey"}, 20)
    inbox = SmscAccount(account, RecordingObserver(), numbers)
    assert [each.id for each in inbox.after(None)] == [1, 3, 4, 5, 6]
    asked = [each["fields"]["to_phone"] for each in simulator.exchange.ledger]
    assert asked == ["79585550000", "79585550001"]

    monkeypatch.setattr("waitcall.adapters.providers.smsc.account.PAGE", 2)
    assert [each.id for each in inbox.after(None)] == [1, 3]
    assert [each.id for each in inbox.after(3)] == [4, 5, 6]
    assert [each.id for each in inbox.after(5)] == [6]
    inbox.close()


def test_the_next_base_url_is_asked_if_the_first_is_away(simulator: Simulator) -> None:
    metrics = RecordingObserver()
    inbox = inbox_of(simulator, metrics, "http://127.0.0.1:9/sys")
    assert inbox.balance() == Decimal("250.80")
    assert metrics.counts["provider", "balance", "unreachable"] == 1
    assert metrics.counts["provider", "balance", "ok"] == 1
    inbox.close()


def test_a_request_that_got_an_error_is_not_repeated(simulator: Simulator) -> None:
    metrics = RecordingObserver()
    inbox = inbox_of(simulator, metrics, simulator.base_url, key="wrong")
    with pytest.raises(ProviderError):
        inbox.after(None)
    assert metrics.counts["provider", "get_answers", "credentials"] == 1
    inbox.close()


def test_the_ceiling_of_three_identical_polls_is_an_error_like_others(simulator: Simulator) -> None:
    metrics = RecordingObserver()
    inbox = inbox_of(simulator, metrics)
    for _ in range(3):
        inbox.after(7)
    with pytest.raises(ProviderError):
        inbox.after(7)
    assert metrics.counts["provider", "get_answers", "throttled"] == 1
    inbox.close()


def test_a_provider_that_is_away_is_unavailable(simulator: Simulator) -> None:
    simulator.close()
    inbox = inbox_of(simulator, RecordingObserver())
    with pytest.raises(ProviderUnavailable):
        inbox.balance()
    inbox.close()


@pytest.mark.parametrize(
    ("given", "record"),
    [
        (
            '{"id":"5","phone":"79991234567","message":" [WaitCall] +7999","to_phone":"79585551234","sent":"12.02.2024 18:34:17"}',
            InboxRecord(5, "+79991234567", "+79585551234", WALL),
        ),
        (
            '{"id":5,"phone":79991234567,"message":"[waitcall]","received":"12.02.2024 18:34:17"}',
            InboxRecord(5, "+79991234567", None, WALL),
        ),
        ('{"id":5,"phone":"7999","message":"hello","to_phone":"x"}', InboxRecord(5, None, None, None)),
        ('{"id":5,"phone":"Bank","message":"[waitcall]"}', InboxRecord(5, None, None, None)),
        (
            '{"id":5,"phone":"7999","message":"[waitcall]","sent":"2024-02-12"}',
            InboxRecord(5, "+7999", None, None),
        ),
    ],
)
def test_a_record_is_read_in_every_shape(given: str, record: InboxRecord) -> None:
    assert read_inbox(f"[{given}]".encode()) == [record]


@pytest.mark.parametrize(
    "words",
    [
        "[waitcall]",
        " [WAITCALL] x",
        "\u00a0\u2003[waitcall]",
        "\u200b[waitcall]",
        "?[waitcall]",
        "[wait\u00adcall]",
    ],
)
def test_every_text_that_looks_like_a_call_in_the_inbox_is_recognised_by_the_handler(words: str) -> None:
    record = {"id": 1, "phone": "79991234567", "to_phone": "79585551234", "message": words}
    (read,) = read_inbox(json.dumps([record]).encode())
    if read.cli is not None:
        for codec in ("cp1251", "utf-8", "koi8-r"):
            assert resembles_mark(words.encode(codec, "replace").decode(codec))


def test_the_times_sent_and_received_of_a_record_are_read_separately() -> None:
    given = {"id": 1, "phone": "7999", "message": "[waitcall] 1", "sent": "12.02.2024 18:34:17"}
    (read,) = read_inbox(json.dumps([given | {"received": "12.02.2024 18:34:21"}]).encode())
    assert (read.wall_time, read.received, read.message) == (WALL, WALL.replace(second=21), "[waitcall] 1")
    assert "7999" not in repr(read)


def test_entries_that_are_not_records_are_left_out_and_records_are_sorted_by_id() -> None:
    given = b'[{"id":3,"phone":"1","message":""},7,{"id":"x"},{},{"id":2,"phone":"1","message":""}]'
    assert [each.id for each in read_inbox(given)] == [2, 3]


@pytest.mark.parametrize("given", [b"", b"<html>", b"7", b'"x"', b"{}", b"\xff", b"[" * 100_000])
def test_rubbish_is_unreadable(given: bytes) -> None:
    for read in (read_inbox, read_balance):
        with pytest.raises(UnreadableAnswer):
            read(given)


@pytest.mark.parametrize("given", [b'{"balance":"12,50"}', b'{"balance":12.5}', b'{"balance":" 12.50 "}'])
def test_money_comes_as_text_or_number(given: bytes) -> None:
    assert read_balance(given) == Decimal("12.5")


@pytest.mark.parametrize("given", [b'{"balance":"much"}', b'{"balance":null}', b'{"balance":NaN}'])
def test_a_balance_that_is_no_amount_is_unreadable(given: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_balance(given)
