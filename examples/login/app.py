"""Log in by a call. The person goes to waitcall's page and comes back with a result; only this server can redeem it.

What a visitor is told never depends on whether an account exists: it is looked up after the number is proven.
"""

import secrets

from flask import Flask, Response, g, redirect, render_template, request, url_for
from waitcall_client import Verification, Waitcall, WaitcallError, WebhookRejected, Webhooks
from waitcall_client.problems import AlreadyConsumed, CodeMismatch, Expired, InvalidPhoneNumber
from werkzeug.wrappers import Response as AnyResponse

from examples.login.texts import TEXTS
from examples.web import create_app

PURPOSE = "login"


def login_app(waitcall: Waitcall, webhooks: Webhooks, address: str) -> Flask:
    """The app.

    Args:
        waitcall: the client.
        webhooks: verifies what waitcall tells.
        address: of this app as browsers reach it; an origin that waitcall's policy allows.
    """
    app = create_app(__name__, TEXTS)
    accounts: dict[str, str] = {}
    told: dict[str, str] = {}

    @app.get("/")
    def home() -> str:
        flow = g.session.get("flow", {})
        verified = told.get(flow.get("id")) == "verification.verified"
        prefilled = request.args.get("phone", "")
        return render_template("login.html", flow=flow, verified=verified, phone=prefilled)

    @app.post("/login")
    def begin() -> AnyResponse | tuple[str, int]:
        return start(request.form.get("phone", ""))

    def start(phone: str, channel: str | None = None) -> AnyResponse | tuple[str, int]:
        reference = secrets.token_urlsafe(16)
        try:
            made = waitcall.start(
                phone,
                purpose=PURPOSE,
                reference=reference,
                locale=g.lang,
                client_ip=request.remote_addr,
                channel=channel,
                return_url=f"{address}{url_for('back')}",
            )
        except InvalidPhoneNumber:
            return render_template("login.html", flow={}, problem=g.t["not_a_number"]), 422
        except WaitcallError as error:
            return neutral(error)
        g.session["flow"] = {
            "id": made.id,
            "reference": reference,
            "page": made.hosted_url,
            "phone": phone,
            "next": made.next_channel,
        }
        return onward(made, g.session["flow"])

    @app.get("/phone")
    def back() -> AnyResponse | tuple[str, int]:
        """From waitcall's page, with a result, or with a wish."""
        flow = g.session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        result, outcome = request.args.get("result"), request.args.get("outcome")
        try:
            if result is not None:
                return enter(flow, result)
            if outcome == "fallback":
                return another_way(flow)
            if outcome == "code":
                return redirect(url_for("ask_code"), 303)
            if outcome in ("start_again", "canceled"):
                waitcall.cancel(flow["id"])
                g.session.pop("flow")
        except AlreadyConsumed:
            # Another tab was here before; what its session says is true for this one.
            return redirect(url_for("home"), 303)
        except WaitcallError as error:
            return neutral(error)
        return redirect(url_for("home"), 303)

    def another_way(flow: dict[str, str]) -> AnyResponse | tuple[str, int]:
        try:
            return onward(waitcall.fall_back(flow["id"]), flow)
        except Expired:
            return start(flow["phone"], flow["next"])

    def onward(moved: Verification, flow: dict[str, str]) -> AnyResponse:
        return redirect(url_for("ask_code") if moved.channel == "code" else flow["page"], 303)

    def enter(flow: dict[str, str], result: str) -> AnyResponse:
        # First redeem, then upgrade the session: a proof that somebody else used upgrades nobody.
        proof = waitcall.consume(flow["id"], purpose=PURPOSE, reference=flow["reference"], result=result)
        account = accounts.setdefault(proof.phone_number, secrets.token_hex(8))
        told.pop(flow["id"], None)
        g.session.clear()
        g.session |= {"account": account, "phone": proof.phone_number}
        return redirect(url_for("home"), 303)

    @app.get("/code")
    def ask_code() -> AnyResponse | str:
        if "flow" not in g.session:
            return redirect(url_for("home"), 303)
        return render_template("code.html")

    @app.post("/code")
    def check_code() -> AnyResponse | tuple[str, int]:
        flow = g.session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        code = request.form.get("code", "").strip()
        try:
            waitcall.check(flow["id"], code)
        except CodeMismatch:
            return render_template("code.html", problem=g.t["wrong_code"]), 422
        except WaitcallError as error:
            return neutral(error)
        # The page gives the result, also for a code.
        return redirect(flow["page"], 303)

    @app.post("/logout")
    def leave() -> AnyResponse:
        g.session.clear()
        return redirect(url_for("home"), 303)

    @app.post("/waitcall")
    def hear() -> Response:
        """An event is a hint, never a proof: it lets the first page say that one may go on."""
        try:
            event = webhooks.read(request.get_data(), dict(request.headers))
        except WebhookRejected:
            return Response(status=400)
        told[event.verification_id] = event.type
        return Response(status=204)

    def neutral(error: WaitcallError) -> tuple[str, int]:
        app.logger.warning("waitcall: %s", error)
        g.session.pop("flow", None)
        return render_template("login.html", flow={}, problem=g.t["not_now"]), 409

    return app
