"""Idempotency-Key around a view: the same request is answered once, and its answer given again."""

import hashlib
import logging
from collections.abc import Callable

from service.adapters.http.exchange import Exchange, Reply
from service.application.idempotency import Answer, IdempotencyStore
from service.domain.errors import StoreUnavailable, ValidationFailed

IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_REPLAYED = "Idempotency-Replayed"
_KEY = "IDEMPOTENCY_KEY"
_LONGEST_KEY = 255

_log = logging.getLogger(__name__)


def answer_once(
    exchange: Exchange,
    store: IdempotencyStore,
    canonical: Callable[[], bytes],
    produce: Callable[[], tuple[Answer, int]],
) -> Reply:
    """Answer, or answer again what was answered under this Idempotency-Key.

    Args:
        exchange: the request.
        store: where answers are kept, by client and route.
        canonical: makes what must be equal for a request to be the same; the path belongs to it.
        produce: makes the answer, and says for how many seconds to keep it.
    """
    key = exchange.header(_KEY)
    if key is None:
        return reply_of(produce()[0])
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise ValidationFailed.of(IDEMPOTENCY_KEY, f"Must be 1 to {_LONGEST_KEY} characters.")
    route = f"{exchange.method} {exchange.route}"
    begun = store.begin(exchange.client, route, key, exchange.path + b"\n" + canonical())
    if isinstance(begun, Answer):
        replayed = reply_of(begun)
        replayed.headers.append((IDEMPOTENCY_REPLAYED, "true"))
        return replayed
    try:
        answer, keep_seconds = produce()
    except BaseException:
        store.abandon(begun)
        raise
    try:
        store.complete(begun, answer, keep_seconds)
    except StoreUnavailable:
        # It has happened; to say otherwise would hide the id of a live verification.
        _log.warning("answer not stored under its Idempotency-Key")
    return reply_of(answer)


def redeemer_of(exchange: Exchange, canonical: Callable[[], bytes]) -> str | None:
    """Who asks, and asks again after an answer that was lost: client, Idempotency-Key and body, hashed."""
    key = exchange.header(_KEY)
    if key is None:
        return None
    return hashlib.sha256(f"{exchange.client}\n{key}\n".encode() + canonical()).hexdigest()


def reply_of(answer: Answer) -> Reply:
    """An answer as it leaves."""
    headers = [("Location", answer.location)] if answer.location else []
    return Reply(answer.status, answer.body.encode(), headers=headers)
