"""Control API of the simulator: dial, send any message, plan faults, read the ledger, move the clock, reset."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import Flask, Response, jsonify, render_template, request

from simulator.cabinet import Cabinet
from simulator.dialler import CODECS, SIGNED, Delivery, Dialler, Handler
from simulator.exchange import Exchange
from simulator.faults import FaultPlan
from simulator.fixed import Subscribers
from simulator.messages import PostOffice, Sent
from simulator.orders import BadOrder, digits_of, order_given
from simulator.own_numbers import LEVELS, Call, Trunk, report
from simulator.smsru import POOL, Callcheck, entry_of, post
from simulator.texts import add_texts

CALLER = "+79991234567"
"""Number that the handset has at first."""
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_control(  # noqa: PLR0913  it takes all parts of the simulator
    exchange: Exchange,
    faults: FaultPlan,
    dialler: Dialler,
    lock: threading.RLock,
    released: threading.Event,
    clock: Callable[[], float],
    advance: Callable[[float], None],
    office: PostOffice,
    cabinet: Cabinet,
    deliver: Callable[[Sent, int, int], list[dict[str, Any]]],
    callcheck: Callcheck,
    smsru_faults: FaultPlan,
    subscribers: Subscribers,
    examples: Mapping[str, str],
    own: Mapping[str, Trunk],
) -> Flask:
    """Create the Flask app of the control API and the handset page, which links to the examples."""
    app = Flask("simulator.control")

    @app.errorhandler(BadOrder)
    def bad_order(error: BadOrder) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        return response

    @app.get("/")
    def handset() -> str:
        """Show the handset of the subscriber ``?phone=``."""
        phone = request.args.get("phone") or CALLER
        return render_template("handset.html", phone=phone, examples=examples, own=bool(own))

    @app.get("/orders")
    def orders() -> Response:
        """List the numbers that ``?phone=`` may dial now, the latest order last."""
        phone, now = request.args.get("phone", "").strip().lstrip("+"), clock()
        with lock:
            numbers = exchange.live(phone, now) + callcheck.live(phone, now)
        return jsonify(numbers=[number for _, number in sorted(numbers)])

    @app.post("/dial")
    def dial() -> Response:
        """Make a call from ``cli`` to ``did``. The providers do not report a call with a ``hidden`` number.

        The callback contains only ``cli``, like the real one. The inbox shows ``to_phone`` as the dialled number. ``attestation`` and
        ``forwarded_from`` are of a call to a number of the service's own.
        """
        order = order_given()
        cli, did = digits_of(order, "cli"), digits_of(order, "did")
        now = clock()
        if did in own:
            return dial_own(order, cli, did, now)
        if order.get("hidden") or subscribers.is_silent(cli):
            return jsonify(reported=False, sent=[])
        if did in POOL:
            return dial_smsru(order, cli, did, now)
        with lock:
            reported = exchange.call(cli, did, now, order.get("to_phone", ""))
            exchange.ledger.append({"at": now, "door": "phone", "cli": cli, "did": did, "reported": reported})
        if not reported:
            return jsonify(reported=False, sent=[])
        if order.get("lose"):
            return jsonify(reported=True, sent=[])
        fields = {"waitcall": "1", "phone": cli, "ts": str(order.get("ts", int(now)))}
        sent = dialler.send(_handler(order), dialler.temper(_delivery(order)), "call", fields)
        return jsonify(reported=True, sent=sent)

    def dial_smsru(order: dict[str, Any], cli: str, did: str, now: float) -> Response:
        with lock:
            called = callcheck.call(cli, did, now)
            seen = {"at": now, "door": "phone", "cli": cli, "did": did, "reported": bool(called)}
            exchange.ledger.append(seen)
        if not called or order.get("lose") or not callcheck.account.handler:
            return jsonify(reported=bool(called), sent=[])
        told = [post(callcheck.account, [entry_of(each, now) for each in called])]
        with lock:
            exchange.ledger.extend({"at": now} | each for each in told)
        return jsonify(reported=True, sent=told)

    def dial_own(order: dict[str, Any], cli: str, did: str, now: float) -> Response:
        level, forwarded_from = order.get("attestation") or "", str(order.get("forwarded_from") or "")
        if level not in ("", *LEVELS):
            raise BadOrder(f"attestation must be one of {', '.join(LEVELS)}")
        call = Call(cli, did, now, level, withheld=bool(order.get("hidden")), forwarded_from=forwarded_from)
        heard, told = "busy", []
        for _ in range(0 if order.get("lose") else int(order.get("copies", 1))):
            heard, sent = report(own[did], call)
            told += sent
        with lock:
            exchange.ledger.append({"at": now, "door": "phone", "cli": cli, "did": did, "reported": True})
            exchange.ledger.extend({"at": now} | each for each in told)
        return jsonify(reported=True, sent=told, heard=heard)

    add_texts(app, exchange, office, cabinet, dialler, lock, clock, deliver)

    @app.post("/message")
    def message() -> Response:
        """Send a signed message of any ``kind`` with any ``fields``, even if no order was placed."""
        order = order_given()
        kind, fields = order.get("kind"), order.get("fields")
        if kind not in SIGNED or not isinstance(fields, dict) or set(SIGNED[kind]) - set(fields):
            raise BadOrder("kind must be call, sms or status, with the fields that its hash covers")
        texts = {str(name): str(value) for name, value in fields.items()}
        return jsonify(sent=dialler.send(_handler(order), _delivery(order), kind, texts))

    @app.post("/faults")
    def plan() -> Response:
        """Replace the fault plan of a provider: ``{steps: [{kind, value}], always: {kind, value}, provider}``."""
        order = order_given()
        planned = smsru_faults if order.get("provider") == "smsru" else faults
        with lock:
            try:
                planned.load(order.get("steps", []), order.get("always"))
            except ValueError as error:
                raise BadOrder(str(error)) from error
        # Requests that hang because of the old plan end now.
        released.set()
        released.clear()
        return jsonify(planned=True)

    @app.get("/ledger")
    def ledger() -> Response:
        with lock:
            return jsonify(ledger=list(exchange.ledger))

    @app.post("/clock")
    def move_clock() -> Response:
        """Move the clock by ``advance`` seconds."""
        seconds = order_given().get("advance")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise BadOrder("advance must be seconds")
        advance(seconds)
        return jsonify(now=clock())

    @app.post("/seed")
    def seed() -> Response:
        """Seed the random numbers, so that a run can be repeated."""
        with lock:
            exchange.rng.seed(order_given().get("seed"))
        return jsonify(seeded=True)

    @app.post("/reset")
    def reset() -> Response:
        with lock:
            exchange.reset()
            office.reset()
            cabinet.reset()
            callcheck.checks.clear()
            faults.load([], None)
            smsru_faults.load([], None)
        released.set()
        released.clear()
        return jsonify(reset=True)

    def _handler(order: dict[str, Any]) -> Handler:
        names = {name: order[name] for name in ("hash", "form", "charset", "secret") if name in order}
        handler = replace(dialler.handler, **names)
        allowed = {"hash": ("md5", "sha1", "crc32"), "form": ("form", "xml", "json"), "charset": CODECS}
        for name, words in allowed.items():
            if getattr(handler, name) not in words:
                raise BadOrder(f"{name} must be one of {', '.join(words)}")
        return handler

    return app


def _delivery(order: dict[str, Any]) -> Delivery:
    method = order.get("method", "POST")
    if method not in ("GET", "POST"):
        raise BadOrder("method must be GET or POST")
    return Delivery(
        method,
        tuple(order.get("in_query", ())),
        float(order.get("delay_seconds", 0)),
        int(order.get("copies", 1)),
    )
