"""What both examples stand on: sessions that live on the server, languages, headers."""

import secrets
from collections.abc import Mapping
from typing import Any

from flask import Flask, Request, Response, abort, g, request
from werkzeug.wrappers import Response as AnyResponse

COOKIE = "session"
OWN = ("same-origin", "none")
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class Sessions:
    """A session is a random name in a cookie, and a dictionary on the server. A real service keeps it in its Redis."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Any]] = {}

    def open(self, asked: Request) -> dict[str, Any]:
        """The visitor's; an empty one where there is none."""
        return self._kept.get(asked.cookies.get(COOKIE, ""), {})

    def save(self, session: dict[str, Any], response: AnyResponse, *, secure: bool) -> None:
        """Under a fresh name each time: whoever planted an old one gains nothing (session fixation)."""
        self._kept.pop(request.cookies.get(COOKIE, ""), None)
        if not session:
            response.delete_cookie(COOKIE)
            return
        name = secrets.token_urlsafe(32)
        self._kept[name] = session
        # Lax: the way back from the hosted page is a link from another site, a forged form is not.
        response.set_cookie(COOKIE, name, httponly=True, samesite="Lax", secure=secure, max_age=3600)


def create_app(name: str, texts: Mapping[str, Mapping[str, str]]) -> Flask:
    """An app with sessions in ``g.session``, texts in ``g.t``, and strict headers."""
    app = Flask(name, template_folder="../templates", static_folder="../static")
    sessions = Sessions()

    @app.before_request
    def begin() -> None:
        g.session = sessions.open(request)
        g.before = dict(g.session)
        g.lang = request.accept_languages.best_match(list(texts)) or "en"
        g.t = texts[g.lang]
        # Another site may link here, and may not fill in our forms.
        if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "none") not in OWN:
            abort(403)

    @app.after_request
    def end(response: Response) -> Response:
        if g.session != g.before:
            sessions.save(g.session, response, secure=request.is_secure)
        response.headers["Content-Security-Policy"] = CSP
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.context_processor
    def words() -> dict[str, Any]:
        return {"t": g.t, "lang": g.lang, "session": g.session}

    return app
