"""Login by a call. The person goes to waitcall's page and comes back with a result, which only this server can redeem.

Answers never show whether an account exists, because it is looked up only after the number is proven. Every valid number
gets the same first answer, even if waitcall refuses it. No GET request sends or changes anything.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress

from flask import Flask, Response, g, redirect, render_template, request, session, url_for
from waitcall_client import Verification, Waitcall, WaitcallError, WebhookRejected, Webhooks
from waitcall_client.problems import (
    AlreadyConsumed,
    CodeMismatch,
    Expired,
    InvalidPhoneNumber,
    ResultMismatch,
)
from werkzeug.wrappers import Response as AnyResponse

from examples.login.texts import TEXTS
from examples.web import create_app, in_equal_time, renew

PURPOSE = "login"


def login_app(
    waitcall: Waitcall,
    webhooks: Webhooks,
    address: str,
    pages: str = "",
    links: Mapping[str, str] | None = None,
) -> Flask:
    """Create the app.

    Args:
        waitcall: client of waitcall.
        webhooks: verifies waitcall's webhooks.
        address: URL of this app as browsers reach it. waitcall's policy must allow this origin.
        pages: origin of waitcall's hosted pages, to which this app's forms redirect.
        links: URLs of ``login``, ``reset`` and ``handset``, to which every page links.
    """
    app, protection = create_app(__name__, TEXTS, address=address, leads_to=pages, links=links)
    accounts: dict[str, str] = {}
    told: dict[str, str] = {}

    @app.get("/")
    def home() -> str:
        problem = g.t["not_now"] if session.get("refused") else None
        return shown(problem=problem, phone=request.args.get("phone", session.get("typed", "")))

    def shown(*, problem: str | None = None, phone: str = "") -> str:
        flow = session.get("flow", {})
        verified = told.get(flow.get("id")) == "verification.verified"
        return render_template("login.html", flow=flow, verified=verified, phone=phone, problem=problem)

    @app.post("/login")
    def begin() -> AnyResponse | tuple[str, int]:
        with in_equal_time(first=True):
            leave()
            phone = request.form.get("phone", "")
            try:
                start(phone)
            except InvalidPhoneNumber:
                return shown(problem=g.t["not_a_number"], phone=phone), 422
            except WaitcallError as error:
                # The number may be in use, blocked, limited or of another country. All get the same answer.
                refuse(error)
                session["typed"] = phone
        return redirect(url_for("go_on"), 303)

    def start(phone: str, channel: str | None = None) -> Verification:
        reference = secrets.token_urlsafe(16)
        made = waitcall.start(
            phone,
            purpose=PURPOSE,
            reference=reference,
            locale=g.lang,
            client_ip=request.remote_addr,
            channel=channel,
            return_url=f"{address}{url_for('back')}",
        )
        session["flow"] = {
            "id": made.id,
            "reference": reference,
            "page": made.hosted_url,
            "phone": phone,
            "next": made.next_channel,
        }
        return made

    @app.get("/go")
    def go_on() -> AnyResponse:
        """Redirect to waitcall's page, or to the first page if no verification is under way."""
        flow = session.get("flow")
        return redirect(flow["page"] if flow else url_for("home"), 303)

    @app.get("/phone")
    def back() -> AnyResponse | str:
        """Receive the person from waitcall's page, with a result or an outcome.

        Anybody can link to this URL, so it only shows a form, and the form's POST acts.
        """
        flow = session.get("flow")
        result, outcome = request.args.get("result"), request.args.get("outcome")
        if flow is not None and (result is not None or outcome in ("fallback", "start_again", "canceled")):
            return render_template("back.html", result=result, outcome=outcome)
        return redirect(url_for("ask_code" if flow is not None and outcome == "code" else "home"), 303)

    @app.post("/phone")
    def enter() -> AnyResponse | tuple[str, int]:
        flow = session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        result = request.form.get("result", "")
        try:
            # Consume before upgrading the session, so that a proof which was already used upgrades no session.
            proof = waitcall.consume(flow["id"], purpose=PURPOSE, reference=flow["reference"], result=result)
        except AlreadyConsumed:
            # Another tab has consumed it, so the session that both share is already upgraded.
            return redirect(url_for("home"), 303)
        except ResultMismatch:
            # The result is of another browser's flow, so this flow stays.
            return shown(problem=g.t["not_now"]), 409
        except WaitcallError as error:
            return neutral(error)
        account = accounts.setdefault(proof.phone_number, secrets.token_hex(8))
        told.pop(flow["id"], None)
        renew()
        session.update(account=account, phone=proof.phone_number)
        return redirect(url_for("home"), 303)

    @app.post("/another-way")
    def another_way() -> AnyResponse | tuple[str, int]:
        flow = session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        try:
            try:
                moved = waitcall.fall_back(flow["id"])
            except Expired:
                moved = start(flow["phone"], flow["next"])
        except WaitcallError as error:
            return neutral(error)
        return redirect(url_for("ask_code" if moved.channel == "code" else "go_on"), 303)

    @app.post("/again")
    def again() -> AnyResponse:
        leave()
        return redirect(url_for("home"), 303)

    @app.get("/code")
    def ask_code() -> AnyResponse | str:
        if "flow" not in session:
            return redirect(url_for("home"), 303)
        return render_template("code.html")

    @app.post("/code")
    def check_code() -> AnyResponse | tuple[str, int]:
        flow = session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        code = request.form.get("code", "").strip()
        try:
            waitcall.check(flow["id"], code)
        except CodeMismatch:
            return render_template("code.html", problem=g.t["wrong_code"], code=code), 422
        except WaitcallError as error:
            return neutral(error)
        # The hosted page gives the result, also after a code.
        return redirect(url_for("go_on"), 303)

    @app.post("/logout")
    def log_out() -> AnyResponse:
        renew()
        return redirect(url_for("home"), 303)

    @app.post("/waitcall")
    @protection.exempt  # type: ignore[untyped-decorator]  # a signature protects it, and Flask-WTF has no types
    def hear() -> Response:
        """Receive a webhook. Its event is only a hint, so it just changes what the first page says."""
        try:
            event = webhooks.read(request.get_data(), dict(request.headers))
        except WebhookRejected:
            return Response(status=400)
        told[event.verification_id] = event.type
        return Response(status=204)

    def leave() -> None:
        """Cancel the verification, so that the number is free again, and renew the session."""
        flow = session.get("flow")
        if flow is not None:
            told.pop(flow["id"], None)
            with suppress(WaitcallError):
                waitcall.cancel(flow["id"])
        renew()

    def refuse(error: WaitcallError) -> None:
        app.logger.warning("waitcall: %s", error)
        session["refused"] = True

    def neutral(error: WaitcallError) -> tuple[str, int]:
        phone = session.get("flow", {}).get("phone", "")
        leave()
        refuse(error)
        return shown(problem=g.t["not_now"], phone=phone), 409

    return app
