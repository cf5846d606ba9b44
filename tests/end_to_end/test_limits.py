"""Limits over two gunicorn workers, on one Redis and on a cluster: exact, and told by standard headers."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import POLICY, Starting
from tests.making import together
from tests.redis_servers import Cluster, Server

pytestmark = pytest.mark.slow

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
    before = len(simulator.exchange.ledger)

    answers = together(200, lambda index: service.create(f"+7999{5000000 + index}", reference=None))

    assert Counter(answer.status for answer in answers) == {201: 5, 429: 195}
    assert len(simulator.exchange.ledger) == before + 5
    assert service.total("waitcall_rate_limit_decisions_total", 'scope="client"', 'decision="deny"') == 195
    refused = next(answer for answer in answers if answer.status == 429)
    assert 590 <= int(refused.headers["Retry-After"]) <= 600
    assert refused.headers["RateLimit-Policy"] == '"client-600";q=5;w=600'
    left = re.fullmatch(r'"client-600";r=0;t=(\d+)', refused.headers["RateLimit"])
    assert left is not None
    assert left[1] == refused.headers["Retry-After"]
