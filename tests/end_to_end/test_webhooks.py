"""Events from gunicorn through `waitcall worker` to receivers that misbehave."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import POLICY, Service, Starting, Working, launch_worker
from tests.end_to_end.receivers import SECRET, receiving
from tests.redis_servers import Server, free_port, wait_for

pytestmark = pytest.mark.slow


def listening(**urls: str) -> tuple[str, str]:
    """A policy with webhooks, and their secrets."""
    tables = "".join(
        f'[clients.web.webhooks.{name}]\nurl = "{url}"\nallow_private = true\n' for name, url in urls.items()
    )
    head, _, limits = POLICY.partition("[limits]")
    return f"{head}{tables}[limits]{limits}", ",".join(f"web/{name}={SECRET}" for name in urls)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Working]]:
    with ExitStack() as stopping:
        started: list[Working] = []
        stopping.callback(lambda: [each.stop() for each in started])
        yield started


def journey(service: Service, simulator: Simulator, number: str) -> str:
    """Create, call, consume: two events."""
    made = service.create(number).json
    digits = number.lstrip("+")
    assert service.call(digits, int(time.time())).status == 200
    assert service.consume(made["id"]).status == 200
    return str(made["id"])


def test_receivers_that_fail_hang_or_are_away_get_every_event(
    starting: Starting, workers: list[Working], tmp_path: Path, simulator: Simulator, redis_server: Server
) -> None:
    """One fails five times for each event, one hangs for its first ten requests, one is away for a minute."""
    with redis_server.client() as client:
        client.flushall()
    away_port = free_port()
    with ExitStack() as stack:
        sound = stack.enter_context(receiving())
        failing = stack.enter_context(receiving(lambda number: 500 if number <= 100 else 200))
        hanging = stack.enter_context(
            receiving(lambda number: (time.sleep(11), 200)[1] if number <= 10 else 200)
        )
        policy, secrets = listening(
            sound=sound.url,
            failing=failing.url,
            hanging=hanging.url,
            away=f"http://127.0.0.1:{away_port}/hook",
        )
        service = starting(policy=policy, WAITCALL_WEBHOOK_SECRETS=secrets)
        workers += [launch_worker(service, tmp_path) for _ in range(2)]
        began = time.monotonic()
        ids = {journey(service, simulator, f"+7999400{index:04d}") for index in range(10)}
        wait_for(lambda: len(sound.ids) == 20, seconds=15)
        # One of the workers dies in the middle of it.
        workers[0].process.kill()
        wait_for(lambda: time.monotonic() - began > 60, seconds=70)
        away = stack.enter_context(receiving(port=away_port))
        for receiver in (failing, hanging, away):
            wait_for(lambda receiver=receiver: receiver.ids == sound.ids, seconds=150)
        for receiver in (sound, failing, hanging, away):
            told = {(event["data"]["id"], event["type"]) for _, event in receiver.accepted}
            assert told == {
                (each, kind) for each in ids for kind in ("verification.verified", "verification.consumed")
            }
            # However often an event came, it came under one id.
            assert len(receiver.ids) == 20
        assert failing.asked >= 120
    log = workers[1].log.read_text()
    assert "not delivered" in log
    assert not any(each in log for each in ids)
    assert "999400" not in log
    assert json.dumps(SECRET) not in log
