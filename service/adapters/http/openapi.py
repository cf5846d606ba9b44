"""The OpenAPI document, generated from the schemas and the table below; and the page that shows it."""

import json
from importlib.resources import files
from mimetypes import guess_type
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from service.adapters.http import openapi_operator, openapi_verifications
from service.adapters.http.answers import (
    CallResponse,
    CodeResponse,
    ProblemResponse,
    TextInResponse,
    VerificationResponse,
)
from service.adapters.http.auth import no_auth
from service.adapters.http.body import JSON
from service.adapters.http.schemas import (
    CaptchaRequest,
    CheckRequest,
    ConsumeRequest,
    ContextRequest,
    CreateRequest,
    FallbackRequest,
    HostedRequest,
    ResendRequest,
)
from service.adapters.http.verifications import PATH

_SOMETIMES = ("retry_after", "errors", "image_url")

_REQUESTS = ("Create", "Captcha", "Context", "Hosted", "Consume", "Fallback", "Resend", "Check")

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
    spec.components.schema("TextIn", schema=TextInResponse)
    spec.components.schema("Code", schema=CodeResponse)
    spec.components.schema("Verification", schema=VerificationResponse)
    spec.components.schema("Captcha", schema=CaptchaRequest)
    spec.components.schema("Context", schema=ContextRequest)
    spec.components.schema("Hosted", schema=HostedRequest)
    spec.components.schema("Create", schema=CreateRequest)
    spec.components.schema("Consume", schema=ConsumeRequest)
    spec.components.schema("Fallback", schema=FallbackRequest)
    spec.components.schema("Resend", schema=ResendRequest)
    spec.components.schema("Check", schema=CheckRequest)
    for name, schema in (openapi_operator.REQUESTS | openapi_operator.ANSWERS).items():
        spec.components.schema(name, schema=schema)
    schemas = spec.components.schemas
    # marshmallow refuses unknown fields; the document must say so.
    for name in (*_REQUESTS, *openapi_operator.REQUESTS):
        schemas[name]["additionalProperties"] = False
    # Answers are whole: what may be absent is in _SOMETIMES, everything else is always there.
    for name in ("Problem", "Call", "TextIn", "Code", "Verification", *openapi_operator.ANSWERS):
        schemas[name]["required"] = [each for each in schemas[name]["properties"] if each not in _SOMETIMES]
    spec.path(PATH, operations={"post": openapi_verifications.create()})
    one = {"get": openapi_verifications.read(), "delete": openapi_verifications.cancel()}
    spec.path(f"{PATH}/{{verification_id}}", operations=one)
    spec.path(f"{PATH}/{{verification_id}}/consume", operations={"post": openapi_verifications.consume()})
    for name in ("fallback", "resend", "check"):
        operation = getattr(openapi_verifications, name)()
        spec.path(f"{PATH}/{{verification_id}}/{name}", operations={"post": operation})
    for path, operations in openapi_operator.paths().items():
        spec.path(path, operations=operations)
    document: dict[str, Any] = spec.to_dict()
    return document


def blueprint(version: str) -> Blueprint:
    """``/openapi.json`` and ``/docs``, open to whoever reaches the surface."""
    routes = Blueprint("openapi", __name__)
    document = json.dumps(build_document(version)).encode()
    assets = {name: (files("flask_swagger_ui") / "dist" / name).read_bytes() for name in _ASSETS}
    assets["start.js"] = _START.encode()

    @routes.get("/openapi.json")
    @no_auth
    def openapi() -> Response:
        return Response(document, content_type=JSON)

    @routes.get("/docs")
    @no_auth
    def docs() -> Response:
        return Response(
            _PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _CSP}
        )

    @routes.get("/docs/<asset>")
    @no_auth
    def docs_asset(asset: str) -> Response:
        if asset not in assets:
            raise NotFound
        content_type = guess_type(asset)[0] or "application/octet-stream"
        return Response(assets[asset], content_type=content_type, headers={"Cache-Control": "max-age=86400"})

    return routes
