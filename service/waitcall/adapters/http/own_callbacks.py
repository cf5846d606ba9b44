"""Routes for calls to our own numbers: /callbacks/twilio, /callbacks/telnyx and /callbacks/sip.

Each answers with the provider's own document, so that the call is refused before it is answered. An answer that is no success
never refuses a call: the provider tries again, or asks its fallback.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from waitcall.adapters.http.auth import no_auth
from waitcall.adapters.http.body import JSON, LowPriorityQueue, WrongMediaType, read_body
from waitcall.adapters.http.callbacks import count, count_refusal, note
from waitcall.application.own_numbers import RecordOwnCall
from waitcall.application.ports import Observer
from waitcall.domain.channel import Dialect
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, Kind, OtherMessage, ParkedCall

TWILIO_PATH = "/callbacks/twilio"
TELNYX_PATH = "/callbacks/telnyx"
SIP_PATH = "/callbacks/sip"
FORM = "application/x-www-form-urlencoded"
REJECT = '<Response><Reject reason="busy"/></Response>'
"""TwiML and TeXML that ends an unanswered call as busy. Its first verb rejects, so nobody pays."""

Message = InboundCall | OtherMessage
T = TypeVar("T")


class TwilioDecoder(Protocol):
    """Decoder of Twilio's webhooks."""

    def decode(self, query: bytes, body: bytes, signature: str) -> Message:
        """Return the authentic message of a request. Raises CallbackMalformed or CallbackRejected."""
        ...


class TelnyxDecoder(Protocol):
    """Decoder of Telnyx's webhooks."""

    def decode_event(self, body: bytes, signature: str, timestamp: str) -> tuple[Message, ParkedCall | None]:
        """Return the authentic message of a JSON request, and the call that a command must refuse.

        Raises CallbackMalformed or CallbackRejected.
        """
        ...

    def decode_form(self, body: bytes, signature: str, timestamp: str) -> Message:
        """Return the authentic message of a form. Raises CallbackMalformed or CallbackRejected."""
        ...


class SipDecoder(Protocol):
    """Decoder of the SIP proxy's callbacks."""

    def decode(self, body: bytes, signature: str) -> Message:
        """Return the authentic message of a request. Raises CallbackMalformed or CallbackRejected."""
        ...


@dataclass(frozen=True)
class OwnCallbacks:
    """Parts of a request's handling that all of these routes share."""

    calls: RecordOwnCall
    observer: Observer
    low_priority: LowPriorityQueue

    def decoded(self, decode: Callable[[bytes], T], *mimetypes: str) -> T:
        """Read and decode the request's body of one of these types, and count it if it is refused."""
        try:
            if request.mimetype not in mimetypes:
                raise WrongMediaType(*mimetypes)
            body = read_body()
            with self.low_priority.turn_if_long(body):
                return decode(body)
        except (HTTPException, CallbackMalformed, CallbackRejected) as error:
            count_refusal(self.observer, error)
            raise

    def record(self, message: Message, dialect: Dialect) -> None:
        """Record the call of a message, and count any other message. Raises StoreUnavailable."""
        if isinstance(message, InboundCall):
            note(Kind.CALL, self.calls.record(message, dialect))
        else:
            count(self.observer, message.kind, message.outcome)
            if message.kind is Kind.CALL:
                self.observer.own_call(dialect, None, message.outcome)


def twilio_blueprint(own: OwnCallbacks, decoder: TwilioDecoder) -> Blueprint:
    """Make the route for Twilio's webhooks."""
    routes = Blueprint("twilio_callbacks", __name__)

    @routes.route(TWILIO_PATH, methods=["POST"])
    @no_auth
    def receive() -> Response:
        query, signature = request.query_string, request.headers.get("X-Twilio-Signature", "")
        own.record(
            own.decoded(lambda body: decoder.decode(query, body, signature), FORM),
            Dialect.TWILIO,
        )
        return _rejection()

    return routes


def telnyx_blueprint(
    own: OwnCallbacks, decoder: TelnyxDecoder, refuse: Callable[[ParkedCall], None] | None
) -> Blueprint:
    """Make the route for Telnyx's webhooks.

    Args:
        own: the part that all routes share.
        decoder: reads the requests.
        refuse: sends the command that ends a call of Call Control, and never fails; None without an API key.
    """
    routes = Blueprint("telnyx_callbacks", __name__)

    @routes.route(TELNYX_PATH, methods=["POST"])
    @no_auth
    def receive() -> Response:
        signature = request.headers.get("telnyx-signature-ed25519", "")
        timestamp = request.headers.get("telnyx-timestamp", "")
        if request.mimetype != JSON:
            message = own.decoded(lambda body: decoder.decode_form(body, signature, timestamp), FORM, JSON)
            own.record(message, Dialect.TELNYX)
            return _rejection()
        message, parked = own.decoded(lambda body: decoder.decode_event(body, signature, timestamp), JSON)
        own.record(message, Dialect.TELNYX)
        if parked and refuse:
            refuse(parked)
        return _nothing(200)

    return routes


def sip_blueprint(own: OwnCallbacks, decoder: SipDecoder) -> Blueprint:
    """Make the route for the SIP proxy's callbacks."""
    routes = Blueprint("sip_callbacks", __name__)

    @routes.route(SIP_PATH, methods=["POST"])
    @no_auth
    def receive() -> Response:
        signature = request.headers.get("X-Waitcall-Signature", "")
        own.record(own.decoded(lambda body: decoder.decode(body, signature), JSON), Dialect.SIP)
        return _nothing(204)

    return routes


def _rejection() -> Response:
    return Response(REJECT, content_type="text/xml")


def _nothing(status: int) -> Response:
    return Response(status=status, content_type="text/plain; charset=utf-8")
