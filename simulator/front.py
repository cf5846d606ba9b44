"""HTTP API of smsc: wait_call.php, get.php and balance.php. services.py has the other endpoints."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from xml.sax.saxutils import escape

from flask import Flask, Response, request

from simulator.cabinet import Cabinet
from simulator.exchange import POOL, Exchange, ProviderError
from simulator.faults import Fault, FaultPlan
from simulator.fixed import Subscribers
from simulator.messages import PostOffice, Sent
from simulator.services import add_cabinet, add_messages

CHARSETS = {"windows-1251": "cp1251", "utf-8": "utf-8", "koi8-r": "koi8-r"}
LONGEST_HANG_SECONDS = 60
STATUS_LINE = (
    "status",
    "last_timestamp",
    "err",
    "send_timestamp",
    "phone",
    "cost",
    "sender_id",
    "status_name",
    "message",
)
"""Values of status.php with ``fmt=1``, in the order in which the provider's own library reads them."""
PREMIUM = "78095551234"


def create_front(  # noqa: PLR0913  it takes most parts of the simulator
    exchange: Exchange,
    faults: FaultPlan,
    lock: threading.RLock,
    released: threading.Event,
    clock: Callable[[], float],
    office: PostOffice,
    cabinet: Cabinet,
    taken: Callable[[Sent], None],
    subscribers: Subscribers,
) -> Flask:
    """Create the Flask app of the provider's API. It calls ``taken`` for each message that it accepts."""
    app = Flask("simulator.front", static_folder=None)

    @app.route("/sys/wait_call.php", methods=["GET", "POST"])
    def wait_call() -> Response:
        fields = request.values.to_dict()
        with lock:
            fault = faults.next()
            seen = {"at": clock(), "method": request.method, "query": request.query_string.decode("latin-1")}
            exchange.ledger.append(
                {"door": "front", "endpoint": "wait_call", "fields": _shown(fields), **seen}
                | {"fault": fault.kind if fault else None},
            )
        if fault is not None and fault.kind == "slow":
            released.wait(float(fault.value))
        elif fault is not None:
            return _faulty(fault, fields, released)

        def order() -> dict[str, Any]:
            phone = fields.get("phone", "")
            if subscribers.refuses(phone):
                raise ProviderError(1)
            number, pool = exchange.order(phone, clock())
            subscribers.ordered(phone, number)
            return {"phone": number, "all_phones": list(pool)}

        return answer(fields, "wait_call", order)

    @app.route("/sys/get.php", methods=["GET", "POST"])
    def get_answers() -> Response:
        fields = request.values.to_dict()
        with lock:
            seen = {"endpoint": "get_answers", "fields": _shown(fields), "at": clock()}
            exchange.ledger.append({"door": "front"} | seen)

        def inbox() -> list[dict[str, Any]]:
            if fields.get("get_answers") != "1":
                raise ProviderError(1)
            count = min(int(fields.get("cnt") or 10000), 10000)
            to_phone = fields.get("to_phone", "").removeprefix("+")
            records = exchange.answers(int(fields.get("after_id") or 0), count, to_phone)
            oldest = clock() - 3600 * float(fields["hour"]) if fields.get("hour") else 0
            return [_inbox_record(r, exchange.utc_offset) for r in records if r["at"] >= oldest]

        return answer(fields, "get_answers", inbox)

    @app.route("/sys/balance.php", methods=["GET", "POST"])
    def balance() -> Response:
        fields = request.values.to_dict()
        currency = {"currency": "RUB"} if fields.get("cur") == "1" else {}
        return answer(fields, "balance", lambda: {"balance": exchange.balance} | currency)

    def answer(fields: dict[str, str], endpoint: str, produce: Callable[[], Any]) -> Response:
        with lock:
            try:
                exchange.admit(fields, endpoint, clock())
                result = produce()
            except ProviderError as error:
                return _written(fields, {"error": str(error), "error_code": error.code})
            except ValueError:
                return _written(fields, {"error": "parameters error", "error_code": 1})
        return _written(fields, result)

    def faulty(fault: Fault, fields: dict[str, str]) -> Response:
        return _faulty(fault, fields, released)

    add_messages(app, exchange, office, faults, lock, clock, answer, faulty, taken)
    add_cabinet(app, exchange, cabinet, clock, answer)
    return app


