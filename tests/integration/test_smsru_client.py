"""Test orders at sms.ru against the simulator's sockets: every way in which the provider can fail."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from simulator.dialler import Handler
from simulator.server import Options, Simulator
from simulator.smsru import POOL
from tests.fakes.outside import RecordingObserver
from tests.making import NUMBER
from tests.redis_servers import free_port, wait_for
from waitcall.adapters.providers.guarded_calls import BREAKER_FAILURES, within_thread
from waitcall.adapters.providers.smsru.client import SmsruProvider
from waitcall.adapters.providers.transport import Account
from waitcall.domain.channel import Capability, ProviderOrder
from waitcall.domain.errors import NumberRefused, ProviderError, ProviderFailure, ProviderUnavailable
from waitcall.domain.matching import OrderStatus
from waitcall.domain.numbers import may_be_shown

API_ID = "sim-smsru-api-id-0001"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    handler = Handler("http://127.0.0.1:9/callbacks/smsc", "a-secret-of-the-tests")
    with Simulator(Options(handler, calm=True)) as running:
        yield running


@pytest.fixture
def at(observer: RecordingObserver) -> Iterator[Callable[..., SmsruProvider]]:
    made: list[SmsruProvider] = []

    def make(url: str, api_id: str = API_ID, budget: float = 20.0) -> SmsruProvider:
        account = Account([url], {"api_id": api_id}, budget, 50)
        made.append(
            SmsruProvider(account, partial(may_be_shown, dial_regions={"RU"}), observer, within_thread)
        )
        return made[-1]

    yield make
    for provider in made:
        provider.close()


def plan(simulator: Simulator, *steps: tuple[str, Any], always: tuple[str, Any] | None = None) -> None:
    written = [{"kind": kind, "value": value} for kind, value in steps]
    simulator.smsru_faults.load(written, {"kind": always[0], "value": always[1]} if always else None)


def asked(simulator: Simulator) -> list[dict[str, Any]]:
    return [each for each in simulator.exchange.ledger if each["door"] == "front"]


def test_an_order_returns_a_number_an_order_id_and_a_window(
    simulator: Simulator, at: Callable[..., SmsruProvider], observer: RecordingObserver
) -> None:
    provider = at(simulator.smsru_url)

    placed = provider.order(NUMBER)

    assert placed.call_number.digits in POOL
    assert placed.order is not None
    assert placed.order.provider == "smsru"
    assert placed.window_seconds == 300
    assert provider.capabilities == {Capability.DIALLED_IN_CALLBACK, Capability.POLL}
    assert observer.counts["provider", "callcheck_add", "ok"] == 1
    only = asked(simulator)[0]
    assert (only["method"], only["query"]) == ("POST", "")
    assert only["fields"] == {"api_id": "***", "json": "1", "phone": NUMBER.digits}


def test_the_status_of_an_order_can_be_queried(
    simulator: Simulator, at: Callable[..., SmsruProvider], observer: RecordingObserver
) -> None:
    provider = at(simulator.smsru_url)
    placed = provider.order(NUMBER)
    assert placed.order is not None
    assert provider.status(placed.order) is OrderStatus.WAITING

    assert simulator.callcheck.call(NUMBER.digits, placed.call_number.digits, simulator.clock())
    assert provider.status(placed.order) is OrderStatus.CALLED

    assert provider.status(ProviderOrder("smsru", "1-1")) is OrderStatus.ENDED
    simulator.advance(301)
    assert provider.status(placed.order) is OrderStatus.CALLED
    assert observer.counts["provider", "callcheck_status", "ok"] == 4


def test_an_order_ends_with_its_window_at_the_provider_too(
    simulator: Simulator, at: Callable[..., SmsruProvider]
) -> None:
    provider = at(simulator.smsru_url)
    placed = provider.order(NUMBER)
    simulator.advance(301)
    assert placed.order is not None
    assert provider.status(placed.order) is OrderStatus.ENDED
    assert not simulator.callcheck.call(NUMBER.digits, placed.call_number.digits, simulator.clock())


@pytest.mark.parametrize(
    ("fault", "error", "outcome"),
    [
        (("error", 200), ProviderError, "credentials"),
        (("error", 201), ProviderError, "rejected"),
        (("error", 202), NumberRefused, "number_refused"),
        (("error", 206), ProviderUnavailable, "throttled"),
        (("error", 207), NumberRefused, "number_refused"),
        (("error", 220), ProviderUnavailable, "server_error"),
        (("error", 12345), ProviderError, "rejected"),
        (("status", 502), ProviderUnavailable, "server_error"),
        (("html", None), ProviderError, "unreadable"),
        (("half", None), ProviderError, "unreadable"),
        (("empty", None), ProviderError, "unreadable"),
        (("reset", None), ProviderUnavailable, "unreachable"),
        (("hang", None), ProviderUnavailable, "timeout"),
        (("premium", None), ProviderError, "bad_number"),
    ],
)
def test_every_failure_raises_its_error_and_is_not_retried(
    simulator: Simulator,
    at: Callable[..., SmsruProvider],
    observer: RecordingObserver,
    fault: tuple[str, Any],
    error: type[ProviderFailure],
    outcome: str,
) -> None:
    plan(simulator, fault)

    with pytest.raises(error):
        at(simulator.smsru_url, budget=1.0 if fault[0] == "hang" else 20.0).order(NUMBER)

    assert len(asked(simulator)) == 1
    if outcome == "timeout":
        # The thread that was given up counts its request a moment later.
        wait_for(lambda: observer.counts["provider", "callcheck_add", outcome])
    assert observer.counts["provider", "callcheck_add", outcome] == 1


def test_a_wrong_key_pauses_orders(simulator: Simulator, at: Callable[..., SmsruProvider]) -> None:
    provider = at(simulator.smsru_url, "a-key-of-somebody-else")
    with pytest.raises(ProviderError):
        provider.order(NUMBER)
    with pytest.raises(ProviderUnavailable):
        provider.order(NUMBER)
    assert len(asked(simulator)) == 1


def test_a_provider_that_is_down_is_not_asked_for_a_while(at: Callable[..., SmsruProvider]) -> None:
    provider = at(f"http://127.0.0.1:{free_port()}")
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(ProviderUnavailable):
            provider.order(NUMBER)
    with pytest.raises(ProviderUnavailable) as raised:
        provider.order(NUMBER)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 5


def test_the_balance_tells_whether_the_key_is_right(
    simulator: Simulator, at: Callable[..., SmsruProvider]
) -> None:
    assert str(at(simulator.smsru_url).balance()) == "4122.56"
    with pytest.raises(ProviderError):
        at(simulator.smsru_url, "a-key-of-somebody-else").balance()
