"""The operations of ``/v1/verifications`` as OpenAPI tells them."""

from typing import Any

from service.adapters.http.once import IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED
from service.adapters.http.problems import CONTENT_TYPE, STATUS_OF
from service.adapters.http.ratelimit import HEADER, POLICY_HEADER
from service.adapters.http.schemas import MAX_WAIT_SECONDS
from service.domain.channel import Channel

_ALWAYS = ("unauthenticated", "scope_not_allowed", "store_unavailable", "internal_error", "invalid_request")
WITH_BODY = ("body_too_large", "unsupported_media_type", "validation_failed")
_WITH_KEY = ("idempotency_in_flight", "idempotency_key_reused")


def create() -> dict[str, Any]:
    """Create."""
    codes = (
        "purpose_not_allowed",
        "blocked",
        "verification_in_progress",
        "invalid_phone_number",
        "phone_number_not_allowed",
        "rate_limited",
        "captcha_required",
        "captcha_rejected",
        "provider_error",
        "provider_unavailable",
    )
    verification = _verification("The number to dial, and the record that waits for the call.")
    verification["headers"] = (
        _replayed()
        | _limits()
        | {
            "Location": {"description": "Path of the record.", "schema": {"type": "string"}},
        }
    )
    live = _verification(
        "The live verification of the same client, purpose and reference: nothing was matched, nobody contests it. "
        "No new order was placed."
    )
    live["headers"] = _replayed()
    return {
        "operationId": "create",
        "summary": "Start a verification",
        "description": "A number has one live verification. Another requester gets 409 verification_in_progress: cancel the "
        "attempt that your own session still holds, or wait for retry_after seconds and start again.",
        "security": [{"key": []}],
        "parameters": [_key_parameter()],
        "requestBody": body("Create"),
        "responses": {"201": verification, "200": live} | problems(codes, WITH_BODY, _WITH_KEY),
    }


def read() -> dict[str, Any]:
    """Read, or wait."""
    wait = {
        "name": "wait",
        "in": "query",
        "description": "Seconds to hold the answer while the status is pending.",
        "schema": {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
    }
    channel = {
        "name": "channel",
        "in": "query",
        "description": "The channel that you show: answered at once where the verification stands on another.",
        "schema": {"type": "string", "enum": [each.value for each in Channel]},
    }
    return {
        "operationId": "read",
        "summary": "Read a verification, or wait until it changes",
        "security": [{"key": []}],
        "parameters": [_id_parameter(), wait, channel],
        "responses": {"200": _verification("As it stands now.")}
        | problems(("not_found", "validation_failed", "rate_limited")),
    }


def consume() -> dict[str, Any]:
    """Consume."""
    codes = (
        "not_found",
        "purpose_mismatch",
        "reference_mismatch",
        "result_mismatch",
        "blocked",
        "not_verified",
        "already_consumed",
        "contested",
        "expired",
        "rate_limited",
    )
    consumed = _verification("Redeemed, for the first and only time.")
    consumed["headers"] = _replayed()
    return {
        "operationId": "consume",
        "summary": "Redeem the proof, exactly once",
        "security": [{"key": []}],
        "parameters": [_id_parameter(), _key_parameter()],
        "requestBody": body("Consume"),
        "responses": {"200": consumed} | problems(codes, WITH_BODY, _WITH_KEY),
    }


_PENDING = ("not_found", "not_pending", "already_verified", "attempts_spent", "contested", "expired")
_PAID = ("blocked", "rate_limited", "phone_number_not_allowed", "provider_error", "provider_unavailable")


def fallback() -> dict[str, Any]:
    """Fallback."""
    return _on_the_way(
        "fallback",
        "Move a pending verification to another channel",
        "Fallback",
        "On the new channel, with a window of its own; on the same one where it was there already.",
        (*_PENDING, *_PAID, "no_fallback"),
    )


def resend() -> dict[str, Any]:
    """Resend."""
    return _on_the_way(
        "resend",
        "Send a code: the first of a second step, or another",
        "Resend",
        "Another code is on its way; earlier ones still count.",
        (*_PENDING, *_PAID, "wrong_channel", "sends_spent"),
    )


def check() -> dict[str, Any]:
    """Check."""
    return {
        "operationId": "check",
        "summary": "Compare the code that the person typed; too many wrong ones for a number and day are 429, the right one's too",
        "security": [{"key": []}],
        "parameters": [_id_parameter()],
        "requestBody": body("Check"),
        "responses": {"200": _verification("The code was right.")}
        | problems((*_PENDING, "blocked", "wrong_channel", "code_mismatch", "rate_limited"), WITH_BODY),
    }


def _on_the_way(
    operation: str, summary: str, schema: str, description: str, codes: tuple[str, ...]
) -> dict[str, Any]:
    answer = _verification(description)
    answer["headers"] = _replayed()
    return {
        "operationId": operation,
        "summary": summary,
        "security": [{"key": []}],
        "parameters": [_id_parameter(), _key_parameter()],
        "requestBody": body(schema) | {"required": False},
        "responses": {"200": answer} | problems(codes, WITH_BODY, _WITH_KEY),
    }


def cancel() -> dict[str, Any]:
    """Cancel."""
    return {
        "operationId": "cancel",
        "summary": "Stop waiting",
        "security": [{"key": []}],
        "parameters": [_id_parameter()],
        "responses": {"200": _verification("Canceled, or finished before.")}
        | problems(("not_found", "already_verified")),
    }


def _verification(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Verification"}}},
    }


def problems(*groups: tuple[str, ...]) -> dict[str, Any]:
    """The answers that are no success, by status."""
    by_status: dict[int, list[str]] = {}
    for code in (*(code for group in groups for code in group), *_ALWAYS):
        by_status.setdefault(STATUS_OF[code], []).append(code)
    answers: dict[str, Any] = {
        str(status): {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, codes in sorted(by_status.items())
    }
    if "429" in answers:
        answers["429"]["headers"] = _limits()
    return answers


def body(schema: str) -> dict[str, Any]:
    """A JSON body of one schema."""
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"required": True, "content": {"application/json": {"schema": reference}}}


def _id_parameter() -> dict[str, Any]:
    return {"name": "verification_id", "in": "path", "required": True, "schema": {"type": "string"}}


def _key_parameter() -> dict[str, Any]:
    return {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": "The same key and body get the same answer again, without a second order.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }


def _replayed() -> dict[str, Any]:
    return {
        IDEMPOTENCY_REPLAYED: {
            "description": "`true` on an answer that was stored.",
            "schema": {"type": "string", "enum": ["true"]},
        },
    }


def _limits() -> dict[str, Any]:
    return {
        POLICY_HEADER: {
            "description": "Each limit that was asked: quota `q`, window `w` in seconds.",
            "schema": {"type": "string"},
        },
        HEADER: {
            "description": "What is left of each: `r`, until the next is free in `t` seconds.",
            "schema": {"type": "string"},
        },
    }
