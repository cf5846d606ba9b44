"""The hosted page /p/TOKEN. It shows a verification and links back to the client; it cannot change anything."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from math import ceil
from typing import Any
from urllib.parse import quote

import phonenumbers
import segno
from flask import Blueprint, Response, g, redirect, request
from flask.typing import ResponseReturnValue
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from waitcall.adapters.http.auth import no_auth
from waitcall.adapters.http.blueprint import PARSER
from waitcall.adapters.http.body import LowPriorityQueue
from waitcall.adapters.http.hosted_page.caller_id import prefixes_of
from waitcall.adapters.http.hosted_page.colors import style
from waitcall.adapters.http.languages import Catalogues, Texts, accepted_languages
from waitcall.adapters.http.problems import STATUS_OF
from waitcall.adapters.http.schemas import PagePollQuery
from waitcall.application.hosted_page import Page, ReadPage
from waitcall.application.ports import Clock
from waitcall.domain.channel import Channel
from waitcall.domain.errors import NotFound, ServiceError
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Brand
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

PATH = "/p"
REFRESH_SECONDS = 5
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_POLL = PagePollQuery()
_FOREVER = "public, max-age=31536000, immutable"
_OUTCOMES = ("start_again", "fallback", "canceled", "code", "done")
_WITH_ANOTHER_WAY = (Status.PENDING, Status.EXPIRED)
_HEADINGS = {Channel.CALL: "call_heading", Channel.TEXT_IN: "text_heading", Channel.CODE: "code_heading"}


def blueprint(
    pages: ReadPage, catalogues: Catalogues, brand: Brand, clock: Clock, low_priority: LowPriorityQueue
) -> Blueprint:
    """Make the page's routes, which need only the page's token."""
    routes = Blueprint("pages", __name__)
    assets = make_assets(brand)
    renderer = PageRenderer(catalogues, brand, assets)
    by_name = {each.name: each for each in assets.values()}

    @routes.get(f"{PATH}/<token>")
    @no_auth
    def page(token: str) -> AnyResponse:
        try:
            seen = pages.look(token, request.remote_addr)
        except ServiceError as error:
            return renderer.failure(error)
        if seen.result is not None:
            return renderer.back(seen.verification, "result", seen.result)
        with low_priority.turn():
            return renderer.page(seen, clock())

    @routes.get(f"{PATH}/<token>/status")
    @no_auth
    def status(token: str) -> ResponseReturnValue:
        query = PARSER.parse(_POLL, location="query")
        seen = pages.look(
            token,
            request.remote_addr,
            query["wait"],
            query.get("channel"),
            seen_weak_call=query.get("weak_call"),
        )
        record = seen.verification
        return {
            "status": record.status.value,
            "channel": record.channel.value,
            "weak_call": record.weak_call_at is not None,
            "expires_in": max(ceil((record.expires_at - clock()).total_seconds()), 0),
        }

    @routes.get(f"{PATH}/assets/<name>")
    @no_auth
    def asset(name: str) -> Response:
        found = by_name.get(name)
        if found is None:
            raise NotFound
        return Response(found.content, content_type=found.content_type, headers={"Cache-Control": _FOREVER})

    return routes


@dataclass(frozen=True)
class PageAsset:
    """Static file of the page. Its name changes with its content."""

    name: str
    content: bytes = field(repr=False)
    content_type: str


def make_assets(brand: Brand) -> dict[str, PageAsset]:
    """Make the page's only static files: ``css`` with the brand's colour, ``js`` and ``icon``."""
    here = files("waitcall.adapters.http.hosted_page")
    css = style(brand.color) + (here / "page.css").read_text(encoding="utf-8")
    js, icon = ((here / name).read_bytes() for name in ("page.js", "icon.svg"))
    return {
        "css": _named("page", "css", css.encode(), "text/css; charset=utf-8"),
        "js": _named("page", "js", js, "text/javascript; charset=utf-8"),
        "icon": _named("icon", "svg", icon, "image/svg+xml"),
    }


def _named(stem: str, suffix: str, content: bytes, content_type: str) -> PageAsset:
    digest = hashlib.sha256(content).hexdigest()[:12]
    return PageAsset(f"{stem}.{digest}.{suffix}", content, content_type)


class PageRenderer:
    """Renderer of the hosted page."""

    def __init__(self, catalogues: Catalogues, brand: Brand, assets: Mapping[str, PageAsset]) -> None:
        self._catalogues = catalogues
        self._brand = brand
        self._files = {kind: asset.name for kind, asset in assets.items()}
        self._templates = Environment(
            loader=PackageLoader("waitcall.adapters.http", "hosted_page"), autoescape=True, trim_blocks=True
        )

    def page(self, page: Page, now: datetime) -> Response:
        """Return the page of a verification in its current state."""
        record = page.verification
        lang, t = self._language(record.locale)
        facts: dict[str, Any] = {
            "status": record.status.value,
            "channel": record.channel.value,
            "weak_call": record.weak_call_at is not None,
            "masked": record.phone_number.masked,
            # For an expired verification the link asks the client to start again with the other channel.
            "next_channel": record.next_channel if record.status in _WITH_ANOTHER_WAY else None,
            "back": {each: _with(record, "outcome", each) for each in _OUTCOMES},
        }
        if record.status is Status.PENDING:
            return self._waiting(record, now, lang, t, facts)
        done = record.status is Status.CONSUMED
        # A catalogue has a text for each reason for which a verification ends, under the reason's name.
        facts |= {"text": t["consumed" if done else record.reason or Reason.PROVIDER_ERROR], "done": done}
        return self._rendered("over.html", lang, t, t["title_done" if done else "title_over"], facts)

    def back(self, record: Verification, name: str, value: str) -> AnyResponse:
        """Redirect to the client's return URL, with ``value`` in the parameter ``name``."""
        return _guarded(redirect(_with(record, name, value), 303))

    def failure(self, error: ServiceError) -> Response:
        """Return the page for an error: the token is unknown, or the verification cannot be read now."""
        lang, t = self._language(None)
        gone = isinstance(error, NotFound)
        name = "gone" if gone else "busy"
        facts = {"text": t[f"{name}_explain"], "refresh": None if gone else REFRESH_SECONDS, "back": None}
        response = self._rendered("over.html", lang, t, t[name], facts)
        # The request's log line and metrics show this code, as for any other refusal.
        g.problem = error.code
        response.status_code = STATUS_OF[error.code]
        if error.retry_after:
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    def _waiting(
        self, record: Verification, now: datetime, lang: str, t: Texts, facts: dict[str, Any]
    ) -> Response:
        left = max(ceil((record.expires_at - now).total_seconds()), 0)
        way = record.channel
        # On the channel code the page is the same before and after a code was sent: it is typed on the client's site.
        shown = record.text_in.number if record.text_in else record.call_number
        number = None if way is Channel.CODE else shown
        uri = None if number is None else record.text_in.uri if record.text_in else number.uri
        drawn = segno.make(uri, error="m").svg_inline(border=2, omitsize=True) if uri else ""
        more = {
            "way": way.value if number else Channel.CODE.value,
            "number": number,
            "text_in": record.text_in,
            "abroad": _abroad(record.phone_number, number, t) if number else None,
            "prefixes": prefixes_of(record.phone_number),
            "qr": Markup(drawn),  # noqa: S704  # nosec B704  # made of our own number and text
            "left": left,
            "minutes": ceil(left / 60),
            "scripted": True,
            "refresh": REFRESH_SECONDS,
        }
        return self._rendered("waiting.html", lang, t, t[_HEADINGS[way]], facts | more, tab=t["title"])

    def _rendered(  # noqa: PLR0913, PLR0917  every template needs these
        self, template: str, lang: str, t: Texts, heading: str, facts: dict[str, Any], tab: str | None = None
    ) -> Response:
        text = self._templates.get_template(template).render(
            {
                "lang": lang,
                "t": t,
                "languages": self._catalogues.languages,
                "brand": self._brand,
                "files": self._files,
                # The path is relative, so that a proxy may add a prefix.
                "assets": "assets",
                "heading": heading,
                "heading_of_tab": tab or heading,
            }
            | facts
        )
        response = Response(text, content_type="text/html; charset=utf-8")
        response.headers["Content-Language"] = lang
        _guarded(response)
        return response

    def _language(self, locale: str | None) -> tuple[str, Texts]:
        wishes = [
            request.args.get("lang"),
            locale,
            *accepted_languages(request.headers.get("Accept-Language", "")),
        ]
        return self._catalogues.choose(wishes)


def _abroad(caller: E164, number: E164, t: Texts) -> str | None:
    """Return the country's name and code if the number to dial is in another country than the caller's number."""
    if caller.region == number.region:
        return None
    code = f"+{phonenumbers.parse(number.value).country_code}"
    name = t.get(f"country_{number.region}")
    return f"{name}, {code}" if name else code


def _guarded(response: AnyResponse) -> AnyResponse:
    response.headers["Content-Security-Policy"] = CSP
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


def _with(record: Verification, name: str, value: str) -> str:
    url = record.return_url or ""
    return f"{url}{'&' if '?' in url else '?'}{name}={quote(value, safe='')}"
