"""Common parts of both examples: sessions on the server, protection from CSRF, languages, headers."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

from flask import Flask, Request, Response, g, redirect, render_template, request, session, url_for
from flask.sessions import SessionInterface, SessionMixin
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.datastructures import CallbackDict
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as AnyResponse

ANSWER_SECONDS = 1.0
"""Seconds after which a person who enters a number gets an answer, even if waitcall refuses it at once."""
STEP_SECONDS = 0.2
"""Seconds after which a later step of a flow is answered."""
MOST_SESSIONS = 10_000
SESSION_SECONDS = 3600
RENAMED_SECONDS = 10
"""Seconds in which requests with the old name of a renamed session may still arrive from another tab."""


class Session(CallbackDict[str, Any], SessionMixin):
    """Data of a visitor, and the random name under which the server keeps it."""

    def __init__(self, name: str | None, values: Mapping[str, Any]) -> None:
        def changed(session: "Session") -> None:
            session.modified = True

        super().__init__(values, changed)
        self.name = name
        self.modified = False
        self.kept = True


class Sessions(SessionInterface):
    """Sessions in the server's memory. A cookie contains only their random name. A real service keeps them in its Redis."""

    def __init__(self, *, secure: bool) -> None:
        self._kept: dict[str, dict[str, Any]] = {}
        self._renamed: dict[str, float] = {}
        self._secure = secure

    def open_session(self, app: Flask, request: Request) -> Session:
        """Return the visitor's session, or a new empty one."""
        name = request.cookies.get(self.get_cookie_name(app), "")
        kept = self._kept.get(name)
        session = Session(name, kept) if kept is not None else Session(None, {})
        # Another tab's answer sets the new name. This request's empty session must not overwrite it.
        session.kept = monotonic() - self._renamed.get(name, -RENAMED_SECONDS) >= RENAMED_SECONDS
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store the session if it has changed, and set the cookie."""
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
        # Lax, because the browser comes back from the hosted page, which is another site. Only our own forms change anything.
        response.set_cookie(
            cookie,
            name,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=self._secure or request.is_secure,
        )


# ruff: noqa: RUF001  Cyrillic letters
TEXTS = {
    "en": {
        "lost": "This page is not available.",
        "stale": "This page was out of date. Nothing was done.",
        "first_page": "To the first page",
        "try": "No phone is needed: open the handset, a simulated phone, and call from there.",
        "to_login": "Log in",
        "to_reset": "Reset a password",
        "to_handset": "Handset",
    },
    "ru": {
        "lost": "Эта страница недоступна.",
        "stale": "Страница устарела. Ничего не произошло.",
        "first_page": "На первую страницу",
        "try": "Телефон не нужен: откройте имитатор телефона и позвоните с него.",
        "to_login": "Вход",
        "to_reset": "Новый пароль",
        "to_handset": "Имитатор телефона",
    },
}
"""Texts of both apps."""


def create_app(
    name: str,
    texts: Mapping[str, Mapping[str, str]],
    *,
    address: str = "",
    leads_to: str = "",
    links: Mapping[str, str] | None = None,
) -> tuple[Flask, CSRFProtect]:
    """Create an app with sessions, texts in ``g.t``, strict headers, CSRF protection and a page for errors.

    Args:
        name: name of the module.
        texts: texts of the pages, by language.
        address: URL of the app as browsers reach it. If it is HTTPS, cookies are sent only over HTTPS.
        leads_to: another origin to which a form's answer may redirect.
        links: URLs of ``login``, ``reset`` and ``handset``, to which every page links.
    """
    app = Flask(name, template_folder="../templates", static_folder="../static")
    # Browsers send the cookies of one host to all of its ports, so each app has a name of its own.
    app.config["SESSION_COOKIE_NAME"] = name.replace(".", "-")
    app.session_interface = Sessions(secure=address.startswith("https://"))
    # The key signs the forms' tokens. A new one at each start is enough, because sessions end with the process too.
    app.secret_key = secrets.token_bytes(32)
    targets = f"'self' {leads_to}".strip()
    csp = (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )

    @app.before_request
    def begin() -> None:
        g.lang = request.accept_languages.best_match(list(texts)) or "en"
        g.t = {**TEXTS[g.lang], **texts[g.lang]}

    protection = CSRFProtect(app)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = csp
        # Flask-WTF checks the referrer of forms over HTTPS. Other sites get no referrer.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.context_processor
    def words() -> dict[str, Any]:
        return {"t": g.t, "lang": g.lang, "links": links or {}}

    @app.errorhandler(HTTPException)
    def lost(error: HTTPException) -> AnyResponse | tuple[str, int]:
        if isinstance(error, MethodNotAllowed) and request.method == "GET":
            # The person opens the address of a form that was sent.
            return redirect(url_for("home"), 303)
        said = g.t["stale" if isinstance(error, CSRFError) else "lost"]
        return render_template("lost.html", said=said), error.code or 500

    return app, protection


def renew() -> None:
    """Empty the session and give it a new name, so that an attacker who planted the old one gains nothing (session fixation)."""
    session.clear()
    # Flask's ``session`` is a proxy of the object that Sessions opened, which has a name.
    session.name = None  # type: ignore[attr-defined]


@contextmanager
def in_equal_time(*, first: bool = False) -> Iterator[None]:
    """Make every answer take the same time, because a refusal would be faster. ``first``: the step that orders a number."""
    began = monotonic()
    try:
        yield
    finally:
        sleep(max(began + (ANSWER_SECONDS if first else STEP_SECONDS) - monotonic(), 0))
