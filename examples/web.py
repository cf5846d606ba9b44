"""Common parts of both examples: sessions that live on the server, forms that no other site fills in, languages, headers."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

from flask import Flask, Request, Response, g, request, session
from flask.sessions import SessionInterface, SessionMixin
from flask_wtf.csrf import CSRFProtect
from werkzeug.datastructures import CallbackDict

ANSWER_SECONDS = 1.0
"""Whoever types a number is answered after this time, whatever became of it."""
MOST_SESSIONS = 10_000
SESSION_SECONDS = 3600
RENAMED_SECONDS = 10
"""An old name may still arrive for so long, from another tab that has not heard of the new one."""


class Session(CallbackDict[str, Any], SessionMixin):
    """A visitor's dictionary, and the name that it is kept under."""

    def __init__(self, name: str | None, values: Mapping[str, Any]) -> None:
        def changed(session: "Session") -> None:
            session.modified = True

        super().__init__(values, changed)
        self.name = name
        self.modified = False
        self.kept = True


class Sessions(SessionInterface):
    """Keep sessions on the server under a random name that stands in a cookie. A real service keeps them in its Redis."""

    def __init__(self, *, secure: bool) -> None:
        self._kept: dict[str, dict[str, Any]] = {}
        self._renamed: dict[str, float] = {}
        self._secure = secure

    def open_session(self, app: Flask, request: Request) -> Session:
        """Find the visitor's session, or make an empty one."""
        name = request.cookies.get(self.get_cookie_name(app), "")
        kept = self._kept.get(name)
        session = Session(name, kept) if kept is not None else Session(None, {})
        # Another tab's answer brings the new name. An empty session of this one must not take its place.
        session.kept = monotonic() - self._renamed.get(name, -RENAMED_SECONDS) >= RENAMED_SECONDS
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep what has changed."""
        if not isinstance(session, Session) or not session.modified or not session.kept:
            return
        cookie = self.get_cookie_name(app)
        before = request.cookies.get(cookie, "")
        if session.name != before and self._kept.pop(before, None) is not None and session:
            self._renamed = {
                old: at for old, at in self._renamed.items() if monotonic() - at < RENAMED_SECONDS
            } | {before: monotonic()}
        name = session.name or secrets.token_urlsafe(32)
        self._kept[name] = dict(session)
        while len(self._kept) > MOST_SESSIONS:
            self._kept.pop(next(iter(self._kept)))
        # Lax: the way back from the hosted page is a link from another site. What changes anything is a form of ours.
        response.set_cookie(
            cookie,
            name,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=self._secure or request.is_secure,
        )


def create_app(
    name: str, texts: Mapping[str, Mapping[str, str]], *, address: str = "", leads_to: str = ""
) -> tuple[Flask, CSRFProtect]:
    """An app with sessions, texts in ``g.t``, strict headers, and a token in every form.

    Args:
        name: of the module.
        texts: by language.
        address: of the app as browsers reach it; its cookies are for HTTPS alone where it is one.
        leads_to: another origin that forms may lead to by a redirect.
    """
    app = Flask(name, template_folder="../templates", static_folder="../static")
    app.session_interface = Sessions(secure=address.startswith("https://"))
    # It signs the forms' tokens. Sessions end with the process too, so nothing is lost with the key.
    app.secret_key = secrets.token_bytes(32)
    targets = f"'self' {leads_to}".strip()
    csp = (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )

    @app.before_request
    def begin() -> None:
        g.lang = request.accept_languages.best_match(list(texts)) or "en"
        g.t = texts[g.lang]

    protection = CSRFProtect(app)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = csp
        # Flask-WTF compares the referrer of forms over HTTPS; nobody else gets one.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.context_processor
    def words() -> dict[str, Any]:
        return {"t": g.t, "lang": g.lang}

    return app, protection


def renew() -> None:
    """Forget the visitor, and give the session a new name: whoever planted the old one gains nothing (session fixation)."""
    session.clear()
    # Flask's session stands for the one that the interface above opened.
    session.name = None  # type: ignore[attr-defined]


@contextmanager
def in_equal_time() -> Iterator[None]:
    """Take as long for one number as for another: a refusal is faster than an order."""
    began = monotonic()
    try:
        yield
    finally:
        sleep(max(began + ANSWER_SECONDS - monotonic(), 0))
