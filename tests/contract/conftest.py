"""Patience with the store: what is counted exactly stays exact where other processes keep the machine busy."""

import pytest

from service.adapters.redis import connection, topology


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no step give up only because it is slow. How soon one gives up is for test_redis_only.py to say."""
    if request.path.name == "test_redis_only.py":
        return
    for name in ("TIMEOUT_SECONDS", "CLUSTER_TIMEOUT_SECONDS", "TURN_SECONDS"):
        monkeypatch.setattr(topology, name, 30.0)
    monkeypatch.setattr(connection, "TURN_SECONDS", 30.0)
