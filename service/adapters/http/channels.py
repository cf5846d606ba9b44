"""/v1/verifications/ID/fallback, resend and check."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g

from service.adapters.http.auth import requires
from service.adapters.http.body import read_json
from service.adapters.http.once import answer_once, response_of
from service.adapters.http.schemas import load_check, load_fallback, load_resend
from service.adapters.http.verifications import HOUR, OK, PATH, Answers
from service.application.channels import Channels
from service.application.idempotency import Answer, IdempotencyStore
from service.domain.policy import Permission
from service.domain.verification import Verification


def blueprint(channels: Channels, idempotency: IdempotencyStore, answers: Answers) -> Blueprint:
    """What happens between create and consume."""
    routes = Blueprint("channels", __name__)

    def on_the_way(act: Callable[[Any], Verification]) -> Response:
        payload, canonical = read_json(optional=True)

        def run() -> tuple[Answer, int]:
            record = act(payload)
            return answers.of(OK, record), record.window_seconds + HOUR

        return answer_once(idempotency, canonical, run)

    @routes.post(f"{PATH}/<verification_id>/fallback")
    @requires(Permission.CREATE)
    def fallback(verification_id: str) -> Response:
        def move(payload: Any) -> Verification:
            return channels.fall_back(g.client, verification_id, load_fallback(payload))

        return on_the_way(move)

    @routes.post(f"{PATH}/<verification_id>/resend")
    @requires(Permission.CREATE)
    def resend(verification_id: str) -> Response:
        def again(payload: Any) -> Verification:
            load_resend(payload)
            return channels.resend(g.client, verification_id)

        return on_the_way(again)

    @routes.post(f"{PATH}/<verification_id>/check")
    @requires(Permission.CREATE)
    def check(verification_id: str) -> Response:
        payload, _ = read_json()
        record = channels.check(g.client, verification_id, load_check(payload))
        return response_of(answers.of(OK, record))

    return routes
