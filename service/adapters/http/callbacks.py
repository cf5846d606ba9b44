"""/callbacks/smsc: decode, record, acknowledge. The provider's dialect stays behind ``MessageDecoder``."""

from typing import Protocol

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from service.adapters.http.auth import no_auth
from service.adapters.http.body import read_raw
from service.application.calls import Calls
from service.application.messages import Messages
from service.application.observer import Observer
from service.domain.call import InboundCall, Kind, OtherMessage, Outcome
from service.domain.channel import InboundText
from service.domain.code import DeliveryReport
from service.domain.errors import CallbackMalformed, CallbackRejected

PATH = "/callbacks/smsc"


class MessageDecoder(Protocol):
    """Turns a request of the provider into what it says."""

    def decode(self, query: bytes, body: bytes) -> InboundCall | InboundText | DeliveryReport | OtherMessage:
        """An authentic message. Raises CallbackMalformed or CallbackRejected."""
        ...


def blueprint(calls: Calls, messages: Messages, decoder: MessageDecoder, observer: Observer) -> Blueprint:
    """The handler's route."""
    routes = Blueprint("callbacks", __name__)

    @routes.route(PATH, methods=["GET", "POST"])
    @no_auth
    def receive() -> Response:
        try:
            body = read_raw()
            if request.method in ("GET", "HEAD") and not body and not request.query_string:
                return _acknowledgement()
            message = decoder.decode(request.query_string, body)
        except HTTPException:
            observer.callback(Kind.UNKNOWN, Outcome.MALFORMED)
            raise
        except CallbackMalformed as error:
            observer.callback(Kind(error.kind), Outcome.MALFORMED)
            raise
        except CallbackRejected as error:
            observer.callback(Kind(error.kind), Outcome.BAD_SIGNATURE)
            raise
        match message:
            case InboundCall():
                calls.record(message)
            case InboundText():
                messages.record_text(message)
            case DeliveryReport():
                messages.record_report(message)
            case OtherMessage():
                observer.callback(message.kind, Outcome.OTHER)
        return _acknowledgement()

    return routes


def _acknowledgement() -> Response:
    return Response("OK", content_type="text/plain; charset=utf-8")
