"""The thread in each worker process that sweeps every few seconds."""

import logging
import random
import threading
from collections.abc import Callable

from service.domain.errors import StoreUnavailable

INTERVAL_SECONDS = 2.0
"""What was left to a worker for too long is settled within this, give or take half of it."""

_log = logging.getLogger(__name__)


class Sweeper:
    """Runs ``sweep`` now and then until stopped; the interval is jittered so that replicas spread."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        self._sweep = sweep
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """To be called in the process that sweeps: threads do not survive a fork."""
        self._thread.start()

    def stop(self) -> None:
        """Sweep no more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311  # nosec B311  # jitter, no secret
            try:
                self._sweep()
            except StoreUnavailable:
                _log.debug("not swept: the store is away")
            except Exception:  # noqa: BLE001  the last line of defence of a thread
                # What is broken is due again later; the log says which line broke.
                _log.exception("sweep failed")
