"""Problem details (RFC 9457): the table from codes to statuses, and the error handler that renders them."""

import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from waitcall.adapters.http.answers import LIMIT_HEADERS, ProblemResponse, limit_headers
from waitcall.adapters.http.body import LowPriorityQueue, WrongMediaType
from waitcall.application.ports import Observer
from waitcall.application.request_context import request_id
from waitcall.domain.errors import CaptchaRequired, Category, RateLimited, ServiceError

CONTENT_TYPE = "application/problem+json"

_STATUS_OF_CATEGORY = {
    Category.MALFORMED: 400,
    Category.FORBIDDEN: 403,
    Category.MISSING: 404,
    Category.CONFLICT: 409,
    Category.GONE: 410,
    Category.INVALID: 422,
    Category.TOO_MANY: 429,
    Category.UPSTREAM: 502,
    Category.UNAVAILABLE: 503,
}


def _codes(parent: type[ServiceError]) -> Iterator[tuple[str, int]]:
    for each in parent.__subclasses__():
        if hasattr(each, "code"):
            yield each.code, _STATUS_OF_CATEGORY[each.category]
        yield from _codes(each)


STATUS_OF = {
    "unauthenticated": 401,
    "method_not_allowed": 405,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "internal_error": 500,
} | dict(_codes(ServiceError))
"""HTTP status of each problem code: those that only HTTP knows, and one for each class of ``domain/errors.py``."""

_CODE_OF_HTTP = {
    401: "unauthenticated",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
DETAIL_OF_HTTP = {
    "invalid_request": "The request cannot be read.",
    "unauthenticated": "Send a valid key in the Authorization header: Bearer KEY.",
    "not_found": "There is no such resource.",
    "method_not_allowed": "The resource does not support this method.",
    "body_too_large": "The body is too large.",
    "unsupported_media_type": "Send application/json.",
    "internal_error": "An unexpected error occurred. The service's log has it under the request id.",
}

_TITLES = {
    "already_consumed": "Verification already consumed",
    "already_verified": "Verification already verified",
    "attempts_spent": "Too many wrong codes",
    "blocked": "Number or address blocked",
    "code_mismatch": "Wrong code",
    "contested": "Verification contested",
    "expired": "Verification expired",
    "idempotency_in_flight": "Request still in progress",
    "no_fallback": "No further channel",
    "not_pending": "Verification already ended",
    "not_verified": "Verification not verified",
    "sends_spent": "Too many messages",
}
"""Titles of codes that are not plain words themselves."""

_log = logging.getLogger(__name__)


def _details(parent: type[ServiceError] = ServiceError) -> dict[str, str]:
    found = dict(DETAIL_OF_HTTP)
    for each in parent.__subclasses__():
        found |= _details(each)
        if "default_detail" in vars(each):
            found[each.code] = each.default_detail
    return found


def _members(code: str, detail: str, request: str | None) -> dict[str, Any]:
    return {
        "type": f"urn:waitcall:problem:{code}",
        "title": _TITLES.get(code, code.replace("_", " ").capitalize()),
        "status": STATUS_OF[code],
        "detail": detail,
        "instance": f"urn:waitcall:request:{request or 'unknown'}",
        "code": code,
        "request_id": request,
    }


def examples() -> dict[str, dict[str, Any]]:
    """Return an example of each problem for the OpenAPI document, by code."""
    return {code: _members(code, detail, "9f1c5d2e7a3b4c60") for code, detail in _details().items()}


def responses(codes: Iterable[str]) -> dict[int, Any]:
    """Return OpenAPI descriptions of the answers with these problem codes, by status."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(STATUS_OF[code], []).append(code)
    described: dict[int, Any] = {
        status: {
            "description": ", ".join(f"`{code}`" for code in each),
            "content": {CONTENT_TYPE: {"schema": ProblemResponse, "examples": {code: code for code in each}}},
        }
        for status, each in sorted(by_status.items())
    }
    if STATUS_OF[RateLimited.code] in described:
        described[STATUS_OF[RateLimited.code]]["headers"] = LIMIT_HEADERS
    return described


class ProblemHandler:
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
                response = self._rendered(error.code, error.detail, error)
                if isinstance(error, RateLimited):
                    response.headers.update(limit_headers(error.limits))
            case HTTPException():
                code = _CODE_OF_HTTP.get(error.code or 500, "invalid_request")
                # The library's own descriptions are written for browsers.
                told = error.description if isinstance(error, WrongMediaType) else None
                response = self._rendered(code, told or DETAIL_OF_HTTP[code])
                if isinstance(error, MethodNotAllowed) and error.valid_methods:
                    response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
            case _:
                _log.error("unexpected error", exc_info=error)
                response = self._rendered("internal_error", DETAIL_OF_HTTP["internal_error"])
        return response

    def _rendered(self, code: str, detail: str, error: ServiceError | None = None) -> Response:
        problem = _members(code, detail, request_id.get())
        if error is not None:
            if error.verification_id:
                problem["instance"] = f"/v1/verifications/{error.verification_id}"
            if error.retry_after is not None:
                problem["retry_after"] = error.retry_after
            if error.errors:
                problem["errors"] = error.errors
            if isinstance(error, CaptchaRequired) and error.image_url:
                problem["image_url"] = error.image_url
        response = Response(json.dumps(problem) + "\n", problem["status"], content_type=CONTENT_TYPE)
        if "retry_after" in problem:
            response.headers["Retry-After"] = str(problem["retry_after"])
        g.problem = code
        if code == "unauthenticated":
            response.headers["WWW-Authenticate"] = 'Bearer realm="waitcall"'
        if g.client and response.status_code < 500:  # noqa: PLR2004  the class of our own errors
            self._observer.refused(g.client, code)
        return response
