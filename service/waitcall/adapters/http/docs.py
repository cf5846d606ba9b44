"""Routes /openapi.json, and /docs, a page that shows the document."""

import json
from importlib.resources import files
from mimetypes import guess_type
from typing import Any

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from waitcall.adapters.http.auth import no_auth
from waitcall.adapters.http.body import JSON

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
_CSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"


def blueprint(document: dict[str, Any]) -> Blueprint:
    """Make the routes ``/openapi.json`` and ``/docs``, which need no key."""
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
