"""Routes /v1/verifications/ID/fallback, resend and check: the steps between create and consume."""

from typing import Any

from flask import Response, g

from waitcall.adapters.http.answers import CODE_EXAMPLE, VerificationResponse
from waitcall.adapters.http.auth import requires
from waitcall.adapters.http.blueprint import Blueprint, refuses, services
from waitcall.adapters.http.idempotency import REPLAYED, once, response_of
from waitcall.adapters.http.schemas import CheckRequest, FallbackRequest, ResendRequest
from waitcall.adapters.http.verifications import OK, PATH, answer_of, kept_answer
from waitcall.application.idempotency import Answer
from waitcall.domain.policy import Permission

_PENDING = (
    "not_found",
    "not_pending",
    "already_verified",
    "attempts_spent",
    "contested",
    "expired",
    "blocked",
)
_PAID = ("rate_limited", "phone_number_not_allowed", "provider_error", "provider_unavailable")

routes = Blueprint(
    "channels",
    __name__,
    description="Steps between create and consume: change the channel, send and check codes.",
)


@routes.route(f"{PATH}/<verification_id>/fallback", methods=["POST"])
@requires(Permission.CREATE)
@refuses(*_PENDING, *_PAID, "no_fallback")
@routes.response(
    OK,
    VerificationResponse,
    description="The verification on the new channel, with a new window; unchanged if it was on that channel already.",
    headers=REPLAYED,
    example=CODE_EXAMPLE,
)
@once(body_required=False)
@routes.arguments(FallbackRequest, required=False)
def fallback(body: dict[str, Any], verification_id: str) -> tuple[Answer, int]:
    """Move a pending verification to another channel"""
    return kept_answer(services().channels.fall_back(g.client, verification_id, body.get("channel")))


@routes.route(f"{PATH}/<verification_id>/resend", methods=["POST"])
@requires(Permission.CREATE)
@refuses(*_PENDING, *_PAID, "wrong_channel", "sends_spent")
@routes.response(
    OK,
    VerificationResponse,
    description="A code is being sent; earlier codes are still accepted.",
    headers=REPLAYED,
    example=CODE_EXAMPLE,
)
@once(body_required=False)
@routes.arguments(ResendRequest, required=False)
def resend(_: dict[str, Any], verification_id: str) -> tuple[Answer, int]:
    """Send another code, or the first code of a second step"""
    return kept_answer(services().channels.resend(g.client, verification_id))


@routes.route(f"{PATH}/<verification_id>/check", methods=["POST"])
@requires(Permission.CREATE)
@refuses(*_PENDING, "wrong_channel", "code_mismatch", "rate_limited")
@routes.response(
    OK,
    VerificationResponse,
    description="The code was right.",
    example=CODE_EXAMPLE
    | {"status": "verified", "reason": "code_matched", "verified_at": "2026-01-01T00:00:20Z"},
)
@routes.arguments(CheckRequest)
def check(body: dict[str, str], verification_id: str) -> Response:
    """Check the code that the person typed

    After too many wrong codes for one number in a day, every check is answered 429, also of the right code.
    """
    return response_of(answer_of(services().channels.check(g.client, verification_id, body["code"])))
