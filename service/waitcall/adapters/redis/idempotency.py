"""Answers stored under an Idempotency-Key. Only keyed hashes of the key and the request are stored."""

import logging
import secrets

import orjson

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.script import Arg, Script, Step
from waitcall.application.ports import Answer, Begun
from waitcall.domain.errors import IdempotencyInFlight, IdempotencyKeyReused, StoreUnavailable

LEASE_SECONDS = 30
"""Time after which a key is free again if the process that was answering its request has died."""

_Known = tuple[str, Answer | None]
"""Fingerprint of the first request, and its answer; None while it is still being answered."""

_SWAP = Script("swap")
_log = logging.getLogger(__name__)


class RedisIdempotencyStore:
    """IdempotencyStore over Redis."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def begin(self, client: str, route: str, key: str, request: bytes) -> Begun | Answer:
        """Claim the key, or return its answer. Answers under the other peppers are found too."""
        for other in self._keys.others:
            with self._connection.using("begin_answer") as redis:
                found = redis.get(other.answer(client, route, key))
            if found is not None and (known := self._read(found)) is not None:
                return _answer(known, other.long_hash_of(request))
        name = self._keys.answer(client, route, key)
        fingerprint = self._keys.long_hash_of(request)
        mine = orjson.dumps({"request": fingerprint, "token": secrets.token_hex(8)})
        with self._connection.using("begin_answer") as redis:
            # Claim and read with one command, so that a retry after a lost answer finds its own value.
            found = redis.set(name, mine, nx=True, get=True, px=LEASE_SECONDS * 1000)
            if found is None or found == mine:
                return Begun(name, mine, fingerprint)
            known = self._read(found)
            if known is None:
                # The stored value is unreadable, so do the request again. That is safe: the record refuses doing twice
                # what must happen once.
                if not _SWAP.run(redis, [name], [found, mine, LEASE_SECONDS * 1000]):
                    raise IdempotencyInFlight(retry_after=1)
                return Begun(name, mine, fingerprint)
        return _answer(known, fingerprint)

    def complete(self, begun: Begun, answer: Answer, keep_seconds: int) -> None:
        """Replace the lease with the answer."""
        stored = {
            "request": begun.fingerprint,
            "status": answer.status,
            "body": answer.body,
            "location": answer.location,
        }
        args: list[Arg] = [begun.version, orjson.dumps(stored), keep_seconds * 1000]
        self._connection.run("complete_answer", Step(_SWAP, [begun.key], args))

    def abandon(self, begun: Begun) -> None:
        """Delete the lease. If that fails, the lease ends by itself."""
        try:
            self._connection.run("abandon_answer", Step(_SWAP, [begun.key], [begun.version, "", 0]))
        except StoreUnavailable:
            _log.warning("idempotency key not released")

    def _read(self, found: bytes) -> _Known | None:
        try:
            stored = orjson.loads(found)
            answer = (
                None if "token" in stored else Answer(stored["status"], stored["body"], stored["location"])
            )
            if answer is not None and (type(answer.status), type(answer.body)) != (int, str):
                raise TypeError  # noqa: TRY301  handled like any other unreadable value
            return str(stored["request"]), answer
        except Exception as error:  # noqa: BLE001  an unreadable value must not block its key for hours
            self._connection.unreadable("answers", error)
            return None


def _answer(known: _Known, fingerprint: str) -> Answer:
    request, answer = known
    if request != fingerprint:
        raise IdempotencyKeyReused
    if answer is None:
        raise IdempotencyInFlight(retry_after=1)
    return answer
