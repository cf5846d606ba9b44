"""Password reset by a call from the number and then a code to it (assurance ``roundtrip``). The app's own page polls.

Everyone sees the same pages and must give the same proof. Only a person who has proven the number learns whether it has an
account. The account is looked up only then, so no earlier page takes longer for a number with an account. If waitcall refuses
a number, the page still shows a number to call, and a text to send. No GET request sends or changes anything.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask, g, jsonify, redirect, render_template, request, session, url_for
from waitcall_client import Call, Channel, Problem, Status, TextIn, Verification, Waitcall, WaitcallError
from waitcall_client.problems import CodeMismatch, InvalidPhoneNumber, RateLimited
from werkzeug.security import generate_password_hash
from werkzeug.wrappers import Response as AnyResponse

from examples.password_reset.texts import TEXTS
from examples.web import create_app, in_equal_time, renew

PURPOSE = "password_reset"
SHORTEST_PASSWORD = 12
POLL_SECONDS = 20
OUTAGE = 500
"""Problems with this HTTP status or above say nothing about the number."""
WINDOW_SECONDS = 600
"""Window of the policy, in seconds. A decoy lasts as long."""
LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Letters of the texts that waitcall asks for. A decoy's text has them too."""


@dataclass
class Decoy:
    """Replacement for the record of a number that waitcall refused. A call or a text to its numbers proves nothing."""

    call: Call
    text_in: TextIn
    next_channel: str = Channel.TEXT_IN


