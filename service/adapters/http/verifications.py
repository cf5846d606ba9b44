"""/v1/verifications: load, call, dump."""

import json
from collections.abc import Callable

from flask import Blueprint, Response, g, request

from service.adapters.http.answers import dump_verification
from service.adapters.http.auth import requires
from service.adapters.http.body import read_json
from service.adapters.http.once import answer_once, redeemer_of, response_of
from service.adapters.http.ratelimit import tell_limits
from service.adapters.http.schemas import (
    load_consume,
    load_seen,
    load_start,
    load_wait,
)
from service.application.idempotency import Answer, IdempotencyStore
from service.application.ports import Clock
from service.application.verifications import Verifications
from service.domain.policy import Permission
from service.domain.verification import Verification

PATH = "/v1/verifications"
CREATED, OK = 201, 200
HOUR = 3600
"""Answers are kept for the window and so much longer."""


class Answers:
    """Record → answer."""

    def __init__(self, page_url: Callable[[Verification], str | None], clock: Clock) -> None:
        """``page_url``: of a verification that has a hosted page."""
        self._page_url = page_url
        self._clock = clock

    def of(self, status: int, record: Verification) -> Answer:
        """The object, to be given now and, where a key says so, again."""
        g.verification = record.id[-6:]
        location = f"{PATH}/{record.id}" if status == CREATED else None
        dumped = dump_verification(record, self._clock(), self._page_url(record))
        return Answer(status, json.dumps(dumped), location)


def blueprint(verifications: Verifications, idempotency: IdempotencyStore, answers: Answers) -> Blueprint:
    """The resource's routes."""
    routes = Blueprint("verifications", __name__)

    @routes.post(PATH)
    @requires(Permission.CREATE)
    def create() -> Response:
        payload, canonical = read_json()

        def start() -> tuple[Answer, int]:
            started = verifications.start(g.client, load_start(payload))
            g.limits = started.limits
            status = CREATED if started.created else OK
            answer = answers.of(status, started.verification)
            return answer, started.verification.window_seconds + HOUR

        response = answer_once(idempotency, canonical, start)
        # What an answer that is given again once cost is over.
        tell_limits(response, g.get("limits", ()))
        return response

    @routes.get(f"{PATH}/<verification_id>")
    @requires(Permission.READ)
    def read(verification_id: str) -> Response:
        wait_seconds = load_wait(request.args.getlist("wait"))
        seen = load_seen(request.args.getlist("channel"))
        return response_of(answers.of(OK, verifications.get(g.client, verification_id, wait_seconds, seen)))

    @routes.post(f"{PATH}/<verification_id>/consume")
    @requires(Permission.CONSUME)
    def consume(verification_id: str) -> Response:
        payload, canonical = read_json()

        def redeem() -> tuple[Answer, int]:
            purpose, reference, result = load_consume(payload)
            redeemer = redeemer_of(g.client, canonical)
            consumed = verifications.consume(g.client, verification_id, purpose, reference, redeemer, result)
            return answers.of(OK, consumed), consumed.window_seconds + HOUR

        return answer_once(idempotency, canonical, redeem)

    @routes.delete(f"{PATH}/<verification_id>")
    @requires(Permission.CREATE)
    def cancel(verification_id: str) -> Response:
        return response_of(answers.of(OK, verifications.cancel(g.client, verification_id)))

    return routes
