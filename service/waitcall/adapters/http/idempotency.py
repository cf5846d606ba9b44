"""Idempotency-Key: a repeated request with the same key gets the stored answer of the first one."""

import hashlib
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, g, request

from waitcall.adapters.http.blueprint import Blueprint, refuses, services
from waitcall.adapters.http.body import JSON, read_json
from waitcall.application.ports import Answer, Begun
from waitcall.domain.errors import StoreUnavailable, ValidationFailed

IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_REPLAYED = "Idempotency-Replayed"
_LONGEST_KEY = 255
_PARAMETER = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "description": "A repeated request with the same key and body gets the same answer, without a second order.",
    "schema": {"type": "string", "minLength": 1, "maxLength": _LONGEST_KEY},
}
REPLAYED = {
    IDEMPOTENCY_REPLAYED: {
        "description": "`true` if this is the stored answer of an earlier request.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
"""OpenAPI description of the header."""

_log = logging.getLogger(__name__)


def once(
    *, body_required: bool = True
) -> Callable[[Callable[..., tuple[Answer, int]]], Callable[..., Response]]:
    """Make a view idempotent: a repeated request with the same Idempotency-Key gets the stored answer.

    Put this decorator above the one for the view's arguments, so that a key that was used with another body is refused
    before the body is validated. The view returns its answer, and the seconds to keep it.
    """

    def decorate(view: Callable[..., tuple[Answer, int]]) -> Callable[..., Response]:
        @wraps(view)
        def answered(*args: Any, **kwargs: Any) -> Response:
            _, canonical = read_json(optional=not body_required)
            key = request.headers.get(IDEMPOTENCY_KEY)
            if key is None:
                return response_of(view(*args, **kwargs)[0])
            begun = _begin(key, canonical)
            if isinstance(begun, Answer):
                replayed = response_of(begun)
                replayed.headers[IDEMPOTENCY_REPLAYED] = "true"
                return replayed
            try:
                answer, keep_seconds = view(*args, **kwargs)
            except BaseException:
                services().idempotency.abandon(begun)
                raise
            try:
                services().idempotency.complete(begun, answer, keep_seconds)
            except StoreUnavailable:
                # The request has taken effect. An error now would hide the id of a live verification from the client.
                _log.warning("answer not stored under its Idempotency-Key")
            return response_of(answer)

        described: Callable[..., Response] = Blueprint.doc(parameters=[_PARAMETER])(answered)
        return refuses("idempotency_in_flight", "idempotency_key_reused")(described)

    return decorate


def _begin(key: str, canonical: Callable[[], bytes]) -> Begun | Answer:
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise ValidationFailed.of(IDEMPOTENCY_KEY, f"Must be 1 to {_LONGEST_KEY} characters.")
    route = f"{request.method} {request.url_rule}"
    # The path is part of what must be equal, because it names the verification.
    return services().idempotency.begin(g.client, route, key, request.path.encode() + b"\n" + canonical())


def redeemer() -> str | None:
    """Return a hash of client, Idempotency-Key and body, equal for a repeated request; None without a key."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    _, canonical = read_json()
    return hashlib.sha256(f"{g.client}\n{key}\n".encode() + canonical()).hexdigest()


def response_of(answer: Answer) -> Response:
    """Make the HTTP response that carries the answer."""
    response = Response(answer.body + "\n", answer.status, content_type=JSON)
    if answer.location:
        response.headers["Location"] = answer.location
    return response
