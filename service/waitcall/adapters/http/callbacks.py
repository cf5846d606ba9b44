"""Routes /callbacks/smsc and /callbacks/smsru: decode, record, acknowledge. Only the decoders know the protocols."""

from typing import Protocol

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from waitcall.adapters.http.auth import no_auth
from waitcall.adapters.http.body import LowPriorityQueue, read_body
from waitcall.application.ports import Observer
from waitcall.application.record_call import RecordInboundCall
from waitcall.application.record_order import RecordOrderReport
from waitcall.application.record_text import RecordInboundText
from waitcall.domain.code import DeliveryReport
from waitcall.domain.errors import CallbackMalformed, CallbackRejected, RecordUnreadable
from waitcall.domain.matching import InboundCall, InboundText, Kind, OrderReport, OtherMessage, Outcome

PATH = "/callbacks/smsc"
ORDERS_PATH = "/callbacks/smsru"
_HUNDRED = "100"
"""Body that sms.ru accepts as an acknowledgement (docs/providers/smsru.md)."""


class CallbackDecoder(Protocol):
    """Decoder of the callbacks of a provider that reports callers and texts."""

    def decode(
        self, query: bytes, body: bytes, content_type: str
    ) -> InboundCall | InboundText | DeliveryReport | OtherMessage:
        """Return the authentic message of a request. Raises CallbackMalformed or CallbackRejected."""
        ...


class ReportDecoder(Protocol):
    """Decoder of the callbacks of a provider that reports on orders."""

    def decode(self, body: bytes, content_type: str) -> list[OrderReport | OtherMessage]:
        """Return the authentic entries of a request. Raises CallbackMalformed or CallbackRejected."""
        ...


def blueprint(
    calls: RecordInboundCall,
    messages: RecordInboundText,
    decoder: CallbackDecoder,
    observer: Observer,
    low_priority: LowPriorityQueue,
) -> Blueprint:
    """Make the route for callbacks that report callers and texts."""
    routes = Blueprint("callbacks", __name__)

    @routes.route(PATH, methods=["GET", "POST"])
    @no_auth
    def receive() -> Response:
        try:
            body = read_body()
            query = request.query_string
            if request.method in ("GET", "HEAD") and not body and not query:
                return _acknowledgement()
            with low_priority.turn_if_long(body):
                message = decoder.decode(query, body, request.headers.get("Content-Type", ""))
        except (HTTPException, CallbackMalformed, CallbackRejected) as error:
            count_refusal(observer, error)
            raise
        match message:
            case InboundCall():
                note(Kind.CALL, calls.record(message))
            case InboundText():
                note(Kind.SMS, messages.record_text(message))
            case DeliveryReport():
                messages.record_report(message)
                note(Kind.STATUS, Outcome.OTHER)
            case OtherMessage():
                count(observer, message.kind, message.outcome)
        return _acknowledgement()

    return routes


def orders_blueprint(
    reports: RecordOrderReport, decoder: ReportDecoder, observer: Observer, low_priority: LowPriorityQueue
) -> Blueprint:
    """Make the route for callbacks that report on orders."""
    routes = Blueprint("order_callbacks", __name__)

    @routes.route(ORDERS_PATH, methods=["GET", "POST"])
    @no_auth
    def receive() -> Response:
        try:
            body = read_body()
            if not body and not request.query_string:
                return _acknowledgement(_HUNDRED)
            with low_priority.turn_if_long(body):
                entries = decoder.decode(body, request.headers.get("Content-Type", ""))
        except (HTTPException, CallbackMalformed, CallbackRejected) as error:
            count_refusal(observer, error)
            raise
        unreadable: RecordUnreadable | None = None
        for each in entries:
            if not isinstance(each, OrderReport):
                count(observer, each.kind, each.outcome)
                continue
            try:
                note(Kind.CALL, reports.record(each))
            except RecordUnreadable as error:
                # Record the other entries first, then report the error.
                unreadable = error
        if unreadable is not None:
            raise unreadable
        return _acknowledgement(_HUNDRED)

    return routes


def count_refusal(observer: Observer, error: Exception) -> None:
    """Count and log a callback that was refused."""
    match error:
        case CallbackMalformed():
            kind, outcome = Kind(error.kind), Outcome.MALFORMED
        case CallbackRejected():
            kind, outcome = Kind(error.kind), Outcome.BAD_SIGNATURE
        case _:
            kind, outcome = Kind.UNKNOWN, Outcome.MALFORMED
    count(observer, kind, outcome)


def count(observer: Observer, kind: Kind, outcome: Outcome) -> None:
    """Count and log a message that no use case counts."""
    observer.callback(kind, outcome)
    note(kind, outcome)


def note(kind: Kind, outcome: Outcome) -> None:
    """Add a message to the request's log line."""
    g.callbacks.append(f"{kind} {outcome}")


def _acknowledgement(word: str = "OK") -> Response:
    return Response(word, content_type="text/plain; charset=utf-8")
