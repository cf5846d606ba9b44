"""A thousand requests at once over a pool of 20 numbers, with gunicorn: no two verifications share a caller and a number to dial."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from tests.end_to_end.conftest import KEY, Answered, Service, Starting
from tests.making import together
from tests.own_doors import SIP
from tests.redis_servers import Cluster, Server
from waitcall.adapters.redis.codec import decode
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

pytestmark = pytest.mark.slow

APP_KEY = "a-key-of-app"
REQUESTERS = (KEY, "login"), (APP_KEY, "reset")
"""Key and purpose of two clients."""
POOL = [f"+12025550{100 + index}" for index in range(20)]
POLICY = f"""
dial_regions = ["US"]
[purposes.login]
cooldown_seconds = 0
[purposes.reset]
cooldown_seconds = 0
[clients.web]
purposes = ["login", "reset"]
[clients.app]
purposes = ["login", "reset"]
[limits]
number = []
number_total = []
ip = []
[routing]
default = ["own"]
[own_numbers]
sip = {POOL}
"""


@dataclass
class Stage:
    """A running service with two workers, and its Redis."""

    service: Service
    redis: Server | Cluster

    def create(self, subscriber: str, requester: int, turn: int = 0) -> Answered:
        """Create a verification. Each turn is another session of the requester."""
        key, purpose = REQUESTERS[requester]
        body = {"phone_number": subscriber, "purpose": purpose, "reference": f"flow-{turn}"}
        url = f"{self.service.api}/v1/verifications"
        return self.service.ask("POST", url, body, Authorization=f"Bearer {key}")

    def cancel(self, verification_id: str, requester: int) -> Answered:
        key, _ = REQUESTERS[requester]
        url = f"{self.service.api}/v1/verifications/{verification_id}"
        return self.service.ask("DELETE", url, Authorization=f"Bearer {key}")

    def records(self) -> list[Verification]:
        """Read every verification that Redis has."""
        with self.redis.client() as client:
            documents: list[Any] = [client.get(key) for key in client.scan_iter("waitcall:*:v:*", count=1000)]
        return [decode(each) for each in documents]


@pytest.fixture(params=["one", "cluster"])
def stage(request: pytest.FixtureRequest, starting: Starting) -> Iterator[Stage]:
    redis = Cluster("valkey") if request.param == "cluster" else Server("valkey").start()
    keys = {"web": KEY, "app": APP_KEY}
    pairs = ",".join(f"{name}={hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items())
    service = starting(policy=POLICY, WAITCALL_REDIS_URL=redis.url, WAITCALL_API_KEYS=pairs, **SIP.settings)
    yield Stage(service, redis)
    redis.close()


def pairs_of(records: list[Verification]) -> Counter[tuple[str, str]]:
    return Counter((each.phone_number.value, each.call_number.value) for each in records if each.call_number)


def statuses(given: list[Any]) -> Counter[int | str]:
    return Counter(each.status if isinstance(each, Answered) else repr(each) for each in given)


def subscribers(count: int) -> list[str]:
    return [f"+1212556{1000 + index}" for index in range(count)]


def test_no_two_of_a_thousand_live_verifications_share_a_caller_and_a_number_to_dial(stage: Stage) -> None:
    """Each subscriber is asked for by two requesters at once, and one of them may have the verification."""
    asked = subscribers(1000)

    given = together(2000, lambda index: stage.create(asked[index // 2], index % 2))

    assert statuses(given) == {201: 1000, 409: 1000}
    live = [each for each in stage.records() if each.status is Status.PENDING]
    pairs = pairs_of(live)
    assert {caller for caller, _ in pairs} == {*asked}
    assert (len(live), len(pairs), max(pairs.values())) == (1000, 1000, 1)
    assert {number for _, number in pairs} == {*POOL}
    assert stage.service.total("waitcall_verifications_started_total") == 1000


def test_a_subscriber_is_shown_each_number_of_the_pool_once_whoever_asks_at_once(stage: Stage) -> None:
    """Two requesters for each of fifty subscribers ask at once, twenty times. The one who was shown a number cancels."""
    asked = subscribers(50)
    for turn in range(len(POOL)):
        given = together(100, lambda index, turn=turn: stage.create(asked[index // 2], index % 2, turn))
        assert statuses(given) == {201: 50, 409: 50}
        shown = [(each.json["id"], index % 2) for index, each in enumerate(given) if each.status == 201]
        canceled = together(50, lambda index, shown=shown: stage.cancel(*shown[index]))
        assert statuses(canceled) == {200: 50}

    assert pairs_of(stage.records()) == Counter(product(asked, POOL))
    refused = together(50, lambda index: stage.create(asked[index], 0))
    assert statuses(refused) == {503: 50}
