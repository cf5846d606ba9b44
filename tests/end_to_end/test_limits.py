"""Test that limits are exact over two gunicorn workers, on one Redis and on a cluster, and stand in the headers."""

import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import POLICY, Starting
from tests.making import together
from tests.redis_servers import Cluster, Server

pytestmark = pytest.mark.slow

CODES = POLICY.replace("[purposes.login]", '[purposes.login]\nchannels = ["code"]\nmax_attempts = 10')
CONTESTS = POLICY.replace("[purposes.login]", '[purposes.login]\non_concurrent = "contest"').replace(
    "number = []", 'number = []\nip = ["5/h"]'
)
LIMITED = POLICY.replace("number = []", 'number = []\nclient = ["5/10m"]')


@pytest.fixture(scope="module", params=["one", "cluster"])
def redis_url(request: pytest.FixtureRequest, redis_server: Server) -> Iterator[str]:
    if request.param == "one":
        with redis_server.client() as client:
            client.flushall()
        yield redis_server.url
    else:
        cluster = Cluster("valkey")
        yield cluster.url
        cluster.close()


def test_two_hundred_simultaneous_creates_place_exactly_five_orders(
    starting: Starting, simulator: Simulator, redis_url: str
) -> None:
    service = starting(policy=LIMITED, WAITCALL_REDIS_URL=redis_url)
    began = time.monotonic()
    before = len(simulator.exchange.ledger)

    answers = together(200, lambda index: service.create(f"+7999{5000000 + index}", reference=None))

    assert Counter(answer.status for answer in answers) == {201: 5, 429: 195}
    assert len(simulator.exchange.ledger) == before + 5
    assert service.total("waitcall_rate_limit_decisions_total", 'scope="client"', 'decision="deny"') == 195
    refused = next(answer for answer in answers if answer.status == 429)
    assert 599 - (time.monotonic() - began) <= int(refused.headers["Retry-After"]) <= 600
    assert refused.headers["RateLimit-Policy"] == '"client-600";q=5;w=600'
    left = re.fullmatch(r'"client-600";r=0;t=(\d+)', refused.headers["RateLimit"])
    assert left is not None
    assert left[1] == refused.headers["Retry-After"]


def test_three_hundred_wrong_codes_over_three_verifications_are_compared_exactly_twenty_times(
    starting: Starting, simulator: Simulator, redis_url: str
) -> None:
    service = starting(policy=CODES, WAITCALL_REDIS_URL=redis_url)
    began = time.monotonic()
    told: Counter[str] = Counter()
    for _ in range(3):
        made = service.create("+79994000001", reference=None).json
        url = f"{service.api}/v1/verifications/{made['id']}"
        code = re.sub(r"[^0-9]", "", simulator.office.sent[-1].text)
        wrong = {"code": f"{(int(code) + 1) % 1000000:06}"}
        answers = together(100, lambda _, at=url, body=wrong: service.ask("POST", f"{at}/check", body))
        told += Counter(answer.json["code"] for answer in answers)
    right = service.ask("POST", f"{url}/check", {"code": code})

    assert told["code_mismatch"] == 20
    assert told.keys() == {"code_mismatch", "attempts_spent", "rate_limited"}
    assert (right.status, right.json["code"]) == (429, "rate_limited")
    assert 86399 - (time.monotonic() - began) <= int(right.headers["Retry-After"]) <= 86400


def test_forty_simultaneous_contests_by_one_address_spoil_exactly_five(
    starting: Starting, redis_url: str
) -> None:
    service = starting(policy=CONTESTS, WAITCALL_REDIS_URL=redis_url)
    numbers = [f"+7999{6000000 + index}" for index in range(40)]
    owners = [service.create(each, client_ip=f"198.51.{index}.7").json for index, each in enumerate(numbers)]

    attacks = together(40, lambda index: service.create(numbers[index], reference="x", client_ip="192.0.2.1"))

    assert Counter(each.status for each in attacks) == {409: 5, 429: 35}
    standing = Counter(service.read(each["id"]).json["status"] for each in owners)
    assert standing == {"contested": 5, "pending": 35}
