import threading

from waitcall.domain.errors import StoreUnavailable
from waitcall.processes.sweeper import Sweeper


def test_a_sweeper_outlives_a_store_that_is_away_and_a_broken_record(monkeypatch) -> None:
    monkeypatch.setattr("waitcall.processes.sweeper.INTERVAL_SECONDS", 0.001)
    failures = [StoreUnavailable(), ValueError("broken")]
    swept = threading.Event()

    def sweep() -> int:
        if failures:
            raise failures.pop(0)
        swept.set()
        return 0

    sweeper = Sweeper(sweep)
    sweeper.start()

    assert swept.wait(5)
    sweeper.stop()
    sweeper._thread.join(5)
    assert not sweeper._thread.is_alive()
