"""Test sending codes against the simulator's sockets: whatever fails, a message is sent once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.fakes.outside import RecordingObserver
from tests.making import NUMBER
from tests.redis_servers import free_port, wait_for
from waitcall.adapters.providers.guarded_calls import within_thread
from waitcall.adapters.providers.smsc.sender import SmscSender
from waitcall.adapters.providers.transport import Account
from waitcall.domain.channel import Captcha
from waitcall.domain.errors import (
    CaptchaRejected,
    NumberRefused,
    ProviderError,
    ProviderFailure,
    ProviderUnavailable,
)

TEXT = "012345 is your code."


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    handler = Handler("http://127.0.0.1:9/callbacks/smsc", "a-secret-of-the-tests")
    with Simulator(Options(handler, calm=True)) as running:
        yield running


@pytest.fixture
def sending(observer: RecordingObserver) -> Iterator[Callable[..., SmscSender]]:
    made: list[SmscSender] = []

    def make(base_urls: Sequence[str], sender_name: str | None = None, budget: float = 20.0) -> SmscSender:
        account = Account(base_urls, {"apikey": "sim-apikey"}, budget, 20)
        made.append(SmscSender(account, observer, within_thread, sender_name))
        return made[-1]

    yield make
    for each in made:
        each.close()


def plan(simulator: Simulator, *steps: tuple[str, Any]) -> None:
    simulator.faults.load([{"kind": kind, "value": value} for kind, value in steps], None)


def asked(simulator: Simulator) -> list[dict[str, Any]]:
    return [entry for entry in simulator.exchange.ledger if entry.get("endpoint") == "send"]


def test_a_text_goes_by_post_under_our_own_id(simulator, sending, observer) -> None:
    sending([simulator.base_url], "Example").send(NUMBER, "Ваш код: 012345", 77)

    (entry,) = asked(simulator)
    assert entry["method"] == "POST"
    assert {
        "phones": "79991234567",
        "mes": "Ваш код: 012345",
        "id": "77",
        "sender": "Example",
        "fmt": "3",
        "charset": "utf-8",
    }.items() <= entry["fields"].items()
    assert [(each.id, each.text) for each in simulator.office.sent] == [(77, "Ваш код: 012345")]
    assert observer.counts["provider", "send", "ok"] == 1


@pytest.mark.parametrize(
    ("fault", "refusal", "outcome"),
    [
        (("error", 1), ProviderError, "rejected"),
        (("error", 3), ProviderError, "rejected"),
        (("error", 6), ProviderError, "rejected"),
        (("error", 99), ProviderError, "rejected"),
        (("error", 2), ProviderError, "credentials"),
        (("error", 4), ProviderError, "credentials"),
        (("error", 7), NumberRefused, "number_refused"),
        (("error", 8), NumberRefused, "number_refused"),
        (("error", 9), ProviderUnavailable, "throttled"),
        (("status", 500), ProviderUnavailable, "server_error"),
        (("html", None), ProviderUnavailable, "unreadable"),
        (("empty", None), ProviderUnavailable, "unreadable"),
        (("answer", "[]"), ProviderUnavailable, "unreadable"),
        (("answer", '{"id":"x"}'), ProviderUnavailable, "unreadable"),
        (("reset", None), ProviderUnavailable, "unreachable"),
        (("hang", None), ProviderUnavailable, "timeout"),
    ],
)
def test_each_failure_is_told_apart_and_nothing_is_sent_again(
    simulator, sending, observer, fault, refusal, outcome
) -> None:
    plan(simulator, fault)

    # The second base URL shows that no other try is made, because none would be safe.
    sender = sending([simulator.base_url] * 2, budget=1.0 if fault[0] == "hang" else 20.0)
    with pytest.raises(ProviderFailure) as failed:
        sender.send(NUMBER, TEXT, 77)

    assert type(failed.value) is refusal
    if outcome == "timeout":
        # The thread that was given up counts its request a moment later.
        wait_for(lambda: observer.counts["provider", "send", outcome])
    assert observer.counts["provider", "send", outcome] == 1
    assert len(asked(simulator)) == 1
    assert simulator.office.sent == []


def test_a_message_whose_answer_was_lost_is_found_by_its_id(simulator, sending, observer) -> None:
    plan(simulator, ("lost", None))

    sending([simulator.base_url, simulator.base_url]).send(NUMBER, TEXT, 77)

    assert len(simulator.office.sent) == 1
    assert observer.counts["provider", "status", "ok"] == 1


def test_another_host_is_asked_if_the_first_cannot_have_sent_anything(simulator, sending) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/sys"

    sending([nobody, simulator.base_url]).send(NUMBER, TEXT, 77)

    assert len(simulator.office.sent) == 1
    with pytest.raises(ProviderUnavailable):
        sending([nobody]).send(NUMBER, TEXT, 78)


def test_a_captcha_travels_with_the_visitors_address(simulator, sending) -> None:
    solved = simulator.office.picture("203.0.113.7")
    sender = sending([simulator.base_url])

    sender.send(NUMBER, TEXT, 77, Captcha(solved.upper(), "203.0.113.7"))
    with pytest.raises(CaptchaRejected):
        sender.send(NUMBER, "Another 012345", 78, Captcha(solved, "203.0.113.7"))
    assert len(simulator.office.sent) == 1


def test_the_same_text_within_a_minute_is_not_taken_twice(simulator, sending) -> None:
    sender = sending([simulator.base_url])
    sender.send(NUMBER, TEXT, 77)

    with pytest.raises(ProviderUnavailable, match="too often"):
        sender.send(NUMBER, TEXT, 78)
    assert len(simulator.office.sent) == 1
