"""/v1/verifications: load, call, dump."""

import json
from collections.abc import Callable

from flask import Blueprint, Response, g, request

from service.adapters.http.body import read_json
from service.adapters.http.schemas import dump_verification, load_consume, load_start, load_wait
from service.application.ports import Answer, Clock, IdempotencyStore
from service.application.verifications import Verifications
from service.domain.errors import StoreUnavailable, ValidationFailed
from service.domain.verification import Verification

IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_REPLAYED = "Idempotency-Replayed"
PATH = "/v1/verifications"
_LONGEST_KEY = 255
_HOUR = 3600


def blueprint(verifications: Verifications, idempotency: IdempotencyStore, clock: Clock) -> Blueprint:
    """The resource's routes."""
    routes = Blueprint("verifications", __name__)

    def answer_of(status: int, record: Verification) -> Answer:
        g.verification = record.id[-6:]
        location = f"{PATH}/{record.id}" if status == 201 else None  # noqa: PLR2004  Created
        return Answer(status, json.dumps(dump_verification(record, clock())), location)

    def once(
        fingerprint: bytes,
        produce: Callable[[], tuple[int, Verification]],
    ) -> Response:
        """Answer, or answer again what was answered under this Idempotency-Key."""
        key = _idempotency_key()
        if key is None:
            return _response(answer_of(*produce()))
        route = f"{request.method} {request.url_rule}"
        begun = idempotency.begin(g.client, route, key, fingerprint)
        if isinstance(begun, Answer):
            return _response(begun, replayed=True)
        try:
            status, record = produce()
            answer = answer_of(status, record)
        except BaseException:
            idempotency.abandon(begun)
            raise
        try:
            idempotency.complete(begun, answer, record.window_seconds + _HOUR)
        except StoreUnavailable:
            # It has happened; to say otherwise would hide the id of a live verification.
            g.code = "answer_not_stored"
        return _response(answer)

    @routes.post(PATH)
    def create() -> Response:
        payload, canonical = read_json()

        def start() -> tuple[int, Verification]:
            started = verifications.start(g.client, load_start(payload))
            return (201 if started.created else 200), started.verification

        return once(canonical, start)

    @routes.get(f"{PATH}/<verification_id>")
    def read(verification_id: str) -> Response:
        wait_seconds = load_wait(request.args.getlist("wait"))
        return _response(answer_of(200, verifications.get(g.client, verification_id, wait_seconds)))

    @routes.post(f"{PATH}/<verification_id>/consume")
    def consume(verification_id: str) -> Response:
        payload, canonical = read_json()

        def redeem() -> tuple[int, Verification]:
            purpose, reference = load_consume(payload)
            return 200, verifications.consume(g.client, verification_id, purpose, reference)

        # One key for two verifications is another request, not a replay.
        return once(verification_id.encode("utf-8", "surrogateescape") + b"\n" + canonical, redeem)

    @routes.delete(f"{PATH}/<verification_id>")
    def cancel(verification_id: str) -> Response:
        return _response(answer_of(200, verifications.cancel(g.client, verification_id)))

    return routes


def _idempotency_key() -> str | None:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not 1 <= len(key) <= _LONGEST_KEY:
        raise ValidationFailed.of(IDEMPOTENCY_KEY, f"Must be 1 to {_LONGEST_KEY} characters.")
    return key


def _response(answer: Answer, *, replayed: bool = False) -> Response:
    response = Response(answer.body, status=answer.status, content_type="application/json")
    if answer.location:
        response.headers["Location"] = answer.location
    if replayed:
        response.headers[IDEMPOTENCY_REPLAYED] = "true"
    return response
