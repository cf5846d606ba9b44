"""Problem details (RFC 9457): the table from codes to statuses, and the error handler that renders them."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from waitcall.adapters.http.answers import ProblemResponse
from waitcall.adapters.http.low_priority_queue import LowPriorityQueue
from waitcall.adapters.http.ratelimit import LIMIT_HEADERS, limit_headers
from waitcall.application.observer import Observer
from waitcall.application.request_context import request_id
from waitcall.domain.errors import CaptchaRequired, RateLimited, ServiceError

CONTENT_TYPE = "application/problem+json"

STATUS_OF = {
    "invalid_request": 400,
    "unauthenticated": 401,
    "bad_signature": 403,
    "scope_not_allowed": 403,
    "blocked": 403,
    "purpose_not_allowed": 403,
    "purpose_mismatch": 403,
    "reference_mismatch": 403,
    "result_mismatch": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "verification_in_progress": 409,
    "not_verified": 409,
    "already_consumed": 409,
    "contested": 409,
    "already_verified": 409,
    "not_pending": 409,
    "wrong_channel": 409,
    "no_fallback": 409,
    "attempts_spent": 409,
    "sends_spent": 409,
    "captcha_required": 403,
    "captcha_rejected": 422,
    "code_mismatch": 422,
    "idempotency_in_flight": 409,
    "expired": 410,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "validation_failed": 422,
    "invalid_phone_number": 422,
    "phone_number_not_allowed": 422,
    "idempotency_key_reused": 422,
    "rate_limited": 429,
    "internal_error": 500,
    "provider_error": 502,
    "provider_unavailable": 503,
    "store_unavailable": 503,
}
"""HTTP status of each problem code: the codes of the contract's section 6, ``bad_signature`` (docs/adr/0012),
``blocked`` and ``scope_not_allowed`` (docs/adr/0013), the codes of the channels (docs/adr/0024), and ``result_mismatch``
(docs/adr/0026)."""

_CODE_OF_HTTP = {
    401: "unauthenticated",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
DETAIL_OF_HTTP = {
    "invalid_request": "The request cannot be read.",
    "unauthenticated": "Send a valid key: Authorization: Bearer KEY.",
    "not_found": "There is no such resource.",
    "method_not_allowed": "The resource does not support this method.",
    "body_too_large": "The body is too large.",
    "unsupported_media_type": "Send application/json.",
    "internal_error": "An unexpected error occurred. The service's log has it under the request id.",
}

_log = logging.getLogger(__name__)


def document(  # noqa: PLR0913  the members of a problem
    code: str,
    detail: str,
    *,
    retry_after: int | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
    instance: str | None = None,
    image_url: str | None = None,
) -> dict[str, Any]:
    """Return a problem as a JSON object: ``type``, ``title``, ``status``, ``detail``, ``instance`` and our own members."""
    current = request_id.get()
    members: dict[str, Any] = {
        "type": f"urn:waitcall:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": STATUS_OF[code],
        "detail": detail,
        "instance": instance or f"urn:waitcall:request:{current or 'unknown'}",
        "code": code,
        "request_id": current,
    }
    if retry_after is not None:
        members["retry_after"] = retry_after
    if errors:
        members["errors"] = errors
    if image_url:
        members["image_url"] = image_url
    return members


def responses(codes: Iterable[str]) -> dict[int, Any]:
    """Return OpenAPI descriptions of the answers with these problem codes, by status."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(STATUS_OF[code], []).append(code)
    described: dict[int, Any] = {
        status: {
            "description": ", ".join(f"`{code}`" for code in each),
            "content": {CONTENT_TYPE: {"schema": ProblemResponse}},
        }
        for status, each in sorted(by_status.items())
    }
    if STATUS_OF[RateLimited.code] in described:
        described[STATUS_OF[RateLimited.code]]["headers"] = LIMIT_HEADERS
    return described


class Problems:
    """Error handler for Flask: it answers every error with a problem, and counts refusals of known clients."""

    def __init__(self, observer: Observer, low_priority: LowPriorityQueue | None = None) -> None:
        """``low_priority``: queue for refusals, on a surface that strangers reach."""
        self._observer = observer
        self._low_priority = low_priority

    def answer(self, error: Exception) -> Response:
        """Answer an error with a problem. Only the log shows details of an unexpected error."""
        if self._low_priority is not None:
            self._low_priority.refuse()
        match error:
            case ServiceError():
                return self._service_error(error)
            case HTTPException():
                code = _CODE_OF_HTTP.get(error.code or 500, "invalid_request")
                response = self._rendered(document(code, DETAIL_OF_HTTP[code]))
                if isinstance(error, MethodNotAllowed) and error.valid_methods:
                    response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
                return response
            case _:
                _log.error("unexpected error", exc_info=error)
                return self._rendered(document("internal_error", DETAIL_OF_HTTP["internal_error"]))

    def _service_error(self, error: ServiceError) -> Response:
        failed = error.verification_id
        problem = document(
            error.code,
            error.detail,
            retry_after=error.retry_after,
            errors=error.errors,
            instance=f"/v1/verifications/{failed}" if failed else None,
            image_url=error.image_url if isinstance(error, CaptchaRequired) else None,
        )
        response = self._rendered(problem)
        if isinstance(error, RateLimited):
            response.headers.update(limit_headers(error.limits))
        return response

    def _rendered(self, problem: dict[str, Any]) -> Response:
        response = Response(json.dumps(problem), problem["status"], content_type=CONTENT_TYPE)
        if "retry_after" in problem:
            response.headers["Retry-After"] = str(problem["retry_after"])
        g.problem = problem["code"]
        if g.problem == "unauthenticated":
            response.headers["WWW-Authenticate"] = 'Bearer realm="waitcall"'
        if g.client and response.status_code < 500:  # noqa: PLR2004  the class of our own errors
            self._observer.refused(g.client, g.problem)
        return response
