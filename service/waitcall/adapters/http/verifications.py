"""Routes /v1/verifications: create, read, consume and cancel, and the steps between create and consume."""

from typing import Any

import orjson
from flask import Response, after_this_request, g

from waitcall.adapters.http.answers import (
    CODE_EXAMPLE,
    EXAMPLE,
    LIMIT_HEADERS,
    VerificationResponse,
    dump_verification,
    limit_headers,
)
from waitcall.adapters.http.auth import requires
from waitcall.adapters.http.blueprint import Blueprint, refuses, services
from waitcall.adapters.http.idempotency import REPLAYED, once, redeemer, response_of
from waitcall.adapters.http.schemas import (
    CheckRequest,
    ConsumeRequest,
    CreateRequest,
    FallbackRequest,
    PollQuery,
    ResendRequest,
)
from waitcall.application.consume import Proof
from waitcall.application.create import CreateCommand
from waitcall.application.ports import Answer
from waitcall.domain.policy import Permission
from waitcall.domain.verification import Verification

PATH = "/v1/verifications"
CREATED, OK = 201, 200
KEEP_SECONDS = 3600
"""Seconds that an answer is kept for repeated requests after the window ends."""

_LOCATION = {"Location": {"description": "Path of the record.", "schema": {"type": "string"}}}
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
    "verifications", __name__, description="Verify a phone number: create, wait for the proof, consume it."
)

step_routes = Blueprint(
    "channels",
    __name__,
    description="Steps between create and consume: change the channel, send and check codes.",
)


def answer_of(record: Verification, status: int = OK) -> Answer:
    """Return the answer that shows a verification."""
    g.verification = record.id[-6:]
    location = f"{PATH}/{record.id}" if status == CREATED else None
    dumped = dump_verification(record, services().clock(), services().page_url(record))
    return Answer(status, orjson.dumps(dumped).decode(), location)


@routes.route(PATH, methods=["POST"])
@requires(Permission.CREATE)
@refuses("purpose_not_allowed", "blocked", "verification_in_progress", "invalid_phone_number")
@refuses("phone_number_not_allowed", "rate_limited", "captcha_required", "captcha_rejected")
@refuses("provider_error", "provider_unavailable")
@routes.response(
    CREATED,
    VerificationResponse,
    description="The new verification with the number to dial.",
    headers=REPLAYED | LIMIT_HEADERS | _LOCATION,
    example=EXAMPLE,
)
@routes.alt_response(
    OK,
    schema=VerificationResponse,
    description="The pending verification of the same client, purpose and reference: it is not contested, and no call was "
    "matched. No new order was placed.",
    headers=REPLAYED,
    example=EXAMPLE,
)
@once()
@routes.arguments(
    CreateRequest,
    example={"phone_number": "+79990123456", "purpose": "login", "reference": "pX3cZ0yqT4m8u1VgKf2bQA"},
)
def create(command: CreateCommand) -> tuple[Answer, int]:
    """Start a verification

    A number has at most one live verification. Another requester gets 409 verification_in_progress: cancel the attempt
    that your own session still holds, or wait for retry_after seconds and start again.
    """
    created = services().create.create(g.client, command)

    # Only the first answer has these headers. A repeated one was not counted against the limits.
    @after_this_request
    def tell_limits(response: Response) -> Response:
        response.headers.update(limit_headers(created.limits))
        return response

    record = created.verification
    return answer_of(record, CREATED if created.created else OK), record.window_seconds + KEEP_SECONDS


@routes.route(f"{PATH}/<verification_id>", methods=["GET"])
@requires(Permission.READ)
@refuses("not_found", "rate_limited")
@routes.response(
    OK, VerificationResponse, description="The verification in its current state.", example=EXAMPLE
)
@routes.arguments(PollQuery, location="query")
def read(query: dict[str, Any], verification_id: str) -> Response:
    """Read a verification, or wait until it changes"""
    record = services().read.read(g.client, verification_id, query["wait"], query.get("channel"))
    return response_of(answer_of(record))


