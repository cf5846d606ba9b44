"""Test a Redis that answers but refuses writes.

Creates and readiness fail, the log and the doctor name the cause, and the service recovers by itself.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from redis.exceptions import RedisError

from tests.integration.conftest import KEY, SECRET, Running
from tests.redis_servers import Cluster, Server, all_keys, binary, free_port, wait_for
from waitcall.adapters.redis.cause import words_of
from waitcall.cli import main

PASSWORD = "a-password-of-the-tests"
NUMBER = "+79991234567"


@dataclass(frozen=True)
class Refusal:
    """A way to make a server refuse writes, the way to end it, and a word of the server's error."""

    word: str
    begin: Callable[[Redis, Server], object]
    end: Callable[[Redis, Server], object]


def _user(client: Redis, *rules: str) -> None:
    client.execute_command("ACL", "SETUSER", "waitcall", *rules)


def _fail_to_save(client: Redis, server: Server) -> None:
    client.config_set("save", "3600 1")
    shutil.rmtree(server.directory)
    client.execute_command("BGSAVE")
    wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


def _save_again(client: Redis, server: Server) -> None:
    server.directory.mkdir()
    client.config_set("save", "")


REFUSALS = {
    "full": Refusal(
        "OOM", lambda c, _: c.config_set("maxmemory", 1), lambda c, _: c.config_set("maxmemory", 0)
    ),
    "a replica": Refusal(
        "READONLY",
        lambda c, _: c.execute_command("REPLICAOF", "127.0.0.1", free_port()),
        lambda c, _: c.execute_command("REPLICAOF", "NO", "ONE"),
    ),
    "without EVALSHA": Refusal(
        "NOPERM", lambda c, _: _user(c, "-evalsha"), lambda c, _: _user(c, "+evalsha")
    ),
    "without scripts": Refusal(
        "NOPERM", lambda c, _: _user(c, "-@scripting"), lambda c, _: _user(c, "+@scripting")
    ),
    "without writes": Refusal("user", lambda c, _: _user(c, "-set"), lambda c, _: _user(c, "+set")),
    "without our keys": Refusal(
        "NOPERM", lambda c, _: _user(c, "resetkeys", "~other:*"), lambda c, _: _user(c, "~*")
    ),
    "a disk that fails": Refusal("MISCONF", _fail_to_save, _save_again),
}


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if binary(request.param) is None:
        pytest.skip(f"{request.param}-server is not installed (apt install redis-server)")
    made = Server(request.param).start()
    with made.client() as client:
        _user(client, "on", f">{PASSWORD}", "~*", "&*", "+@all")
    yield made
    made.close()


def url_of(server: Server) -> str:
    return server.url.replace("redis://", f"redis://waitcall:{PASSWORD}@")


@pytest.fixture
def running(server: Server, starting: Callable[..., Running]) -> Running:
    return starting(WAITCALL_REDIS_URL=url_of(server))


def ready(running: Running) -> tuple[int, str]:
    answer = running.ops.test_client().get("/readyz")
    return answer.status_code, answer.get_json().get("code", "ready")


def numbers() -> Iterator[str]:
    return iter(f"+7999{each:07}" for each in range(1, 10_000))


UNAVAILABLE, READY = (503, "store_unavailable"), (200, "ready")


