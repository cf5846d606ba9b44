"""/v1/verifications: load, call, dump."""

from collections.abc import Callable

import orjson
from flask import Blueprint, Response, g, request

from service.adapters.http.answers import dump_verification
from service.adapters.http.auth import requires
from service.adapters.http.body import read_json
from service.adapters.http.once import answer_once, redeemer_of, response_of
from service.adapters.http.ratelimit import limit_headers
from service.adapters.http.schemas import (
    load_consume,
    load_seen,
    load_start,
    load_wait,
)
from service.application.idempotency import Answer, IdempotencyStore
from service.application.ports import Clock
from service.application.verifications import Verifications
from service.domain.limits import LimitState
from service.domain.policy import Permission
from service.domain.verification import Verification

PATH = "/v1/verifications"
CREATED, OK = 201, 200
HOUR = 3600
"""Answers are kept for the window and so much longer."""


class Answers:
    """Makes the answer that shows a verification."""

    def __init__(self, page_url: Callable[[Verification], str | None], clock: Clock) -> None:
        """``page_url``: gives the URL of a verification that has a hosted page."""
        self._page_url = page_url
        self._clock = clock

    def of(self, status: int, record: Verification) -> Answer:
        """Dump the object, to be given now and, where an Idempotency-Key says so, again."""
        g.verification = record.id[-6:]
        location = f"{PATH}/{record.id}" if status == CREATED else None
        dumped = dump_verification(record, self._clock(), self._page_url(record))
        return Answer(status, orjson.dumps(dumped).decode(), location)


def blueprint(verifications: Verifications, idempotency: IdempotencyStore, answers: Answers) -> Blueprint:
    """The resource's routes."""
    routes = Blueprint("verifications", __name__)

    @routes.post(PATH)
    @requires(Permission.CREATE)
    def create() -> Response:
        payload, canonical = read_json()
        # An answer that is given again says nothing of limits: what it cost is over.
        limits: list[LimitState] = []

        def start() -> tuple[Answer, int]:
            started = verifications.start(g.client, load_start(payload))
            limits.extend(started.limits)
            status = CREATED if started.created else OK
            answer = answers.of(status, started.verification)
            return answer, started.verification.window_seconds + HOUR

        response = answer_once(idempotency, canonical, start)
        response.headers.update(limit_headers(limits))
        return response

    @routes.get(f"{PATH}/<verification_id>")
    @requires(Permission.READ)
    def read(verification_id: str) -> Response:
        wait_seconds, seen = (
            load_wait(request.args.getlist("wait")),
            load_seen(request.args.getlist("channel")),
        )
        record = verifications.get(g.client, verification_id, wait_seconds, seen)
        return response_of(answers.of(OK, record))

    @routes.post(f"{PATH}/<verification_id>/consume")
    @requires(Permission.CONSUME)
    def consume(verification_id: str) -> Response:
        payload, canonical = read_json()

        def redeem() -> tuple[Answer, int]:
            purpose, reference, result = load_consume(payload)
            redeemer = redeemer_of(canonical)
            consumed = verifications.consume(g.client, verification_id, purpose, reference, redeemer, result)
            return answers.of(OK, consumed), consumed.window_seconds + HOUR

        return answer_once(idempotency, canonical, redeem)

    @routes.delete(f"{PATH}/<verification_id>")
    @requires(Permission.CREATE)
    def cancel(verification_id: str) -> Response:
        canceled = verifications.cancel(g.client, verification_id)
        return response_of(answers.of(OK, canceled))

    return routes
