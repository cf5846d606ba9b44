"""Readiness of a process."""

import pytest

from tests.worlds import World
from waitcall.application.readiness import Readiness
from waitcall.domain.errors import StoreUnavailable


def test_readiness_asks_the_store_and_knows_when_the_process_leaves(world: World) -> None:
    readiness = Readiness(world.probe)
    readiness.check()
    assert not readiness.is_leaving
    readiness.leave()
    assert readiness.is_leaving

    def ping() -> None:
        raise StoreUnavailable

    world.probe.ping = ping
    with pytest.raises(StoreUnavailable):
        readiness.check()
