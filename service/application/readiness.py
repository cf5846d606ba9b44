"""Whether this replica should be given work."""

from service.application.ports import StoreProbe


class Readiness:
    """Asks the store. Not the provider: its outage must not empty the Service."""

    def __init__(self, store: StoreProbe) -> None:
        self._store = store
        self.is_leaving = False
        """Set by ``leave``."""

    def leave(self) -> None:
        """From now on this process is not to be given work, though it does what still comes."""
        self.is_leaving = True

    def check(self) -> None:
        """Raises StoreUnavailable when the store cannot be reached."""
        self._store.ping()
