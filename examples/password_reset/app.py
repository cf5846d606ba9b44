"""Reset a password: a call from the number, then a code to it (assurance ``roundtrip``). The page is our own, and polls.

Everybody is asked for the same proof and shown the same pages; whether the number has an account is told to whoever has
proven it, and to nobody else. No page takes longer for an account than for none, because none is looked up before.
"""

import secrets
from typing import Any

from flask import Flask, g, jsonify, redirect, render_template, request, url_for
from waitcall_client import Channel, Problem, Status, Verification, Waitcall, WaitcallError
from waitcall_client.problems import CodeMismatch, InvalidPhoneNumber, RateLimited
from werkzeug.security import generate_password_hash
from werkzeug.wrappers import Response as AnyResponse

from examples.password_reset.texts import TEXTS
from examples.web import create_app

PURPOSE = "password_reset"
SHORTEST_PASSWORD = 12
POLL_SECONDS = 20


def reset_app(waitcall: Waitcall, accounts: dict[str, str]) -> Flask:
    """The app.

    Args:
        waitcall: the client.
        accounts: number in E.164 → hash of the password.
    """
    app = create_app(__name__, TEXTS)

    @app.get("/")
    def home() -> str:
        return render_template("reset.html", phone=request.args.get("phone", ""))

    @app.post("/reset")
    def begin() -> AnyResponse | tuple[str, int]:
        reference = secrets.token_urlsafe(16)
        try:
            made = waitcall.start(
                request.form.get("phone", ""),
                purpose=PURPOSE,
                reference=reference,
                locale=g.lang,
                client_ip=request.remote_addr,
            )
        except InvalidPhoneNumber:
            return render_template("reset.html", problem=g.t["not_a_number"]), 422
        except WaitcallError as error:
            return neutral(error)
        g.session.clear()
        g.session["flow"] = {"id": made.id, "reference": reference}
        return redirect(url_for("confirm"), 303)

    @app.get("/confirm")
    def confirm() -> AnyResponse | str | tuple[str, int]:
        """Whatever the person has to do next."""
        flow = g.session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        try:
            record = waitcall.read(flow["id"])
            if record.is_pending and record.channel == Channel.CODE and record.code is None:
                # The call has come: the second step begins.
                record = waitcall.resend(flow["id"])
        except WaitcallError as error:
            return neutral(error)
        if record.status not in (Status.PENDING, Status.VERIFIED):
            return neutral(None)
        return render_template("confirm.html", record=record, step=step_of(record))

    @app.get("/state")
    def state() -> Any:
        """For the page's poll: held until there is another step."""
        flow = g.session.get("flow")
        if flow is None:
            return jsonify(step="over")
        try:
            # What the page does not show yet is told at once.
            shown = request.args.get("step", Channel.CALL)
            return jsonify(step=step_of(waitcall.read(flow["id"], wait_seconds=POLL_SECONDS, channel=shown)))
        except Problem:
            return jsonify(step="over")

    @app.post("/another-way")
    def another_way() -> AnyResponse | tuple[str, int]:
        return acted(lambda flow: waitcall.fall_back(flow["id"]))

    @app.post("/send-again")
    def send_again() -> AnyResponse | tuple[str, int]:
        return acted(lambda flow: waitcall.resend(flow["id"]))

    @app.post("/code")
    def check_code() -> AnyResponse | tuple[str, int]:
        flow = g.session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        try:
            record = waitcall.check(flow["id"], request.form.get("code", "").strip())
        except CodeMismatch:
            record = waitcall.read(flow["id"])
            if record.is_pending:
                shown = render_template("confirm.html", record=record, step="code", problem=g.t["wrong_code"])
                return shown, 422
            return neutral(None)
        except WaitcallError as error:
            return neutral(error)
        if record.is_verified:
            return redeem(flow)
        return redirect(url_for("confirm"), 303)

    def redeem(flow: dict[str, str]) -> AnyResponse | tuple[str, int]:
        try:
            proof = waitcall.consume(flow["id"], purpose=PURPOSE, reference=flow["reference"])
        except WaitcallError as error:
            return neutral(error)
        g.session.clear()
        g.session["proven"] = proof.phone_number
        return redirect(url_for("new_password"), 303)

    @app.get("/password")
    def new_password() -> AnyResponse | str:
        if "proven" not in g.session:
            return redirect(url_for("home"), 303)
        return render_template("password.html", known=g.session["proven"] in accounts)

    @app.post("/password")
    def set_password() -> AnyResponse | str | tuple[str, int]:
        proven = g.session.get("proven")
        if proven not in accounts:
            return redirect(url_for("home"), 303)
        password = request.form.get("password", "")
        if len(password) < SHORTEST_PASSWORD:
            return render_template("password.html", known=True, problem=g.t["too_short"]), 422
        # A real service also ends all sessions of the account, and tells its owner.
        accounts[proven] = generate_password_hash(password)
        g.session.clear()
        return render_template("reset.html", done=True)

    def acted(act: Any) -> AnyResponse | tuple[str, int]:
        flow = g.session.get("flow")
        if flow is None:
            return redirect(url_for("home"), 303)
        try:
            act(flow)
        except RateLimited:
            # Too soon for another code; the page says when.
            return redirect(url_for("confirm"), 303)
        except WaitcallError as error:
            return neutral(error)
        return redirect(url_for("confirm"), 303)

    def neutral(error: WaitcallError | None) -> tuple[str, int]:
        if error is not None:
            app.logger.warning("waitcall: %s", error)
        g.session.clear()
        return render_template("reset.html", problem=g.t["not_now"]), 409

    return app


def step_of(record: Verification) -> str:
    """What the person sees: ``call``, ``text_in``, ``code``, ``verified`` or ``over``."""
    if record.is_pending:
        return str(record.channel)
    return "verified" if record.is_verified else "over"
