"""/v1/verifications/ID/fallback, resend and check."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint

from service.adapters.http.auth import requires
from service.adapters.http.body import read_json
from service.adapters.http.exchange import Exchange, Reply
from service.adapters.http.once import answer_once, reply_of
from service.adapters.http.schemas import load_check, load_fallback, load_resend
from service.adapters.http.verifications import HOUR, OK, PATH, Answers
from service.application.channels import Channels
from service.application.idempotency import Answer, IdempotencyStore
from service.domain.policy import Permission
from service.domain.verification import Verification


def blueprint(channels: Channels, idempotency: IdempotencyStore, answers: Answers) -> Blueprint:
    """What happens between create and consume."""
    routes = Blueprint("channels", __name__)

    def on_the_way(exchange: Exchange, act: Callable[[Any], Verification]) -> Reply:
        payload, canonical = read_json(exchange, optional=True)

        def run() -> tuple[Answer, int]:
            record = act(payload)
            return answers.of(exchange, OK, record), record.window_seconds + HOUR

        return answer_once(exchange, idempotency, canonical, run)

    @routes.post(f"{PATH}/<verification_id>/fallback")
    @requires(Permission.CREATE)
    def fallback(exchange: Exchange, verification_id: str) -> Reply:
        def move(payload: Any) -> Verification:
            return channels.fall_back(exchange.client, verification_id, load_fallback(payload))

        return on_the_way(exchange, move)

    @routes.post(f"{PATH}/<verification_id>/resend")
    @requires(Permission.CREATE)
    def resend(exchange: Exchange, verification_id: str) -> Reply:
        def again(payload: Any) -> Verification:
            load_resend(payload)
            return channels.resend(exchange.client, verification_id)

        return on_the_way(exchange, again)

    @routes.post(f"{PATH}/<verification_id>/check")
    @requires(Permission.CREATE)
    def check(exchange: Exchange, verification_id: str) -> Reply:
        payload, _ = read_json(exchange)
        record = channels.check(exchange.client, verification_id, load_check(payload))
        return reply_of(answers.of(exchange, OK, record))

    return routes
