"""/v1/verifications: load, call, dump."""

from collections.abc import Callable

import orjson
from flask import Blueprint

from service.adapters.http.answers import dump_verification
from service.adapters.http.auth import requires
from service.adapters.http.body import read_json
from service.adapters.http.exchange import Exchange, Reply
from service.adapters.http.once import answer_once, redeemer_of, reply_of
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

    def of(self, exchange: Exchange, status: int, record: Verification) -> Answer:
        """The object, to be given now and, where a key says so, again."""
        exchange.verification = record.id[-6:]
        location = f"{PATH}/{record.id}" if status == CREATED else None
        dumped = dump_verification(record, self._clock(), self._page_url(record))
        return Answer(status, orjson.dumps(dumped).decode(), location)


def blueprint(verifications: Verifications, idempotency: IdempotencyStore, answers: Answers) -> Blueprint:
    """The resource's routes."""
    routes = Blueprint("verifications", __name__)

    @routes.post(PATH)
    @requires(Permission.CREATE)
    def create(exchange: Exchange) -> Reply:
        payload, canonical = read_json(exchange)

        def start() -> tuple[Answer, int]:
            started = verifications.start(exchange.client, load_start(payload))
            exchange.limits = started.limits
            status = CREATED if started.created else OK
            answer = answers.of(exchange, status, started.verification)
            return answer, started.verification.window_seconds + HOUR

        reply = answer_once(exchange, idempotency, canonical, start)
        # What an answer that is given again once cost is over.
        reply.headers += limit_headers(exchange.limits)
        return reply

    @routes.get(f"{PATH}/<verification_id>")
    @requires(Permission.READ)
    def read(exchange: Exchange, verification_id: str) -> Reply:
        wait_seconds, seen = load_wait(exchange.asked("wait")), load_seen(exchange.asked("channel"))
        record = verifications.get(exchange.client, verification_id, wait_seconds, seen)
        return reply_of(answers.of(exchange, OK, record))

    @routes.post(f"{PATH}/<verification_id>/consume")
    @requires(Permission.CONSUME)
    def consume(exchange: Exchange, verification_id: str) -> Reply:
        payload, canonical = read_json(exchange)

        def redeem() -> tuple[Answer, int]:
            purpose, reference, result = load_consume(payload)
            redeemer = redeemer_of(exchange, canonical)
            consumed = verifications.consume(
                exchange.client, verification_id, purpose, reference, redeemer, result
            )
            return answers.of(exchange, OK, consumed), consumed.window_seconds + HOUR

        return answer_once(exchange, idempotency, canonical, redeem)

    @routes.delete(f"{PATH}/<verification_id>")
    @requires(Permission.CREATE)
    def cancel(exchange: Exchange, verification_id: str) -> Reply:
        canceled = verifications.cancel(exchange.client, verification_id)
        return reply_of(answers.of(exchange, OK, canceled))

    return routes
