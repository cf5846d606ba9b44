"""The internal API: routes of the blueprints, the OpenAPI 3.1 document that flask-smorest makes from them, and ``/docs``."""

import json
from importlib.resources import files
from mimetypes import guess_type
from typing import Any

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask, Response, current_app
from marshmallow import Schema
from werkzeug.exceptions import NotFound

from waitcall.adapters.http import operator, verifications
from waitcall.adapters.http.answers import ProblemResponse
from waitcall.adapters.http.auth import no_auth
from waitcall.adapters.http.blueprint import Services
from waitcall.adapters.http.body import JSON
from waitcall.adapters.http.problems import ProblemHandler, examples
from waitcall.adapters.http.webhooks import TAG, webhooks

# The page loads only these files, and nothing from other hosts.
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
<main id="swagger-ui"><noscript>OpenAPI document: <a href="/openapi.json">/openapi.json</a></noscript></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null});\n'
_INTRODUCTION = """A person proves that a phone number is theirs by calling us.

1. `POST /v1/verifications` returns a number to dial. Show it to the person.
2. `GET /v1/verifications/{verification_id}?wait=20` answers as soon as the person has called.
3. `POST /v1/verifications/{verification_id}/consume` redeems the proof, exactly once. Then let the person in.

Authorize with a client's key. Each error is a problem (RFC 9457): decide by its `code`. Send an `Idempotency-Key` with a
POST, and repeat it with the same key after a timeout."""
_CSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"


class Api(flask_smorest.Api):  # type: ignore[misc]  # the library has no types
    """OpenAPI document of the API, and registration of its routes on an app."""

    # No default error: each operation lists the problems that it may answer with.
    DEFAULT_ERROR_RESPONSE_NAME = None
    ERROR_SCHEMA = ProblemResponse

    def __init__(self, app: Flask, version: str) -> None:
        super().__init__(
            app,
            spec_kwargs={
                "title": "waitcall",
                "version": version,
                "openapi_version": "3.1.0",
                "marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=_name_of),
                "info": {
                    "description": _INTRODUCTION,
                    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                },
                "servers": [{"url": "/", "description": "The service that serves this document."}],
            },
        )
        self.spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
        for code, example in examples().items():
            self.spec.components.example(code, {"value": example}, lazy=True)
        for routes in (verifications.routes, verifications.step_routes, operator.routes):
            self.register_blueprint(routes)
        self.spec.tag(TAG)

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document: dict[str, Any] = self.spec.to_dict()
        # flask-smorest adds a schema for pagination, which this API does not use.
        del document["components"]["schemas"]["PaginationMetadataSchema"]
        for schema in document["components"]["schemas"].values():
            for member in schema.get("properties", {}).values():
                _tell_null_apart(member)
        return document | {"webhooks": webhooks()}

    def handle_http_exception(self, error: Exception) -> Response:
        """Answer with our problem details. flask-smorest registers this method for every HTTPException."""
        problems: ProblemHandler = current_app.extensions["problems"]
        return problems.answer(error)


def mount(app: Flask, services: Services, version: str) -> None:
    """Add the API to its app, with ``/openapi.json`` and ``/docs``."""
    app.extensions["waitcall"] = services
    app.register_blueprint(_docs(Api(app, version).document()))


def build_document(version: str) -> dict[str, Any]:
    """Build the OpenAPI document without a running service."""
    return Api(Flask(__name__, static_folder=None), version).document()


def _tell_null_apart(schema: dict[str, Any]) -> None:
    """Replace null among an enum's values by a choice, because generators make a constant of it."""
    if None in schema.get("enum", ()):
        values = [value for value in schema.pop("enum") if value is not None]
        schema.pop("type")
        schema["anyOf"] = [{"type": "string", "enum": values}, {"type": "null"}]


def _name_of(schema: type[Schema] | Schema) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Request").removesuffix("Response")


def _docs(document: dict[str, Any]) -> Blueprint:
    """Make the routes ``/openapi.json``, and ``/docs``, a page that shows the document. They need no key."""
    routes = Blueprint("openapi", __name__)
    written = f"{json.dumps(document)}\n".encode()
    assets = {name: (files("flask_swagger_ui") / "dist" / name).read_bytes() for name in _ASSETS}
    assets["start.js"] = _START.encode()

    @routes.get("/openapi.json")
    @no_auth
    def openapi() -> Response:
        return Response(written, content_type=JSON)

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