def reset_app(
    waitcall: Waitcall,
    accounts: dict[str, str],
    address: str = "",
    links: Mapping[str, str] | None = None,
) -> Flask:
    """Create the app.

    Args:
        waitcall: client of waitcall.
        accounts: hash of the password, by number in E.164.
        address: URL of this app as browsers reach it.
        links: URLs of ``login``, ``reset`` and ``handset``, to which every page links.
    """
    app, _ = create_app(__name__, TEXTS, address=address, links=links)
    # The decoy shows the last real numbers. Begin with a number of your provider's pool, and your number for texts.
    decoy = Decoy(
        Call("+79585550100", "+7 958 555-01-00", "tel:+79585550100"),
        TextIn("+79585550000", "+7 958 555-00-00", "ABCDEFGH", ""),
    )

    @app.get("/")
    def home() -> str:
        """Show the first form. If a reset is under way, show the ways to go on and to start again instead."""
        begun = "flow" in session or "decoy" in session
        ahead = url_for("confirm") if begun else url_for("new_password") if "proven" in session else None
        return render_template(
            "reset.html",
            phone=request.args.get("phone", ""),
            ahead=ahead,
            begun=begun,
        )

    @app.post("/reset")
    def begin() -> AnyResponse | tuple[str, int]:
        with in_equal_time(first=True):
            leave()
            reference = secrets.token_urlsafe(16)
            phone = session["typed"] = request.form.get("phone", "")
            try:
                made = waitcall.start(
                    phone,
                    purpose=PURPOSE,
                    reference=reference,
                    locale=g.lang,
                    client_ip=request.remote_addr,
                )
            except InvalidPhoneNumber:
                return render_template("reset.html", problem=g.t["not_a_number"], phone=phone), 422
            except WaitcallError as error:
                if not isinstance(error, Problem) or error.status >= OUTAGE:
                    return neutral(error)
                # The number may be in use, blocked, limited or of another country. All get the same answer.
                app.logger.warning("waitcall: %s", error)
                session["decoy"] = {"until": time.time() + WINDOW_SECONDS, "step": Channel.CALL}
            else:
                decoy.call = made.call or decoy.call
                session["flow"] = {"id": made.id, "reference": reference}
        return redirect(url_for("confirm"), 303)

    @app.get("/confirm")
    @in_equal_time()
    def confirm() -> AnyResponse | str | tuple[str, int]:
        """Show the person's next step."""
        flow = session.get("flow")
        if flow is None:
            return misled()
        try:
            record = waitcall.read(flow["id"])
        except WaitcallError as error:
            return sorry(error, session["typed"])
        if record.status not in (Status.PENDING, Status.VERIFIED):
            return sorry(None, session["typed"])
        decoy.text_in = record.text_in or decoy.text_in
        return render_template("confirm.html", record=record, step=step_of(record))

    def misled() -> AnyResponse | str | tuple[str, int]:
        shown = session.get("decoy")
        if shown is None:
            return redirect(url_for("home"), 303)
        if time.time() >= shown["until"]:
            return sorry(None, session["typed"])
        text, number = shown.get("text", ""), decoy.text_in.number
        text_in = replace(decoy.text_in, text=text, uri=f"sms:{number}?body={text}")
        return render_template("confirm.html", record=Decoy(decoy.call, text_in), step=shown["step"])

    @app.get("/state")
    def state() -> Any:
        """Answer the page's poll with the current step, as soon as it differs from the step that the page shows."""
        flow = session.get("flow")
        # If the page shows an older step, the answer comes at once.
        shown = request.args.get("step", Channel.CALL)
        if flow is None:
            until, step = (session.get("decoy", {}).get(name) for name in ("until", "step"))
            if shown == step:
                time.sleep(max(min(until - time.time(), POLL_SECONDS), 0))
            return jsonify(step=step if step and time.time() < until else "over")
        try:
            return jsonify(step=step_of(waitcall.read(flow["id"], wait_seconds=POLL_SECONDS, channel=shown)))
        except Problem:
            return jsonify(step="over")

    @app.post("/another-way")
    @in_equal_time()
    def another_way() -> AnyResponse | tuple[str, int]:
        # The answer sets the cookie, whether or not the session has a decoy.
        session.modified = True
        if session.get("decoy", {}).get("step") == Channel.CALL:
            text = "".join(secrets.choice(LETTERS) for _ in decoy.text_in.text)
            session["decoy"] = {"until": time.time() + WINDOW_SECONDS, "step": Channel.TEXT_IN, "text": text}
            return redirect(url_for("confirm"), 303)
        return acted(lambda flow: waitcall.fall_back(flow["id"]))

    @app.post("/send")
    @in_equal_time()
    def send() -> AnyResponse | tuple[str, int]:
        return acted(lambda flow: waitcall.resend(flow["id"]))

    @app.post("/code")
    @in_equal_time()
    def check_code() -> AnyResponse | tuple[str, int]:
        flow = session.get("flow")
        if flow is None:
            return neutral(None) if "decoy" in session else redirect(url_for("home"), 303)
        code = request.form.get("code", "").strip()
        try:
            record = waitcall.check(flow["id"], code)
        except CodeMismatch:
            try:
                record = waitcall.read(flow["id"])
            except WaitcallError as error:
                return neutral(error)
            if record.is_pending:
                problem = g.t["wrong_code"]
                return render_template(
                    "confirm.html", record=record, step="code", problem=problem, code=code
                ), 422
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
        renew()
        session["proven"] = proof.phone_number
        return redirect(url_for("new_password"), 303)

    @app.get("/password")
    def new_password() -> AnyResponse | str:
        if "proven" not in session:
            return redirect(url_for("home"), 303)
        return render_template("password.html", known=session["proven"] in accounts)

    @app.post("/password")
    def set_password() -> AnyResponse | str | tuple[str, int]:
        proven = session.get("proven")
        if proven not in accounts:
            return redirect(url_for("home"), 303)
        password = request.form.get("password", "")
        if len(password) < SHORTEST_PASSWORD:
            return render_template("password.html", known=True, problem=g.t["too_short"]), 422
        # A real service also ends all sessions of the account, and notifies its owner.
        accounts[proven] = generate_password_hash(password)
        renew()
        return render_template("reset.html", done=True)

    @app.post("/again")
    @in_equal_time()
    def again() -> AnyResponse:
        leave()
        return redirect(url_for("home"), 303)

    def acted(act: Callable[[dict[str, str]], object]) -> AnyResponse | tuple[str, int]:
        flow = session.get("flow")
        if flow is None:
            return neutral(None) if "decoy" in session else redirect(url_for("home"), 303)
        try:
            act(flow)
        except RateLimited:
            # It is too early for another code. Show the page again, and the person can try later.
            return redirect(url_for("confirm"), 303)
        except WaitcallError as error:
            return neutral(error)
        return redirect(url_for("confirm"), 303)

    def leave() -> None:
        """Cancel the verification, so that the number is free again, and renew the session."""
        flow = session.get("flow")
        if flow is not None:
            with suppress(WaitcallError):
                waitcall.cancel(flow["id"])
        renew()

    def neutral(error: WaitcallError | None) -> tuple[str, int]:
        typed = session.get("typed", "")
        leave()
        return sorry(error, typed)

    def sorry(error: WaitcallError | None, typed: str) -> tuple[str, int]:
        if error is not None:
            app.logger.warning("waitcall: %s", error)
        return render_template("reset.html", problem=g.t["not_now"], phone=typed), 409

    return app


def step_of(record: Verification) -> str:
    """Return the step to show: ``call``, ``text_in``, ``send`` (a code must be sent), ``code``, ``verified`` or ``over``."""
    if record.is_pending:
        return "send" if record.channel == Channel.CODE and record.code is None else str(record.channel)
    return "verified" if record.is_verified else "over"
