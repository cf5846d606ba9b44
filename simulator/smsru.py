"""Emulation of sms.ru's callcheck (docs/providers/smsru.md): its state, its HTTP API, the batches that its handler gets."""

import hashlib
import random
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request

from simulator.dialler import exchange
from simulator.faults import Fault, FaultPlan
from simulator.fixed import Subscribers

WINDOW_SECONDS = 300
# Toll-free numbers, as in the provider's documentation. The block 555 stands for invented numbers.
POOL = tuple(f"7800555{suffix:04d}" for suffix in (1101, 1102, 1103, 1104, 1105, 1106))
PREMIUM = "78095551234"
WAITING, CONFIRMED, OVER = 400, 401, 402
LONGEST_HANG_SECONDS = 60
TEXTS = {
    100: "OK",
    200: "Wrong api_id",
    202: "Wrong number",
    400: "Not confirmed yet",
    401: "Confirmed",
    402: "Time is over, or no such check",
}


@dataclass(frozen=True)
class SmsruAccount:
    """Key of an account, and its registered handler URL; empty for no handler."""

    api_id: str = "sim-smsru-api-id-0001"
    handler: str = ""


@dataclass
class Check:
    """Order for one phone. ``at`` is in epoch seconds."""

    id: str
    phone: str
    number: str
    at: float
    status: int = WAITING


@dataclass
class Callcheck:
    """State of one account. The caller must hold the simulator's lock and pass the time (epoch seconds)."""

    account: SmsruAccount
    rng: random.Random
    checks: dict[str, Check] = field(default_factory=dict)

    def add(self, phone: str, now: float) -> Check:
        """Add an order. Earlier orders of the same phone stay live."""
        name = f"{2026000 + len(self.checks) // 1000}-{100 + len(self.checks)}"
        check = Check(name, phone, self.rng.choice(POOL), now)
        self.checks[name] = check
        return check

    def call(self, cli: str, did: str, now: float) -> list[Check]:
        """Dial one of the pool's numbers as a subscriber. Return the orders that the call confirms."""
        confirmed = [
            each
            for each in self.checks.values()
            if (each.phone, each.number) == (cli, did) and self.status(each, now) == WAITING
        ]
        for each in confirmed:
            each.status = CONFIRMED
        return confirmed

    def live(self, phone: str, now: float) -> list[tuple[float, str]]:
        """List the caller's live orders: when each was placed (epoch seconds), and the number to dial."""
        return [
            (each.at, each.number)
            for each in self.checks.values()
            if each.phone == phone and self.status(each, now) == WAITING
        ]

    def status(self, check: Check, now: float) -> int:
        """Return the order's status now: ``WAITING``, ``CONFIRMED`` or ``OVER``."""
        return OVER if check.status == WAITING and now - check.at > WINDOW_SECONDS else check.status


def batch(account: SmsruAccount, entries: list[str]) -> urllib.request.Request:
    """Create the signed request that delivers some entries to the handler."""
    digest = hashlib.sha256((account.api_id + "".join(entries)).encode()).hexdigest()
    form = [(f"data[{index}]", entry) for index, entry in enumerate(entries)] + [("hash", digest)]
    return urllib.request.Request(  # noqa: S310  the one URL given at start, checked to be http(s)
        account.handler,
        data=urllib.parse.urlencode(form).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        method="POST",
    )


def post(account: SmsruAccount, entries: list[str]) -> dict[str, Any]:
    """Deliver a batch to the handler. Return its ledger entry."""
    sent = batch(account, entries)
    status, answer = exchange(sent)
    body = sent.data.decode() if isinstance(sent.data, bytes) else ""
    return {"door": "callback", "kind": "callcheck", "body": body, "status": status, "answer": answer}


def entry_of(check: Check, now: float) -> str:
    """Return the entry of a batch that reports one order."""
    return f"callcheck_status\n{check.id}\n{check.status}\n{int(now)}"


def add_callcheck(  # noqa: PLR0913  it takes most parts of the simulator
    app: Flask,
    callcheck: Callcheck,
    faults: FaultPlan,
    lock: threading.RLock,
    released: threading.Event,
    clock: Callable[[], float],
    ledger: list[dict[str, Any]],
    subscribers: Subscribers,
) -> None:
    """Add the provider's API to the app, under ``/smsru``."""
    door = Blueprint("smsru", __name__, url_prefix="/smsru")

    @door.route("/callcheck/add", methods=["GET", "POST"])
    def add() -> Response:
        fields = request.values.to_dict()
        with lock:
            fault = faults.next()
            _remember("callcheck_add", fields, fault)
        if fault is not None:
            return _faulty(fault, released)
        with lock:
            refusal = _refused(fields)
            phone = fields.get("phone", "")
            usable = phone.isdecimal() and 10 <= len(phone) <= 15 and not subscribers.refuses(phone)
            if refusal is None and not usable:
                refusal = _error(202)
            if refusal is not None:
                return refusal
            check = callcheck.add(phone, clock())
            subscribers.ordered(phone, check.number)
        pretty = f"+7 (800) {check.number[4:7]}-{check.number[7:]}"
        return jsonify(
            status="OK",
            status_code=100,
            check_id=check.id,
            call_phone=check.number,
            call_phone_pretty=pretty,
            call_phone_html=f'<a href="callto:{check.number}">{pretty}</a>',
        )

    @door.route("/callcheck/status", methods=["GET", "POST"])
    def status() -> Response:
        fields = request.values.to_dict()
        with lock:
            _remember("callcheck_status", fields, None)
            refusal = _refused(fields)
            if refusal is not None:
                return refusal
            check = callcheck.checks.get(fields.get("check_id", ""))
            code = callcheck.status(check, clock()) if check else OVER
        return jsonify(status="OK", status_code=100, check_status=str(code), check_status_text=TEXTS[code])

    @door.route("/my/balance", methods=["GET", "POST"])
    def balance() -> Response:
        refusal = _refused(request.values.to_dict())
        return refusal or jsonify(status="OK", status_code=100, balance=4122.56)

    def _refused(fields: dict[str, str]) -> Response | None:
        return None if fields.get("api_id") == callcheck.account.api_id else _error(200)

    def _remember(endpoint: str, fields: dict[str, str], fault: Fault | None) -> None:
        shown = {name: "***" if name == "api_id" else value for name, value in fields.items()}
        seen = {"method": request.method, "query": request.query_string.decode("latin-1")}
        entry = {"door": "front", "endpoint": endpoint, "fields": shown, "at": clock(), **seen}
        ledger.append(entry | {"fault": fault.kind if fault else None})

    app.register_blueprint(door)


def _error(code: int) -> Response:
    return jsonify(status="ERROR", status_code=code, status_text=TEXTS.get(code, "error"))


def _faulty(fault: Fault, released: threading.Event) -> Response:
    match fault.kind:
        case "hang" | "slow" | "drip":
            released.wait(LONGEST_HANG_SECONDS)
            return Response(status=504)
        case "reset" | "lost":
            raise ConnectionResetError
        case "status":
            return Response("upstream trouble", status=int(fault.value))
        case "html":
            return Response("<html><body>Maintenance</body></html>", content_type="text/html")
        case "half":
            return Response('{"status":"OK","status_c', content_type="application/json")
        case "empty":
            return Response("")
        case "error":
            return _error(int(fault.value))
        case "premium":
            return jsonify(status="OK", status_code=100, check_id="1-1", call_phone=PREMIUM)
        case _:
            return Response(str(fault.value), content_type="application/json")
