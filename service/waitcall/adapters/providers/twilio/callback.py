"""Decoder of Twilio's voice webhooks: forms, accepted only with the right signature over the configured URL and all parameters.

Source: docs/own-numbers.md. The signed text has no separators between names and values, and no time. So each value
that is used has a strict pattern, names that lower what a call proves are looked for in the whole signed text, and a call
counts once by its ``CallSid``.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha1
from urllib.parse import urldefrag, urlsplit

from waitcall.adapters.providers.callback_form import FormUnreadable, read_urlencoded
from waitcall.domain.channel import Attestation, Provider
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, Kind, OtherMessage, Outcome
from waitcall.domain.numbers import caller_of

_RINGING = "ringing"
_UNANSWERED = ("busy", "no-answer", "canceled")
"""Values of ``CallStatus`` in the report on the end of a call that we refused, or whose caller hung up first."""

_PARTY = re.compile(
    r"(?!.*(?:(?:From|To|Caller|Called)(?:City|State|Zip|Country|Name)|ForwardedFrom|AccountSid|ApiVersion|Direction|Call[STe]|Stir|Sip[A-Z]))"
    r"[^\x00-\x1f\x7f]{0,300}",
    re.DOTALL,
)
"""Caller or number that was called, as any network may write it. It contains no name of a parameter."""
_WORD = re.compile(r"[a-z-]{1,30}", re.ASCII)
_USED = {
    "AccountSid": re.compile(r"AC[0-9a-f]{32}", re.ASCII),
    "CallSid": re.compile(r"CA[0-9a-f]{32}", re.ASCII),
    "CallStatus": _WORD,
    "Direction": _WORD,
    "From": _PARTY,
    "To": _PARTY,
}
"""Required parameters. A value that was merged with another parameter fits none of these patterns."""
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)

_OF_SIP = (b"SipDomain", b"SipCallId", b"SipSourceIp", b"SipHeader_")
"""Names of parameters of a call to a SIP domain, whose sender chooses ``From``."""
_FORWARDED, _VERSTAT = "ForwardedFrom", "StirVerstat"
_LEVELS = {
    "TN-Validation-Passed-A": Attestation.FULL,
    "TN-Validation-Passed-B": Attestation.PARTIAL,
    "TN-Validation-Passed-C": Attestation.GATEWAY,
}
_DIVERTED = ("-Diverted", "-Passthrough")
_PORTS = {"https": 443, "http": 80}
_UNMATCHED = OtherMessage(Kind.CALL, Outcome.UNMATCHED)


def signature_of(token: bytes, signed: bytes) -> bytes:
    """Return the header ``X-Twilio-Signature`` for a URL and the sorted parameters behind it."""
    return b64encode(hmac.new(token, signed, sha1).digest())


class TwilioCallbackDecoder:
    """Decoder that checks the signature in constant time, then reads the call."""

    def __init__(
        self, account_sid: str, tokens: Sequence[str], url: str, clock: Callable[[], datetime]
    ) -> None:
        """
        Args:
            account_sid: the only account whose calls count.
            tokens: the account's auth token, then a second one that is accepted while the token rotates.
            url: the webhook's URL as it is configured at Twilio, without a query.
            clock: current time (UTC), which is the time of a call, because the reports name none.

        Raises:
            ValueError: no token is given, so no signature could be checked.
        """
        if not tokens:
            raise ValueError("An auth token is required.")
        self._account_sid = account_sid
        self._tokens = [each.encode() for each in tokens]
        self._urls = [each.encode() for each in _spellings(url)]
        self._clock = clock

    def decode(self, query: bytes, body: bytes, signature: str) -> InboundCall | OtherMessage:
        """Read one request.

        Args:
            query: the URL's raw query string. The configured URL has none, so neither has a signed request.
            body: the raw body, an urlencoded form.
            signature: the header ``X-Twilio-Signature``; empty if it is missing.

        Raises:
            CallbackMalformed: a parameter appears twice, is missing, or is not of its form.
            CallbackRejected: the signature is wrong or missing.
        """
        if query:
            raise CallbackRejected(Kind.CALL)
        try:
            pairs = read_urlencoded(body)
        except FormUnreadable as error:
            raise CallbackMalformed(str(error), Kind.CALL) from error
        given = dict(pairs)
        if len(given) != len(pairs):
            raise CallbackMalformed("A parameter appears twice.", Kind.CALL)
        # Each character stands for one byte of UTF-8, whose order is that of the code points.
        signed = "".join(name + value for name, value in sorted(pairs)).encode("latin-1")
        if not self._authentic(signed, signature):
            raise CallbackRejected(Kind.CALL)
        return self._read(given, signed)

    def _authentic(self, signed: bytes, signature: str) -> bool:
        claimed, accepted = signature.encode("latin-1", "replace"), False
        for token in self._tokens:
            for url in self._urls:
                accepted |= hmac.compare_digest(signature_of(token, url + signed), claimed)
        return accepted

    def _read(self, given: Mapping[str, str], signed: bytes) -> InboundCall | OtherMessage:
        _check(given, signed)
        status, caller = given["CallStatus"], caller_of(given["From"])
        if (
            given["AccountSid"] != self._account_sid
            or given["Direction"] != "inbound"
            or status not in (_RINGING, *_UNANSWERED)
            or any(name in signed for name in _OF_SIP)
            or caller is None
            or not _E164.fullmatch(given["To"])
        ):
            return _UNMATCHED
        verstat = given.get(_VERSTAT, "")
        # The report on the end of a call stands in for a lost first one, so it proves as little as a call can.
        trusted = status == _RINGING and signed.count(_VERSTAT.encode()) == 1
        return InboundCall(
            cli=caller,
            at=self._clock().replace(microsecond=0),
            dialled=given["To"],
            provider=Provider.OWN,
            id=given["CallSid"],
            attestation=_LEVELS.get(verstat, Attestation.NONE) if trusted else Attestation.NONE,
            diverted=_is_forwarded(given, signed) or verstat.endswith(_DIVERTED),
            is_dated=False,
        )


def _check(given: Mapping[str, str], signed: bytes) -> None:
    """Check the form of all parameters that are used. Raises CallbackMalformed."""
    for name, pattern in _USED.items():
        if not pattern.fullmatch(given.get(name, "\0")):
            raise CallbackMalformed(f"{name} is missing, or not of its form.", Kind.CALL)
    try:
        text = signed.decode()
    except UnicodeDecodeError as error:
        raise CallbackMalformed("The parameters are not UTF-8.", Kind.CALL) from error
    if "\0" in text:
        raise CallbackMalformed("A parameter has a NUL.", Kind.CALL)


def _is_forwarded(given: Mapping[str, str], signed: bytes) -> bool:
    """Tell whether ``ForwardedFrom`` is anywhere in the signed text, except as a parameter without a value."""
    return signed.count(_FORWARDED.encode()) > int(given.get(_FORWARDED) == "")


def _spellings(url: str) -> list[str]:
    """Return the forms of a URL that Twilio may sign: with and without the port, and without the fragment."""
    scheme, authority = urlsplit(url)[:2]
    rest = url.removeprefix(f"{scheme}://{authority}")
    bare = authority.removesuffix(f":{urlsplit(url).port}")
    forms = (f"{scheme}://{each}{rest}" for each in (authority, bare, f"{bare}:{_PORTS[scheme]}"))
    return list(dict.fromkeys(each for form in forms for each in (form, urldefrag(form).url)))
