"""HTTP API of smsc, second part: send.php, status.php, receive_phones.php, downloads.php, imgcode.php."""

import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from simulator.cabinet import Cabinet, Number
from simulator.exchange import Exchange, ProviderError
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
    def send() -> Response:
        fields = request.values.to_dict()
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
            try:
                sent.extend(
                    office.send(
                        fields.get("phones", ""), fields.get("mes", ""), fields.get("id", ""), clock()
                    )
                )
            except ValueError as error:
                raise ProviderError(int(str(error))) from error
            return {"id": sent[0].id, "cnt": len(sent)}

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
    def status() -> Response:
        fields = request.values.to_dict()

        def look() -> dict[str, Any]:
            number = fields.get("id", "").rstrip(",")
            if not number.isdecimal() or not fields.get("phone"):
                raise ProviderError(1)
            found = office.find(int(number), fields["phone"].rstrip(","))
            return status_answer(found, _stamp(found.status_at if found else 0, exchange.utc_offset))

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
