"""The OpenAPI document, generated from the schemas and the table below; and the page that shows it."""

import json
from importlib.resources import files
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response, abort, send_from_directory

from service.adapters.http.auth import no_auth
from service.adapters.http.once import IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED
from service.adapters.http.problems import CONTENT_TYPE, STATUS_OF
from service.adapters.http.schemas import (
    MAX_WAIT_SECONDS,
    CallResponse,
    ConsumeRequest,
    CreateRequest,
    ProblemResponse,
    VerificationResponse,
)
from service.adapters.http.verifications import PATH

_SOMETIMES = ("retry_after", "errors")
_ALWAYS = ("unauthenticated", "store_unavailable", "internal_error", "invalid_request")
_WITH_BODY = ("body_too_large", "unsupported_media_type", "validation_failed")
_WITH_KEY = ("idempotency_in_flight", "idempotency_key_reused")

# The page's own files; nothing comes from another host.
_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>waitcall API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<main id="swagger-ui"><noscript>The document itself: <a href="/openapi.json">/openapi.json</a></noscript></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null});\n'
_CSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"


def build_document(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the internal API."""
    spec = APISpec(
        title="waitcall",
        version=version,
        openapi_version="3.1.0",
        info={
            "description": "A person proves that a phone number is theirs by calling us.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        plugins=[MarshmallowPlugin()],
    )
    spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    spec.components.schema("Problem", schema=ProblemResponse)
    spec.components.schema("Call", schema=CallResponse)
    spec.components.schema("Verification", schema=VerificationResponse)
    spec.components.schema("Create", schema=CreateRequest)
    spec.components.schema("Consume", schema=ConsumeRequest)
    schemas = spec.components.schemas
    # marshmallow refuses unknown fields; the document must say so.
    for name in ("Create", "Consume"):
        schemas[name]["additionalProperties"] = False
    # Answers are whole: what may be absent is in _SOMETIMES, everything else is always there.
    for name in ("Problem", "Call", "Verification"):
        schemas[name]["required"] = [each for each in schemas[name]["properties"] if each not in _SOMETIMES]
    spec.path(PATH, operations={"post": _create()})
    spec.path(f"{PATH}/{{verification_id}}", operations={"get": _read(), "delete": _cancel()})
    spec.path(f"{PATH}/{{verification_id}}/consume", operations={"post": _consume()})
    document: dict[str, Any] = spec.to_dict()
    return document


def blueprint(version: str) -> Blueprint:
    """``/openapi.json`` and ``/docs``, open to whoever reaches the surface."""
    routes = Blueprint("openapi", __name__)
    document = json.dumps(build_document(version))
    dist = str(files("flask_swagger_ui") / "dist")

    @routes.get("/openapi.json")
    @no_auth
    def openapi() -> Response:
        return Response(document, content_type="application/json")

    @routes.get("/docs")
    @no_auth
    def docs() -> Response:
        response = Response(_PAGE, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _CSP
        return response

    @routes.get("/docs/<asset>")
    @no_auth
    def docs_asset(asset: str) -> Response:
        if asset == "start.js":
            return Response(_START, content_type="text/javascript; charset=utf-8")
        if asset not in _ASSETS:
            abort(404)
        return send_from_directory(dist, asset, max_age=86400)

    return routes


def _create() -> dict[str, Any]:
    codes = (
        "purpose_not_allowed",
        "verification_in_progress",
        "invalid_phone_number",
        "phone_number_not_allowed",
        "rate_limited",
        "provider_error",
        "provider_unavailable",
    )
    verification = _verification("The number to dial, and the record that waits for the call.")
    verification["headers"] = _replayed() | {
        "Location": {"description": "Path of the record.", "schema": {"type": "string"}},
    }
    live = _verification("The same requester's live verification; no new order was placed.")
    live["headers"] = _replayed()
    return {
        "operationId": "create",
        "summary": "Start a verification",
        "security": [{"key": []}],
        "parameters": [_key_parameter()],
        "requestBody": _body("Create"),
        "responses": {"201": verification, "200": live} | _problems(codes, _WITH_BODY, _WITH_KEY),
    }


def _read() -> dict[str, Any]:
    wait = {
        "name": "wait",
        "in": "query",
        "description": "Seconds to hold the answer while the status is pending.",
        "schema": {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
    }
    return {
        "operationId": "read",
        "summary": "Read a verification, or wait until it changes",
        "security": [{"key": []}],
        "parameters": [_id_parameter(), wait],
        "responses": {"200": _verification("As it stands now.")}
        | _problems(("not_found", "validation_failed")),
    }


def _consume() -> dict[str, Any]:
    codes = (
        "not_found",
        "purpose_mismatch",
        "reference_mismatch",
        "not_verified",
        "already_consumed",
        "contested",
        "expired",
    )
    consumed = _verification("Redeemed, for the first and only time.")
    consumed["headers"] = _replayed()
    return {
        "operationId": "consume",
        "summary": "Redeem the proof, exactly once",
        "security": [{"key": []}],
        "parameters": [_id_parameter(), _key_parameter()],
        "requestBody": _body("Consume"),
        "responses": {"200": consumed} | _problems(codes, _WITH_BODY, _WITH_KEY),
    }


def _cancel() -> dict[str, Any]:
    return {
        "operationId": "cancel",
        "summary": "Stop waiting",
        "security": [{"key": []}],
        "parameters": [_id_parameter()],
        "responses": {"200": _verification("Canceled, or finished before.")}
        | _problems(("not_found", "already_verified")),
    }


def _verification(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Verification"}}},
    }


def _problems(*groups: tuple[str, ...]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in (*(code for group in groups for code in group), *_ALWAYS):
        by_status.setdefault(STATUS_OF[code], []).append(code)
    return {
        str(status): {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, codes in sorted(by_status.items())
    }


def _body(schema: str) -> dict[str, Any]:
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
