"""/callbacks/smsc and /callbacks/smsru: decode, record, acknowledge. The dialects stay behind the decoders."""

from collections.abc import Iterable
from functools import partial
from io import BytesIO
from typing import Protocol

from flask import Blueprint
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from service.adapters.http.auth import no_auth
from service.adapters.http.body import read_raw
from service.adapters.http.exchange import Exchange, Reply
from service.adapters.http.lane import Lane
from service.application.calls import Calls
from service.application.messages import Messages
from service.application.observer import Observer
from service.application.orders import OrderReports
from service.domain.call import InboundCall, Kind, OtherMessage, Outcome
from service.domain.channel import InboundText
from service.domain.code import DeliveryReport
from service.domain.errors import CallbackMalformed, CallbackRejected
from service.domain.order import OrderReport

PATH = "/callbacks/smsc"
ORDERS_PATH = "/callbacks/smsru"
_MOST_FIELDS = 256
_HUNDRED = b"100"
"""What counts as an acknowledgement there (docs/providers/smsru.md)."""


class MessageDecoder(Protocol):
    """Turns a request of the provider into what it says."""

    def decode(self, query: bytes, body: bytes) -> InboundCall | InboundText | DeliveryReport | OtherMessage:
        """An authentic message. Raises CallbackMalformed or CallbackRejected."""
        ...


class ReportDecoder(Protocol):
    """Turns a request of a provider that reports on orders into what it says."""

    def decode(self, fields: Iterable[tuple[str, str]]) -> list[OrderReport | OtherMessage]:
        """Authentic entries. Raises CallbackMalformed or CallbackRejected."""
        ...


def blueprint(
    calls: Calls, messages: Messages, decoder: MessageDecoder, observer: Observer, lane: Lane
) -> Blueprint:
    """The handler's route."""
    routes = Blueprint("callbacks", __name__)
    refused = partial(_refused, observer)

    @routes.route(PATH, methods=["GET", "POST"])
    @no_auth
    def receive(exchange: Exchange) -> Reply:
        try:
            body = read_raw(exchange)
            query = exchange.query
            if exchange.method in ("GET", "HEAD") and not body and not query:
                return _acknowledgement()
            with lane.turn_if_long(body):
                message = decoder.decode(query, body)
        except (HTTPException, CallbackMalformed, CallbackRejected) as error:
            refused(exchange, error)
            raise
        match message:
            case InboundCall():
                exchange.brought(Kind.CALL, calls.record(message))
            case InboundText():
                exchange.brought(Kind.SMS, messages.record_text(message))
            case DeliveryReport():
                messages.record_report(message)
                exchange.brought(Kind.STATUS, Outcome.OTHER)
            case OtherMessage():
                observer.callback(message.kind, Outcome.OTHER)
                exchange.brought(message.kind, Outcome.OTHER)
        return _acknowledgement()

    return routes


def orders_blueprint(
    reports: OrderReports, decoder: ReportDecoder, observer: Observer, lane: Lane
) -> Blueprint:
    """The route of the provider that reports on orders."""
    routes = Blueprint("order_callbacks", __name__)
    refused = partial(_refused, observer)

    @routes.route(ORDERS_PATH, methods=["GET", "POST"])
    @no_auth
    def receive(exchange: Exchange) -> Reply:
        try:
            body = read_raw(exchange)
            if not body and not exchange.query:
                return _acknowledgement(_HUNDRED)
            with lane.turn_if_long(body):
                entries = decoder.decode(_form(exchange, body))
        except (HTTPException, CallbackMalformed, CallbackRejected) as error:
            refused(exchange, error)
            raise
        for each in entries:
            if isinstance(each, OrderReport):
                exchange.brought(Kind.CALL, reports.record(each))
            else:
                observer.callback(each.kind, Outcome.OTHER)
                exchange.brought(each.kind, Outcome.OTHER)
        return _acknowledgement(_HUNDRED)

    return routes


def _refused(observer: Observer, exchange: Exchange, error: Exception) -> None:
    """Count and note what was not believed."""
    match error:
        case CallbackMalformed():
            kind, outcome = Kind(error.kind), Outcome.MALFORMED
        case CallbackRejected():
            kind, outcome = Kind(error.kind), Outcome.BAD_SIGNATURE
        case _:
            kind, outcome = Kind.UNKNOWN, Outcome.MALFORMED
    observer.callback(kind, outcome)
    exchange.brought(kind, outcome)


def _form(exchange: Exchange, body: bytes) -> Iterable[tuple[str, str]]:
    parser = FormDataParser(max_form_memory_size=len(body), max_form_parts=_MOST_FIELDS)
    kind, options = parse_options_header(exchange.environ.get("CONTENT_TYPE"))
    _, form, _ = parser.parse(BytesIO(body), kind.lower(), len(body), options)
    return [(name, value) for name, values in form.lists() for value in values]


def _acknowledgement(word: bytes = b"OK") -> Reply:
    return Reply(200, word, "text/plain; charset=utf-8")
