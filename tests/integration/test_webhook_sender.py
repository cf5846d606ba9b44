"""One attempt at a real receiver: signed, bounded, without redirects, never inward by accident."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.adapters.webhook import sender as sender_module
from service.adapters.webhook.sender import WebhookSender
from service.application.announcement import Delivery
from service.application.push import DeliveryOutcome
from service.domain.policy import Endpoint
from tests.end_to_end.receivers import SECRET, receiving
from tests.redis_servers import free_port

OTHER_SECRET = "whsec_" + "QUJD" * 10
DELIVERY = Delivery("evt_1", "web/main", '{"type":"verification.verified","data":{"reference":"поток"}}')


@pytest.fixture
def sender() -> Iterator[WebhookSender]:
    sender = WebhookSender({"web/main": [SECRET]})
    yield sender
    sender.close()


def endpoint(url: str, *, allow_private: bool = True) -> Endpoint:
    return Endpoint("web/main", url, frozenset(), allow_private)


def test_a_receiver_verifies_it_with_the_library(sender: WebhookSender) -> None:
    with receiving() as receiver:
        for _ in range(2):
            outcome = sender.send(endpoint(receiver.url), DELIVERY, datetime.now(UTC))
            assert outcome is DeliveryOutcome.ACCEPTED
    # The same id both times: that is what a receiver drops duplicates by.
    assert [event_id for event_id, _ in receiver.accepted] == ["evt_1", "evt_1"]
    assert receiver.accepted[0][1]["data"]["reference"] == "поток"


def test_while_a_secret_rotates_both_sign() -> None:
    sender = WebhookSender({"web/main": [OTHER_SECRET, SECRET]})
    for secret in (SECRET, OTHER_SECRET):
        with receiving(secret=secret) as receiver:
            sender.send(endpoint(receiver.url), DELIVERY, datetime.now(UTC))
        assert receiver.ids == {"evt_1"}
    sender.close()
    headers = {name.lower(): value for name, value in receiver.headers[0].items()}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(DELIVERY.body + " ", headers)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, DeliveryOutcome.ACCEPTED),
        (299, DeliveryOutcome.ACCEPTED),
        (301, DeliveryOutcome.REFUSED),
        (307, DeliveryOutcome.REFUSED),
        (400, DeliveryOutcome.REFUSED),
        (410, DeliveryOutcome.GONE),
        (503, DeliveryOutcome.REFUSED),
    ],
)
def test_only_2xx_is_accepted_and_no_redirect_is_followed(
    sender: WebhookSender, status: int, outcome: DeliveryOutcome
) -> None:
    with receiving(lambda _: status) as receiver:
        assert sender.send(endpoint(receiver.url), DELIVERY, datetime.now(UTC)) is outcome
        assert receiver.asked == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_an_address_inside_gets_not_a_byte_unless_it_is_allowed(sender: WebhookSender, host: str) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as inside:
        url = f"http://{host}:{inside.getsockname()[1]}/hook"
        got: list[bytes] = []

        def listen() -> None:
            connected, _ = inside.accept()
            connected.settimeout(5)
            got.append(connected.recv(1))
            connected.close()

        thread = threading.Thread(target=listen)
        thread.start()
        outcome = sender.send(endpoint(url, allow_private=False), DELIVERY, datetime.now(UTC))
        thread.join(5)
    assert (outcome, got) == (DeliveryOutcome.FORBIDDEN, [b""])


def test_one_that_hangs_and_one_that_is_away_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_module, "TIMEOUT_SECONDS", 0.2)
    sender = WebhookSender({"web/main": [SECRET]})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert sender.send(hanging, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.TIMEOUT
    away = endpoint(f"http://127.0.0.1:{free_port()}/")
    assert sender.send(away, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.UNREACHABLE
    nowhere = endpoint("https://no-such-host.invalid/")
    assert sender.send(nowhere, DELIVERY, datetime.now(UTC)) is DeliveryOutcome.UNREACHABLE
    sender.close()
