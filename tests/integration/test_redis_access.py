"""Test how people reach Redis: passwords of servers and sentinels, IPv6, names of hosts, and mistakes, each with its cause."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest
from click.testing import CliRunner

from tests.integration.conftest import KEY, SECRET, Running
from tests.redis_servers import Cluster, Sentinel, Server, binary
from tests.worlds import redis_world
from waitcall.cli import main
from waitcall.domain.errors import StoreUnavailable

PASSWORD, OWN_PASSWORD = "a-password-of-the-master", "a-password-of-the-sentinel"
WATCHER = "user watcher on >a-password-of-the-watcher ~* &* +@all\n"


@dataclass
class Servers:
    """A server and a sentinel with passwords, a cluster of one server, and a server without a password."""

    guarded: Sentinel
    cluster: Cluster
    open: Server


@pytest.fixture(params=["valkey", "redis"], scope="module")
def ours(request: pytest.FixtureRequest) -> Iterator[Servers]:
    if binary(request.param) is None:
        pytest.skip(f"{request.param}-server is not installed (apt install redis-server)")
    guarded = Sentinel(request.param, password=PASSWORD, own_password=OWN_PASSWORD, more=WATCHER)
    made = Servers(guarded, Cluster(request.param, size=1), Server(request.param).start())
    yield made
    for each in (made.guarded, made.cluster, made.open):
        each.close()


def readiness(running: Running) -> tuple[int, str]:
    answer = running.ops.test_client().get("/readyz")
    return answer.status_code, answer.get_json().get("detail", "")


def with_password(url: str) -> str:
    return url.replace("://", f"://:{PASSWORD}@")


CREDENTIALS: dict[str, Callable[[Servers, Path], dict[str, str]]] = {
    "the servers' in the URL": lambda s, _: {
        "WAITCALL_REDIS_URL": with_password(s.guarded.url),
        "WAITCALL_REDIS_SENTINEL_PASSWORD": OWN_PASSWORD,
    },
    "both in settings": lambda s, _: {
        "WAITCALL_REDIS_URL": s.guarded.url,
        "WAITCALL_REDIS_USERNAME": "default",
        "WAITCALL_REDIS_PASSWORD": PASSWORD,
        "WAITCALL_REDIS_SENTINEL_USERNAME": "watcher",
        "WAITCALL_REDIS_SENTINEL_PASSWORD": "a-password-of-the-watcher",
    },
    "both in files": lambda s, directory: {
        "WAITCALL_REDIS_URL": s.guarded.url,
        "WAITCALL_REDIS_PASSWORD_FILE": str(directory / "password"),
        "WAITCALL_REDIS_SENTINEL_PASSWORD_FILE": str(directory / "own-password"),
    },
    "of a single server, in a setting": lambda s, _: {
        "WAITCALL_REDIS_URL": s.guarded.master.url,
        "WAITCALL_REDIS_PASSWORD": PASSWORD,
    },
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_servers_and_sentinels_have_credentials_of_their_own(
    starting: Callable[..., Running], ours: Servers, tmp_path: Path, name: str
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "own-password").write_text(f"{OWN_PASSWORD}\n")
    ours.guarded.flush()

    running = starting(**CREDENTIALS[name](ours, tmp_path))

    assert readiness(running) == (200, "")
    made = running.create()
    assert made.status_code == 201
    assert running.call().status_code == 200
    assert running.get(made.headers["Location"]).get_json()["status"] == "verified"


@dataclass(frozen=True)
class Mistake:
    """Settings that do not fit the servers, and what an operator is told."""

    settings: Callable[[Servers], dict[str, str]]
    told: str


def _sentinel(servers: Servers, password: str | None = OWN_PASSWORD, **url: str) -> dict[str, str]:
    address = with_password(servers.guarded.url)
    for old, new in url.items():
        address = address.replace(old, new)
    own = {"WAITCALL_REDIS_SENTINEL_PASSWORD": password} if password else {}
    return {"WAITCALL_REDIS_URL": address} | own


MISTAKES = {
    "no password": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": s.guarded.master.url}, "the Redis server demands a password"
    ),
    "wrong password": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": s.guarded.master.url, "WAITCALL_REDIS_PASSWORD": "another"},
        "the user or the password of the Redis server is wrong",
    ),
    "password for a server without one": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": s.open.url, "WAITCALL_REDIS_PASSWORD": "another"},
        "default user has no password",
    ),
    "no password of the sentinel": Mistake(
        lambda s: _sentinel(s, None), "set WAITCALL_REDIS_SENTINEL_PASSWORD"
    ),
    "wrong password of the sentinel": Mistake(
        lambda s: _sentinel(s, "another"), "the sentinels refuse WAITCALL_REDIS_SENTINEL_USERNAME"
    ),
    "wrong password behind the sentinel": Mistake(
        lambda s: _sentinel(s, **{PASSWORD: "another"}),
        "the user or the password of the Redis server is wrong",
    ),
    "wrong name of the master": Mistake(
        lambda s: _sentinel(s, mymaster="theirs"), "No sentinel knows a master of the name"
    ),
    "unknown host of a sentinel": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": "redis+sentinel://sentinel.invalid/mymaster"},
        "the name sentinel.invalid cannot be resolved",
    ),
    "unknown host": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": "redis://redis.invalid:6379/0"},
        "the name redis.invalid cannot be resolved",
    ),
    "unknown host of a cluster": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": "redis+cluster://node.invalid"},
        "the name node.invalid cannot be resolved",
    ),
    "wrong port": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": "redis://127.0.0.1:1/0"}, "nothing listens at this host and port"
    ),
    "no such database": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": s.open.url.replace("/0", "/99")}, "has no database of the number"
    ),
    "a server taken for a sentinel": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": f"redis+sentinel://{s.open.node}/mymaster"},
        "names a Redis server as a sentinel",
    ),
    "a sentinel taken for a server": Mistake(
        lambda s: {
            "WAITCALL_REDIS_URL": f"redis://{s.guarded.sentinel.node}",
            "WAITCALL_REDIS_PASSWORD": OWN_PASSWORD,
        },
        "if it is a sentinel, WAITCALL_REDIS_URL begins with redis+sentinel",
    ),
    "a cluster of one taken for a server": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": s.cluster.url.replace("+cluster", "")},
        "WAITCALL_REDIS_URL begins with redis+cluster",
    ),
    "a server taken for a cluster": Mistake(
        lambda s: {"WAITCALL_REDIS_URL": f"redis+cluster://{s.open.node}"}, "is not part of a cluster"
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_readiness_and_the_log_name_the_cause(
    starting: Callable[..., Running], ours: Servers, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    mistake = MISTAKES[name]

    status, told = readiness(starting(**mistake.settings(ours)))

    assert status == 503
    assert mistake.told in told
    (logged,) = (
        vars(each)["cause"] for each in caplog.records if each.getMessage() == "redis operation failed"
    )
    assert logged == told
    assert not any(secret in told for secret in (PASSWORD, OWN_PASSWORD, "another", "waitcall:"))


@pytest.mark.parametrize("name", MISTAKES)
def test_the_doctor_names_the_cause(
    ours: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "policy.toml").write_text(
        'dial_regions = ["RU"]\n[purposes.login]\n[clients.web]\npurposes = ["login"]'
    )
    settings = {
        "WAITCALL_SMSC_URLS": "http://127.0.0.1:9/sys",
        "WAITCALL_SMSC_APIKEY": "sim-apikey",
        "WAITCALL_CALLBACK_SECRETS": SECRET,
        "WAITCALL_API_KEYS": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "WAITCALL_KEY_PEPPER": "p" * 32,
        "WAITCALL_POLICY": str(tmp_path / "policy.toml"),
    }
    for setting, value in (settings | MISTAKES[name].settings(ours)).items():
        monkeypatch.setenv(setting, value)

    told = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)

    (redis,) = (each for each in told if each["check"] == "redis")
    assert redis["state"] == "failure"
    assert MISTAKES[name].told in redis["found"]


def test_a_master_that_is_down_is_told_from_a_wrong_name() -> None:
    guarded = Sentinel("valkey", more="sentinel down-after-milliseconds mymaster 50\n")
    guarded.master.stop()
    with redis_world(guarded.url) as world:

        def cause() -> str:
            with pytest.raises(StoreUnavailable) as refused:
                world.probe.ping()
            return refused.value.cause

        deadline = monotonic() + 30
        while "The sentinels say that the master is down" not in cause():
            assert monotonic() < deadline
    guarded.close()
