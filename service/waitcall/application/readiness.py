"""Use case of the readiness probe: should this replica get requests?"""

from waitcall.application.ports import StoreProbe


class Readiness:
    """Readiness of this replica. It depends on the store, not on the provider, whose outage must not stop all replicas."""

    def __init__(self, store: StoreProbe) -> None:
        self._store = store
        self.is_leaving = False
        """True once ``leave`` was called."""

    def leave(self) -> None:
        """Report this process as not ready from now on. It still answers requests that come."""
        self.is_leaving = True

    def check(self) -> None:
        """Check that the store takes writes.

        Raises:
            StoreUnavailable
        """
        self._store.ping()
