"""Events reach waitcall though it is away, or the proxy is restarted."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from development.ports import free_port
from development.stack import ROOT
from tests.redis_servers import wait_for
from tests.sip.proxy import POOL, Caller, Proxy, Receiver, needs_kamailio, receiving, sipp

pytestmark = needs_kamailio
SCENARIO = ROOT / "development/sip_call.xml"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    started = []

    def start(url: str, **settings: str) -> Proxy:
        started.append(Proxy(tmp_path, url, **settings))
        return started[-1].start()

    yield start
    for each in started:
        each.stop()


def rows(count: int) -> list[str]:
    """Return a row of SIPp's table for each call, all of different callers."""
    return [f"+1202{number:07};{POOL}" for number in range(count)]


@contextmanager
def away(how: str, receiver: Receiver, port: int) -> Iterator[None]:
    """Keep the receiver of a port away in one of three ways."""
    if how == "refused":
        yield
        return
    receiver.answer = (lambda _: 503) if how == "503" else (lambda _: 0)
    with receiving(receiver, port):
        yield


@pytest.mark.parametrize("how", ["503", "refused", "timeout"])
def test_2000_calls_while_waitcall_is_away_for_30_s_all_arrive(
    tmp_path: Path, start: Callable[..., Proxy], how: str
) -> None:
    port = free_port()
    proxy = start(f"http://127.0.0.1:{port}")
    before, after = Receiver(), Receiver()
    with away(how, before, port):
        sipp(proxy, tmp_path, SCENARIO, rows(2000), r=66)
        assert proxy.metrics()["queued"] >= 1990

    with receiving(after, port):
        proxy.settle()

    callers = Counter(event["caller"] for event in after.events())
    assert callers == Counter(row.partition(";")[0] for row in rows(2000))
    assert len(after.posts) == 2000
    offered = {json.loads(body)["nonce"]: (signature, body) for signature, body in before.posts}
    arrived = {json.loads(body)["nonce"]: (signature, body) for signature, body in after.posts}
    assert how == "refused" or 3 < len(before.posts) < 200
    assert offered.items() <= arrived.items()


def test_a_restart_in_the_middle_of_a_post_loses_nothing(tmp_path: Path, start: Callable[..., Proxy]) -> None:
    port = free_port()
    proxy = start(f"http://127.0.0.1:{port}")
    hanging, after = Receiver(), Receiver()
    with away("timeout", hanging, port):
        sipp(proxy, tmp_path, SCENARIO, rows(300))
        wait_for(lambda: len(hanging.posts) >= 2)
        proxy.stop()
    proxy.start()

    with receiving(after, port):
        wait_for(lambda: len(after.events()) == 300)

    assert Counter(event["caller"] for event in after.events()) == Counter(
        row.partition(";")[0] for row in rows(300)
    )
    proxy.stop()
    proxy.start()
    assert proxy.metrics()["queued"] == 0


def test_a_killed_proxy_starts_again(tmp_path: Path, start: Callable[..., Proxy]) -> None:
    """Kamailio holds its queue in memory, so what waited is lost, and that is all."""
    with receiving(Receiver(answer=lambda _: 503)) as receiver:
        proxy = start(receiver.url)
        sipp(proxy, tmp_path, SCENARIO, rows(20))
        os.killpg(proxy.pid, signal.SIGKILL)
        proxy.stop()
        receiver.answer = lambda _: 204
        proxy.start()
        assert proxy.metrics()["queued"] == 0
        with Caller(proxy.port) as caller:
            assert receiver.event(caller.call())


@pytest.mark.parametrize("status", [400, 403, 413, 415, 422])
def test_an_event_that_waitcall_refuses_is_not_repeated(start: Callable[..., Proxy], status: int) -> None:
    with receiving(Receiver(answer=lambda number: status if number == 1 else 204)) as receiver:
        proxy = start(receiver.url)
        with Caller(proxy.port) as caller:
            caller.call()
            proxy.settle()
            receiver.event(caller.call())
            proxy.settle()
    assert len(receiver.posts) == 2
    assert proxy.metrics()["events_total:refused"] == 1
    assert proxy.metrics()["events_total:posted"] == 1


def test_every_other_answer_means_later(start: Callable[..., Proxy]) -> None:
    answers = [200, 202, 301, 307, 401, 404, 408, 429, 500, 502, 503, 504]
    with receiving(Receiver(answer=lambda number: [*answers, 204][number - 1])) as receiver:
        proxy = start(receiver.url)
        with Caller(proxy.port) as caller:
            call_id = caller.call()
            proxy.settle()
        assert len(receiver.posts) == len(answers) + 1
        assert len(receiver.events(call_id)) == 1
    assert receiver.elsewhere == []
    assert proxy.metrics()["events_total:retried"] == len(answers)


def test_an_event_is_given_up_when_its_verification_cannot_live_any_more(
    start: Callable[..., Proxy],
) -> None:
    with receiving(Receiver(answer=lambda _: 503)) as receiver:
        proxy = start(receiver.url, WAITCALL_SIP_WINDOW="2")
        with Caller(proxy.port) as caller:
            caller.call()
            proxy.settle()
    assert proxy.metrics()["events_total:expired"] == 1
    assert receiver.posts


def test_a_full_queue_drops_new_events_and_counts_them(start: Callable[..., Proxy]) -> None:
    with receiving(Receiver(answer=lambda _: 503)) as receiver:
        proxy = start(receiver.url, WAITCALL_SIP_QUEUE="3")
        with Caller(proxy.port) as caller:
            for _ in range(8):
                caller.call()
        found = proxy.metrics()
    assert found["calls_total:queued"] + found["calls_total:queue_full"] == 8
    # An event that is being posted is not in the queue.
    assert 3 <= found["calls_total:queued"] <= 5


def test_one_number_is_reported_so_many_times_a_minute(start: Callable[..., Proxy]) -> None:
    with receiving(Receiver()) as receiver:
        proxy = start(receiver.url, WAITCALL_SIP_CALLS_PER_MINUTE="3")
        with Caller(proxy.port) as caller:
            for _ in range(5):
                caller.call()
            other = caller.call(from_="<sip:+12025550199@carrier.example>;tag=1")
            receiver.event(other)
        proxy.settle()
    assert len(receiver.events()) == 4
    assert proxy.metrics()["calls_total:limited"] == 2
