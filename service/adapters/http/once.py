"""Idempotency-Key around a view: the same request is answered once, and its answer given again."""

import hashlib
import logging
from collections.abc import Callable

from flask import Response, g, request

from service.adapters.http.body import JSON
from service.application.idempotency import Answer, IdempotencyStore
from service.domain.errors import StoreUnavailable, ValidationFailed

IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_REPLAYED = "Idempotency-Replayed"
_LONGEST_KEY = 255

_log = logging.getLogger(__name__)


def answer_once(
    store: IdempotencyStore,
    canonical: Callable[[], bytes],
    produce: Callable[[], tuple[Answer, int]],
) -> Response:
    """Answer, or answer again what was answered under this Idempotency-Key.

    Args:
        store: where answers are kept, by client and route.
        canonical: makes what must be equal for a request to be the same; the path belongs to it.
        produce: makes the answer, and says for how many seconds to keep it.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return response_of(produce()[0])
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise ValidationFailed.of(IDEMPOTENCY_KEY, f"Must be 1 to {_LONGEST_KEY} characters.")
    route = f"{request.method} {request.url_rule}"
    begun = store.begin(g.client, route, key, request.path.encode() + b"\n" + canonical())
    if isinstance(begun, Answer):
        replayed = response_of(begun)
        replayed.headers[IDEMPOTENCY_REPLAYED] = "true"
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
    return response_of(answer)


def redeemer_of(canonical: Callable[[], bytes]) -> str | None:
    """Identify who asks, and asks again after an answer that was lost: client, Idempotency-Key and body, hashed."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    return hashlib.sha256(f"{g.client}\n{key}\n".encode() + canonical()).hexdigest()


def response_of(answer: Answer) -> Response:
    """Make the HTTP response that carries the answer."""
    response = Response(answer.body, answer.status, content_type=JSON)
    if answer.location:
        response.headers["Location"] = answer.location
    return response
