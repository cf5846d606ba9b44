"""HTTP API of smsc, second part: send.php, status.php, receive_phones.php, downloads.php, imgcode.php."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response, request

from simulator.cabinet import Cabinet, Number
from simulator.exchange import Exchange, ProviderError, international
from simulator.faults import Fault, FaultPlan
from simulator.messages import PRICE, PostOffice, Sent, status_answer
from simulator.picture import png

Answer = Callable[[dict[str, str], str, Callable[[], Any]], Response]
Faulty = Callable[[Fault, dict[str, str]], Response]


def add_messages(  # noqa: PLR0913  it takes most parts of the simulator
    app: Flask,
    exchange: Exchange,
    office: PostOffice,
    faults: FaultPlan,
    lock: threading.RLock,
    clock: Callable[[], float],
    answer: Answer,
    faulty: Faulty,
    taken: Callable[[Sent], None],
) -> None:
    """Add send.php, status.php and imgcode.php to the app. send.php calls ``taken`` for each message that it accepts."""

    @app.route("/sys/send.php", methods=["GET", "POST"])
    @app.route("/rest/send/", methods=["POST"])
    def send() -> Response:
        fields = _given()
        with lock:
            fault = faults.next()
        if fault is not None and fault.kind not in ("lost", "slow"):
            _remember(fields, "refused")
            return faulty(fault, fields)
        sent: list[Sent] = []

        def post() -> dict[str, Any]:
            if fields.get("imgcode") and not office.solves(fields["imgcode"], fields.get("userip", "")):
                raise ProviderError(1)
            if fields.get("cost") == "1":
                return {"cost": PRICE, "cnt": 1}
            phones, text, number, sender = (
                fields.get(each, "") for each in ("phones", "mes", "id", "sender")
            )
            try:
                sent.extend(office.send(phones, text, number, clock(), sender))
            except ValueError as error:
                raise ProviderError(int(str(error))) from error
            answered: dict[str, Any] = {"id": sent[0].id, "cnt": len(sent)}
            if fields.get("cost") in ("2", "3"):
                answered["cost"] = f"{float(PRICE) * len(sent):.2f}"
            if fields.get("cost") == "3":
                answered["balance"] = exchange.balance
            return answered

        response = answer(fields, "send", post)
        _remember(fields, "sent" if sent else "refused")
        for each in sent:
            taken(each)
        return faulty(fault, fields) if fault is not None and fault.kind == "lost" else response

    def _remember(fields: dict[str, str], outcome: str) -> None:
        shown = {name: "***" if name in ("psw", "apikey") else value for name, value in fields.items()}
        seen = {"endpoint": "send", "fields": shown, "outcome": outcome, "at": clock()}
        with lock:
            exchange.ledger.append({"door": "front", "method": request.method} | seen)

    @app.route("/sys/status.php", methods=["GET", "POST"])
    @app.route("/rest/status/", methods=["POST"])
    def status() -> Response:
        fields = _given()

        def look() -> Any:
            numbers, phones = (
                [part.strip() for part in fields.get(name, "").split(",") if part.strip()]
                for name in ("id", "phone")
            )
            if not numbers or not phones or not all(each.isdecimal() for each in numbers):
                raise ProviderError(1)
            if "," not in fields["id"]:
                return of(numbers[0], phones[0])
            # A comma, also one at the end, makes a list. One id may have several phones, and the other way round.
            most = max(len(numbers), len(phones))
            numbers, phones = (each * most if len(each) == 1 else each for each in (numbers, phones))
            pairs = zip(numbers, phones, strict=False)
            return [of(number, phone) | {"id": int(number)} for number, phone in pairs]

        def of(number: str, phone: str) -> dict[str, Any]:
            found = office.find(int(number), international(phone))
            return status_answer(
                found, partial(_stamp, utc_offset=exchange.utc_offset), fields.get("all", "")
            )

        return answer(fields, "status", look)

    @app.get("/sys/imgcode.php")
    def picture() -> Response:
        with lock:
            code = office.picture(request.remote_addr or "")
            drawn = png(code, exchange.rng)
        return Response(drawn, content_type="image/png", headers={"Cache-Control": "no-store"})


def add_cabinet(
    app: Flask, exchange: Exchange, cabinet: Cabinet, clock: Callable[[], float], answer: Answer
) -> None:
    """Add receive_phones.php and downloads.php to the app."""

    def remember(endpoint: str, fields: dict[str, str], at: float) -> None:
        shown = {name: "***" if name in ("psw", "apikey") else value for name, value in fields.items()}
        exchange.ledger.append({"door": "front", "endpoint": endpoint, "fields": shown, "at": at})

    @app.route("/sys/receive_phones.php", methods=["GET", "POST"])
    def receive_phones() -> Response:
        fields = request.values.to_dict()
        changed: list[Number] = []

        def act() -> Any:
            remember("receive_phones", fields, clock())
            if fields.get("get") == "1":
                return cabinet.free()
            if fields.get("buy") == "1":
                number, cost = cabinet.rent(fields.get("phone", ""), fields.get("noprolong", ""))
                if float(cost) > float(exchange.balance):
                    number.rented = False
                    raise ProviderError(3)
                exchange.balance = f"{float(exchange.balance) - float(cost):.2f}"
                return {"cost": cost}
            if fields.get("chg") == "1":
                changed.append(cabinet.change(fields.get("phone", ""), fields.get("noprolong", "")))
                return {"result": "OK"}
            raise ProviderError(1)

        response = answer(fields, "receive_phones", _coded(act))
        return response if not changed or cabinet.confirmation is None else Response(cabinet.confirmation)

    @app.route("/sys/downloads.php", methods=["GET", "POST"])
    def downloads() -> Response:
        fields = request.values.to_dict()
        files: list[str] = []

        def act() -> Any:
            remember("downloads", fields, clock())
            if fields.get("get_list") == "1":
                return cabinet.listed(int(fields.get("after_id") or 0), int(fields.get("cnt") or 10000))
            if fields.get("get_file") == "1":
                files.append(cabinet.file(fields.get("id", ""), fields.get("name", "")).content)
                return {}
            raise ProviderError(1)

        response = answer(fields, "downloads", _coded(act))
        if not files:
            return response
        body, begin = files[0].encode(), 0
        given = request.headers.get("Range", "")
        if given.startswith("bytes=") and given.endswith("-") and given[6:-1].isdecimal():
            begin = min(int(given[6:-1]), len(body))
        partial = {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"} if begin else {}
        return Response(
            body[begin:],
            status=206 if begin else 200,
            content_type="text/csv; charset=utf-8",
            headers={"Accept-Ranges": "bytes"} | partial,
        )


def _given() -> dict[str, str]:
    """Return the request's fields. The paths below ``/rest/`` take the same names in a JSON object and answer JSON."""
    if not request.path.startswith("/rest/"):
        return request.values.to_dict()
    given = request.get_json(silent=True)
    named = given if isinstance(given, dict) else {}
    lists = {name: ",".join(map(str, each)) for name, each in named.items() if isinstance(each, list)}
    return {name: str(each) for name, each in named.items()} | lists | {"fmt": "3", "charset": "utf-8"}


def _coded(act: Callable[[], Any]) -> Callable[[], Any]:
    def coded() -> Any:
        try:
            return act()
        except ValueError as error:
            code = str(error)
            raise ProviderError(int(code) if code.isdecimal() else 1) from error

    return coded


def _stamp(at: float, utc_offset: int) -> str:
    return time.strftime("%d.%m.%Y %H:%M:%S", time.gmtime(at + utc_offset))