@pytest.mark.parametrize("name", REFUSALS)
def test_with_a_server_that_refuses_writes_the_service_is_not_ready_and_logs_why(
    running: Running, server: Server, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    refusal = REFUSALS[name]
    free = numbers()
    assert running.create(phone_number=next(free)).status_code == 201
    assert ready(running) == READY
    with server.client() as client:
        refusal.begin(client, server)
        for _ in range(10):
            made = running.create(phone_number=next(free))
            assert (made.status_code, made.get_json()["code"]) == UNAVAILABLE
            assert "cause" not in made.get_json()
            assert ready(running) == UNAVAILABLE
        # The log has the server's error once, however many requests fail, and no key and no value.
        told = [
            vars(each)["cause"] for each in caplog.records if each.getMessage() == "redis operation failed"
        ]
        assert len(told) == 1
        assert refusal.word.lower() in told[0].lower()
        assert not any(part in told[0] for part in ("waitcall:", "+7999", "7999", PASSWORD))
        assert running.metrics()['waitcall_redis_errors_total{operation="ping"}'] == 10

        refusal.end(client, server)

    assert ready(running) == READY
    assert running.create(phone_number=next(free)).status_code == 201


def test_a_second_cause_is_logged_although_the_first_was_just_logged(
    running: Running, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with server.client() as client:
        client.config_set("min-replicas-to-write", 1)
        assert ready(running) == UNAVAILABLE
        client.config_set("min-replicas-to-write", 0)
        _fail_to_save(client, server)
        assert ready(running) == UNAVAILABLE
        _save_again(client, server)
    told = [vars(each)["cause"] for each in caplog.records if each.getMessage() == "redis operation failed"]
    assert [each.split()[1] for each in told] == ["NOREPLICAS", "MISCONF"]


@pytest.mark.parametrize("name", REFUSALS)
def test_the_doctor_names_what_the_server_refuses(
    running: Running, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for setting, value in {
        "REDIS_URL": url_of(server),
        "SMSC_URLS": running.simulator.base_url,
        "SMSC_APIKEY": "sim-apikey",
        "CALLBACK_SECRETS": SECRET,
        "API_KEYS": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "KEY_PEPPER": "p" * 32,
        "POLICY": str(tmp_path / "policy.toml"),
    }.items():
        monkeypatch.setenv(f"WAITCALL_{setting}", value)

    def redis() -> dict[str, str]:
        told = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
        return next(each for each in told if each["check"] == "redis")

    assert redis()["state"] == "ok"
    with server.client() as client:
        REFUSALS[name].begin(client, server)
        found = redis()
        REFUSALS[name].end(client, server)

    assert found["state"] == "failure"
    assert REFUSALS[name].word.lower() in found["found"].lower()
    assert redis()["state"] == "ok"


@pytest.mark.parametrize("product", ["valkey", "redis"])
def test_a_cluster_that_lost_a_master_is_not_ready(
    starting: Callable[..., Running], caplog: pytest.LogCaptureFixture, product: str
) -> None:
    """The service is ready again once the master is back."""
    if binary(product) is None:
        pytest.skip(f"{product}-server is not installed (apt install redis-server)")
    cluster = Cluster(product, node_timeout_ms=2000)
    try:
        running = starting(WAITCALL_REDIS_URL=cluster.url)
        free = numbers()
        assert ready(running) == READY
        assert running.create(phone_number=next(free)).status_code == 201
        cluster.nodes[1].stop()

        wait_for(lambda: ready(running) == UNAVAILABLE)

        wait_for(lambda: running.create(phone_number=next(free)).status_code == 503)
        assert [each for each in caplog.records if each.getMessage() == "redis operation failed"]
        cluster.nodes[1].start()
        wait_for(lambda: ready(running) == READY, seconds=30)
        wait_for(lambda: running.create(phone_number=next(free)).status_code == 201)
    finally:
        cluster.close()


def test_readiness_leaves_short_lived_keys(running: Running, server: Server) -> None:
    with server.client() as client:
        client.flushall()
        for _ in range(3):
            assert ready(running) == READY
        keys = all_keys(client)
    sign = "waitcall:{due-0}:ready"
    assert set(keys) == {sign, f"{sign}:set", f"{sign}:stream", f"{sign}:hash"}
    assert all(0 < left <= 10_000 for left in keys.values())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RedisError("WRONGTYPE Operation against a key"), "RedisError: WRONGTYPE Operation against a key"),
        (RedisError(f"of waitcall:{{a}}:v:b and {NUMBER}"), "RedisError: of … and …"),
        (OSError("Error 111 connecting to 10.0.0.1:6379."), "OSError: Error … connecting to …"),
        (TimeoutError(), "TimeoutError"),
        (RedisError("word " * 50), "RedisError: " + " ".join(["word"] * 16)),
    ],
)
def test_a_logged_cause_is_short_and_has_no_key_and_no_value(error: Exception, said: str) -> None:
    assert words_of(error) == said


def test_the_answer_does_not_show_the_cause(running: Running, server: Server) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 1)
        told: Any = running.create().get_json()
        client.config_set("maxmemory", 0)
    assert "OOM" not in json.dumps(told)
