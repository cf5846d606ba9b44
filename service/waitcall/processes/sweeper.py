"""Thread in each serving process that sweeps overdue records every few seconds."""

import logging
import random
import threading
from collections.abc import Callable

from waitcall.domain.errors import StoreUnavailable

INTERVAL_SECONDS = 2.0
"""Average seconds between two sweeps; each interval is up to half of it shorter or longer."""

_log = logging.getLogger(__name__)


class Sweeper:
    """Thread that runs ``sweep`` periodically. The interval is jittered, so that replicas do not sweep at once."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        self._sweep = sweep
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Start the thread. Call it in the process that is to sweep, because threads do not survive a fork."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sweeping after the current sweep."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311  # nosec B311  # jitter, no secret
            try:
                self._sweep()
            except StoreUnavailable:
                _log.debug("sweep skipped: the store is unavailable")
            except Exception:  # noqa: BLE001  any error, or the thread would end
                # The records stay due, so the next sweep tries them again.
                _log.exception("sweep failed")
