"""Test that a greenlet stopped while it waits for Redis leaves no answer for the next command."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.redis_servers import Sentinel, Server


@pytest.fixture(params=["server", "sentinel"])
def redis(request: pytest.FixtureRequest) -> Iterator[Any]:
    server: Any = Server("valkey").start() if request.param == "server" else Sentinel("valkey")
    yield server
    server.close()


def test_a_stopped_greenlet_leaves_no_answer_and_gives_the_client_back(redis: Any) -> None:
    server = redis.master if isinstance(redis, Sentinel) else redis
    command = [
        sys.executable,
        "-m",
        "tests.integration.stopped_greenlets",
        redis.url,
        str(server.process.pid),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.split() == ["b'asked'"] * 3, ran.stderr
