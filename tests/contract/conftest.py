"""Patience with the store: what is counted exactly stays exact where other processes keep the machine busy."""

import pytest

from service.adapters.redis import connection


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no step give up only because it is slow. How soon one gives up is for test_redis_only.py to say."""
    if request.path.name == "test_redis_only.py":
        return
    for name in ("TIMEOUT_SECONDS", "TURN_SECONDS"):
        monkeypatch.setattr(connection, name, 30.0)
    for name in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(connection._CLUSTER_OPTIONS, name, 30.0)
