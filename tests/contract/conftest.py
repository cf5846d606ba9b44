"""Longer timeouts of the store, so that exact counts hold on a busy machine too."""

import pytest

from waitcall.adapters.redis import connection, topology


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no step fail only because it is slow. test_redis_failures.py tests the real timeouts."""
    if request.path.name == "test_redis_failures.py":
        return
    for name in ("TIMEOUT_SECONDS", "CLUSTER_TIMEOUT_SECONDS", "TURN_SECONDS"):
        monkeypatch.setattr(topology, name, 30.0)
    monkeypatch.setattr(connection, "TURN_SECONDS", 30.0)
