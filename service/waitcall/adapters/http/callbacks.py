"""Routes /callbacks/smsc and /callbacks/smsru: decode, record, acknowledge. Only the decoders know the protocols."""

from functools import partial
from typing import Protocol

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from waitcall.adapters.http.auth import no_auth
from waitcall.adapters.http.body import read_body
from waitcall.adapters.http.context import note_callback
from waitcall.adapters.http.low_priority_queue import LowPriorityQueue
from waitcall.application.observer import Observer
from waitcall.application.record_call import Calls
from waitcall.application.record_order import OrderReports
from waitcall.application.record_text import Messages
from waitcall.domain.code import DeliveryReport
from waitcall.domain.errors import CallbackMalformed, CallbackRejected, RecordUnreadable
from waitcall.domain.matching import InboundCall, InboundText, Kind, OrderReport, OtherMessage, Outcome

PATH = "/callbacks/smsc"
ORDERS_PATH = "/callbacks/smsru"
_HUNDRED = "100"
"""Body that sms.ru accepts as an acknowledgement (docs/providers/smsru.md)."""


class MessageDecoder(Protocol):
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
    calls: Calls,
    messages: Messages,
    decoder: MessageDecoder,
    observer: Observer,
    low_priority: LowPriorityQueue,
) -> Blueprint:
    """Make the route for callbacks that report callers and texts."""
    routes = Blueprint("callbacks", __name__)
    refused = partial(_refused, observer)

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
            refused(error)
            raise
        match message:
            case InboundCall():
                note_callback(Kind.CALL, calls.record(message))
            case InboundText():
                note_callback(Kind.SMS, messages.record_text(message))
            case DeliveryReport():
                messages.record_report(message)
                note_callback(Kind.STATUS, Outcome.OTHER)
            case OtherMessage():
                observer.callback(message.kind, message.outcome)
                note_callback(message.kind, message.outcome)
        return _acknowledgement()

    return routes


def orders_blueprint(
    reports: OrderReports, decoder: ReportDecoder, observer: Observer, low_priority: LowPriorityQueue
) -> Blueprint:
    """Make the route for callbacks that report on orders."""
    routes = Blueprint("order_callbacks", __name__)
    refused = partial(_refused, observer)

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
            refused(error)
            raise
        unreadable: RecordUnreadable | None = None
        for each in entries:
            if not isinstance(each, OrderReport):
                observer.callback(each.kind, each.outcome)
                note_callback(each.kind, each.outcome)
                continue
            try:
                note_callback(Kind.CALL, reports.record(each))
            except RecordUnreadable as error:
                # Record the other entries first, then report the error.
                unreadable = error
        if unreadable is not None:
            raise unreadable
        return _acknowledgement(_HUNDRED)

    return routes


def _refused(observer: Observer, error: Exception) -> None:
    """Count and log a callback that was refused."""
    match error:
        case CallbackMalformed():
            kind, outcome = Kind(error.kind), Outcome.MALFORMED
        case CallbackRejected():
            kind, outcome = Kind(error.kind), Outcome.BAD_SIGNATURE
        case _:
            kind, outcome = Kind.UNKNOWN, Outcome.MALFORMED
    observer.callback(kind, outcome)
    note_callback(kind, outcome)


def _acknowledgement(word: str = "OK") -> Response:
    return Response(word, content_type="text/plain; charset=utf-8")