def _shown(fields: dict[str, str]) -> dict[str, str]:
    return {name: "***" if name in ("psw", "apikey") else value for name, value in fields.items()}


def _written(fields: dict[str, str], result: Any) -> Response:
    """Return the result in the requested ``fmt`` and ``charset``. Only fmt=3 is documented in full."""
    codec = CHARSETS.get(fields.get("charset", "windows-1251"), "cp1251")
    fmt = fields.get("fmt", "0")
    if fmt == "3":
        return Response(json.dumps(result, ensure_ascii=False).encode(codec), content_type="application/json")
    if isinstance(result, dict) and "error_code" in result:
        text = {
            "1": f"0,-{result['error_code']}",
            "2": f"<result><error>{result['error']}</error><error_code>{result['error_code']}</error_code></result>",
        }.get(fmt, f"ERROR = {result['error_code']} ({result['error']})")
    elif isinstance(result, list):
        text = "\n".join(
            _plain(record, fmt)
            if "status" in record
            else ", ".join(f"{name} = {value}" for name, value in record.items())
            for record in result
        )
    elif "balance" in result and "id" not in result:
        text = {"2": f"<balance>{result['balance']}</balance>"}.get(fmt, result["balance"])
    elif "all_phones" not in result:
        text = _plain(result, fmt)
    else:
        pool = ",".join(result["all_phones"])
        text = {
            "1": f"{result['phone']},{pool}",
            "2": f"<result><phone>{result['phone']}</phone><all_phones>{escape(pool)}</all_phones></result>",
        }.get(fmt, f"OK - phone: {result['phone']}, all_phones: {pool}")
    return Response(text.encode(codec), content_type="text/plain")


def _plain(result: dict[str, Any], fmt: str) -> str:
    if fmt == "2":
        return f"<result>{''.join(f'<{name}>{escape(str(value))}</{name}>' for name, value in result.items())}</result>"
    if fmt == "1":
        names = (
            [name for name in STATUS_LINE if name in result] if "last_timestamp" in result else list(result)
        )
        return ",".join(str(result[name]) for name in names)
    if "last_date" in result:
        return f"Status = {result['status']}, check_time = {result['last_date']}"
    if "cnt" in result and "id" in result:
        return f"OK - {result['cnt']} SMS, ID - {result['id']}"
    return ", ".join(f"{name.capitalize()} = {value}" for name, value in result.items())


def _inbox_record(record: dict[str, Any], utc_offset: int) -> dict[str, Any]:
    stamp = time.strftime("%d.%m.%Y %H:%M:%S", time.gmtime(record["at"] + utc_offset))
    return {
        "id": record["id"],
        "received": stamp,
        "phone": record["phone"],
        "message": record["message"],
        "to_phone": record["to_phone"],
        "sent": stamp,
    }


def _faulty(fault: Fault, fields: dict[str, str], released: threading.Event) -> Response:
    match fault.kind:
        case "hang":
            released.wait(LONGEST_HANG_SECONDS)
            return Response(status=504)
        case "drip":
            return Response(_drip(released), content_type="application/json")
        case "reset" | "lost":
            # The server closes the connection without sending a byte.
            raise ConnectionResetError
        case "status":
            return Response("upstream trouble", status=int(fault.value))
        case "html":
            return Response("<html><body>Maintenance</body></html>", content_type="text/html")
        case "half":
            return Response('{"phone":"7958555', content_type="application/json")
        case "empty":
            return Response("")
        case "error":
            return _written(fields, {"error": "error", "error_code": fault.value})
        case "premium":
            return _written(fields, {"phone": PREMIUM, "all_phones": [PREMIUM, *POOL]})
        case _:
            return Response(str(fault.value), content_type="application/json")


def _drip(released: threading.Event) -> Iterator[bytes]:
    for byte in b'{"phone":"' + b" " * LONGEST_HANG_SECONDS:
        yield bytes([byte])
        if released.wait(1):
            return
