"""The lease of the leading worker, and the progress of reading the inbox, which only the leader may write."""

import json
from datetime import datetime
from time import time
from typing import Any

from waitcall.adapters.redis.codec import time_from
from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import FENCE, INBOX, LEASE
from waitcall.adapters.redis.script import Arg, Script, Step
from waitcall.application.ports import Term
from waitcall.application.reconcile_inbox import Progress

LEASE_SECONDS = 10
"""Length of the lease. After a leader has died, another worker can lead when this time has passed."""
_FENCE_KEPT_MS = 400 * 86_400_000
_PROGRESS_KEPT_MS = 8 * 86_400_000
"""Time for which progress is kept. It is a day longer than the provider's inbox goes back."""
_LEASE, _SWAP, _FENCED = Script("lease"), Script("swap"), Script("fenced")


class RedisLeadership:
    """Leadership by a key with a TTL. Only Redis's clock ends a term."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, holder: str) -> Term | None:
        """Run one script that takes or renews the lease, or finds that another worker leads."""
        args: list[Arg] = [
            *(holder, LEASE_SECONDS * 1000, _FENCE_KEPT_MS),
            # Seconds since 1970 are a higher number than any term has.
            int(time()),
        ]
        fence, unreadable = self._connection.run("lease", Step(_LEASE, [LEASE, FENCE], args))
        if unreadable:
            self._connection.unreadable("lease", ValueError())
        return Term(int(fence), holder) if fence else None

    def resign(self, term: Term) -> None:
        """Delete the lease, if it is still that of the term."""
        self._connection.run("lease", Step(_SWAP, [LEASE], [_held(term), "", 0]))


class RedisProgress:
    """ProgressStore over Redis. Every write is fenced: it fails once the term has ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def load(self) -> Progress:
        """Read the progress of this leader or an earlier one."""
        with self._connection.using("inbox") as client:
            document = client.get(INBOX)
        try:
            return _progress(document) if document else Progress()
        except Exception as error:  # noqa: BLE001  without readable progress the inbox is read as at the first time
            self._connection.unreadable("inbox", error)
            return Progress()

    def save(self, term: Term, progress: Progress) -> bool:
        """Write the progress, if the term has not ended."""
        document = {
            "after_id": progress.after_id,
            "asked_at": _seconds(progress.asked_at),
            "read_at": _seconds(progress.read_at),
            "busy_at": _seconds(progress.busy_at),
            "utc_offset": progress.utc_offset,
        }
        args: list[Arg] = [_held(term), json.dumps(document), _PROGRESS_KEPT_MS]
        return bool(self._connection.run("inbox", Step(_FENCED, [LEASE, INBOX], args), replicated=True))


def _progress(document: bytes) -> Progress:
    stored: dict[str, Any] = json.loads(document)
    return Progress(
        after_id=_whole(stored.get("after_id")),
        asked_at=time_from(stored.get("asked_at")),
        read_at=time_from(stored.get("read_at")),
        busy_at=time_from(stored.get("busy_at")),
        utc_offset=_whole(stored.get("utc_offset")),
    )


def _whole(stored: Any) -> int | None:
    return None if stored is None else int(stored)


def _held(term: Term) -> str:
    return f"{term.fence}:{term.holder}"


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time else None