@routes.route(f"{PATH}/<verification_id>/consume", methods=["POST"])
@requires(Permission.CONSUME)
@refuses("not_found", "purpose_mismatch", "reference_mismatch", "result_mismatch", "blocked", "not_verified")
@refuses("already_consumed", "contested", "expired", "rate_limited")
@routes.response(
    OK,
    VerificationResponse,
    description="The verification, consumed by this request.",
    headers=REPLAYED,
    example=EXAMPLE
    | {
        "status": "consumed",
        "reason": "call_matched",
        "expires_in": 838,
        "verified_at": "2026-01-01T00:01:01Z",
        "consumed_at": "2026-01-01T00:01:02Z",
    },
)
@once()
@routes.arguments(ConsumeRequest, example={"purpose": "login", "reference": "pX3cZ0yqT4m8u1VgKf2bQA"})
def consume(proof: dict[str, str], verification_id: str) -> tuple[Answer, int]:
    """Consume the proof, exactly once"""
    given = Proof(proof["purpose"], proof.get("reference"), redeemer(), proof.get("result"))
    record = services().consume.consume(g.client, verification_id, given)
    return answer_of(record), record.window_seconds + KEEP_SECONDS


@routes.route(f"{PATH}/<verification_id>", methods=["DELETE"])
@requires(Permission.CREATE)
@refuses("not_found", "already_verified")
@routes.response(
    OK,
    VerificationResponse,
    description="The verification, canceled now or finished before.",
    example=EXAMPLE | {"status": "canceled", "reason": "by_client"},
)
def cancel(verification_id: str) -> Response:
    """Cancel a verification"""
    return response_of(answer_of(services().cancel.cancel(g.client, verification_id)))


@step_routes.route(f"{PATH}/<verification_id>/fallback", methods=["POST"])
@requires(Permission.CREATE)
@refuses(*_PENDING, *_PAID, "no_fallback")
@step_routes.response(
    OK,
    VerificationResponse,
    description="The verification on the new channel, with a new window; unchanged if it was on that channel already.",
    headers=REPLAYED,
    example=CODE_EXAMPLE,
)
@once(body_required=False)
@step_routes.arguments(FallbackRequest, required=False, example={})
def fallback(body: dict[str, Any], verification_id: str) -> tuple[Answer, int]:
    """Move a pending verification to another channel"""
    record = services().channels.fall_back(g.client, verification_id, body.get("channel"))
    return answer_of(record), record.window_seconds + KEEP_SECONDS


@step_routes.route(f"{PATH}/<verification_id>/resend", methods=["POST"])
@requires(Permission.CREATE)
@refuses(*_PENDING, *_PAID, "wrong_channel", "sends_spent")
@step_routes.response(
    OK,
    VerificationResponse,
    description="A code is being sent; earlier codes are still accepted.",
    headers=REPLAYED,
    example=CODE_EXAMPLE,
)
@once(body_required=False)
@step_routes.arguments(ResendRequest, required=False, example={})
def resend(_: dict[str, Any], verification_id: str) -> tuple[Answer, int]:
    """Send another code, or the first code of a second step"""
    record = services().channels.resend(g.client, verification_id)
    return answer_of(record), record.window_seconds + KEEP_SECONDS


@step_routes.route(f"{PATH}/<verification_id>/check", methods=["POST"])
@requires(Permission.CREATE)
@refuses(*_PENDING, "wrong_channel", "code_mismatch", "rate_limited")
@step_routes.response(
    OK,
    VerificationResponse,
    description="The code was right.",
    example=CODE_EXAMPLE
    | {"status": "verified", "reason": "code_matched", "verified_at": "2026-01-01T00:00:20Z"},
)
@step_routes.arguments(CheckRequest, example={"code": "012345"})
def check(body: dict[str, str], verification_id: str) -> Response:
    """Check the code that the person typed

    After too many wrong codes for one number in a day, every check is answered 429, also of the right code.
    """
    return response_of(answer_of(services().channels.check(g.client, verification_id, body["code"])))
