"""Control API for texts and tasks: texts that phones receive and send, delivery reports, tasks, captcha pictures."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Flask, Response, jsonify, request

from simulator.cabinet import DONE, Cabinet
from simulator.dialler import Delivery, Dialler
from simulator.exchange import Exchange
from simulator.messages import PostOffice, Sent
from simulator.orders import BadOrder, digits_of, order_given


def add_texts(  # noqa: PLR0913  it takes most parts of the simulator
    app: Flask,
    exchange: Exchange,
    office: PostOffice,
    cabinet: Cabinet,
    dialler: Dialler,
    lock: threading.RLock,
    clock: Callable[[], float],
    deliver: Callable[[Sent, int, int], list[dict[str, Any]]],
) -> None:
    """Add the routes to the control API's app."""

    @app.get("/messages")
    def messages() -> Response:
        """List the texts that were sent to ``?phone=``, delivered or not; to all phones if it is missing."""
        phone = request.args.get("phone", "").strip().lstrip("+")
        with lock:
            return jsonify(messages=[asdict(each) for each in office.sent if phone in ("", each.phone)])

    @app.post("/text")
    def text() -> Response:
        """Send ``text`` from ``cli`` to the number ``to``. ``lose`` drops the callback, ``delay_seconds`` delays it."""
        order = order_given()
        cli, to, words = digits_of(order, "cli"), digits_of(order, "to"), str(order.get("text", ""))
        with lock:
            exchange.text(cli, to, words, clock())
        if order.get("lose"):
            return jsonify(sent=[])
        fields = {"phone": cli, "mes": words, "to": to, "ts": str(int(clock()))}
        delivery = dialler.temper(Delivery(delay_seconds=float(order.get("delay_seconds", 0))))
        return jsonify(sent=dialler.send(dialler.handler, delivery, "sms", fields))

    @app.post("/deliver")
    def delivered() -> Response:
        """Set the ``status`` and ``err`` of the message ``id`` to ``phone``, and report it to the handler."""
        order = order_given()
        with lock:
            found = office.find(int(order.get("id", 0)), digits_of(order, "phone"))
        if found is None:
            raise BadOrder("no such message")
        return jsonify(sent=deliver(found, int(order.get("status", 1)), int(order.get("err", 0))))

    @app.get("/picture")
    def picture() -> Response:
        """Return the code in the latest picture that the address ``?user_ip=`` was shown."""
        with lock:
            return jsonify(code=office.pictures.get(request.args.get("user_ip", "")))

    @app.post("/task")
    def task() -> Response:
        """Add a task with ``name`` and ``status`` that reports all messages sent so far."""
        order = order_given()
        with lock:
            stamp = time.strftime("%d.%m.%Y %H:%M:%S", time.gmtime(clock() + exchange.utc_offset))
            status = int(order.get("status", DONE))
            made = cabinet.add_task(str(order.get("name", "report")), stamp, status, office.sent)
        return jsonify(made.listed())
