"""Decoder of Twilio's voice webhooks: forms, accepted only with the right signature over the configured URL and all parameters.

Source: docs/own-numbers.md. The signed text has no separators between names and values, and no time. So a captured
request can be split into other parameters, and its signature stays right. The parameters are still sorted by name, because
the text is. That is why these rules suffice:

- Each value that is used has a strict pattern.
- Each of these values is also found in the text alone, exactly once. The text does not depend on the split, so no other
  split has another caller, called number, id or status.
- Names that lower what a call proves are looked for in the text.
- An attestation counts only if ``StirVerstat`` stands in the text once. What remains is a stranger's text that Twilio passes on
  in a parameter between ``From`` and ``To``, in the order of the alphabet, of a call without ``StirVerstat``. None that
  Twilio documents there holds a text that a stranger chooses.

A call counts once by its ``CallSid``, as long as no stronger report of it comes.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha1
from urllib.parse import urldefrag, urlsplit

from waitcall.adapters.providers.callback_form import FormUnreadable, read_parameters
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

_OF_SIP = ("SipDomain", "SipCallId", "SipSourceIp", "SipHeader_")
"""Names of parameters of a call to a SIP domain, whose sender chooses ``From``."""
_FORWARDED, _VERSTAT = "ForwardedFrom", "StirVerstat"
_LEVELS = {
    "TN-Validation-Passed-A": Attestation.FULL,
    "TN-Validation-Passed-B": Attestation.PARTIAL,
    "TN-Validation-Passed-C": Attestation.GATEWAY,
}
_DIVERTED = ("-Diverted", "-Passthrough")
_IN_TEXT = {
    "AccountSid": re.compile(r"AccountSid(AC[0-9a-f]{32})", re.ASCII),
    "CallSid": re.compile(r"CallSid(CA[0-9a-f]{32})", re.ASCII),
    "CallStatus": re.compile(r"CallStatus([a-z-]+)", re.ASCII),
    "Direction": re.compile(r"Direction(inbound|outbound[a-z-]*)", re.ASCII),
    "From": re.compile(r"(?<!Forwarded)From(\+[0-9]*|(?![A-Z]))", re.ASCII),
    "To": re.compile(r"To(\+[0-9]*)", re.ASCII),
}
"""Each required parameter as it stands in the signed text, with its value. ``From`` is also found with values that are no
number: the number of a call must not be taken from the text of another parameter."""
_FIRST = "A"
"""First letter of the signed parameters, as of ``AccountSid``. The rest of a longer URL, such as ``?x`` or ``/x``, is none."""
_OF_MESSAGES = ("MessageSid", "SmsSid")
"""Names of parameters of a text message, whose body could hold all parameters of a call."""
_BEFORE_FROM = "Directioninbound"
"""Text behind which ``From`` and ``To`` are looked for: a caller's name before it may contain these words."""
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
        if query or not signature:
            raise CallbackRejected(Kind.CALL)
        try:
            given = read_parameters(body)
        except FormUnreadable as error:
            raise CallbackMalformed(str(error), Kind.CALL) from error
        # Each character stands for one byte of UTF-8, whose order is that of the code points.
        signed = "".join(name + value for name, value in sorted(given.items())).encode("latin-1")
        if not self._authentic(signed, signature):
            raise CallbackRejected(Kind.CALL)
        return self._read(given, signed.decode())

    def _authentic(self, signed: bytes, signature: str) -> bool:
        claimed, accepted = signature.encode("latin-1", "replace"), False
        for token in self._tokens:
            for url in self._urls:
                accepted |= hmac.compare_digest(signature_of(token, url + signed), claimed)
        return accepted

    def _read(self, given: Mapping[str, str], text: str) -> InboundCall | OtherMessage:
        for name, pattern in _USED.items():
            if not pattern.fullmatch(given.get(name, "\0")):
                raise CallbackMalformed(f"{name} is missing, or not of its form.", Kind.CALL)
        status, caller = given["CallStatus"], caller_of(given["From"])
        if (
            given["AccountSid"] != self._account_sid
            or given["Direction"] != "inbound"
            or status not in (_RINGING, *_UNANSWERED)
            or any(name in text for name in _OF_SIP)
            or caller is None
            or not _E164.fullmatch(given["To"])
        ):
            return _UNMATCHED
        _check_text(given, text)
        verstat = given.get(_VERSTAT, "")
        # The report on the end of a call stands in for a lost first one, so it proves as little as a call can.
        trusted = status == _RINGING and text.count(_VERSTAT) == 1
        return InboundCall(
            cli=caller,
            at=self._clock().replace(microsecond=0),
            dialled=given["To"],
            provider=Provider.OWN,
            id=given["CallSid"],
            attestation=_LEVELS.get(verstat, Attestation.NONE) if trusted else Attestation.NONE,
            diverted=_is_forwarded(given, text) or verstat.endswith(_DIVERTED),
            is_dated=False,
        )


def _check_text(given: Mapping[str, str], text: str) -> None:
    """Check that the signed text alone gives the values that are used. Raises CallbackMalformed."""
    if not text.startswith(_FIRST):
        raise CallbackMalformed("The rest of a longer URL may have become a parameter.", Kind.CALL)
    if any(name in text for name in _OF_MESSAGES):
        raise CallbackMalformed("The parameters are not those of a call.", Kind.CALL)
    behind = text.find(_BEFORE_FROM)
    for name, pattern in _IN_TEXT.items():
        start = behind if name in ("From", "To") else 0
        found = pattern.findall(text, start)
        if found != [given[name]]:
            raise CallbackMalformed(f"{name} may have been merged with another parameter.", Kind.CALL)


def _is_forwarded(given: Mapping[str, str], text: str) -> bool:
    """Tell whether ``ForwardedFrom`` is anywhere in the signed text, except as a parameter without a value."""
    return text.count(_FORWARDED) > int(given.get(_FORWARDED) == "")


def _spellings(url: str) -> list[str]:
    """Return the forms of a URL that Twilio may sign: with and without the port, and without the fragment."""
    scheme, authority = urlsplit(url)[:2]
    rest = url.removeprefix(f"{scheme}://{authority}")
    bare = authority.removesuffix(f":{urlsplit(url).port}")
    forms = (f"{scheme}://{each}{rest}" for each in (authority, bare, f"{bare}:{_PORTS[scheme]}"))
    return list(dict.fromkeys(each for form in forms for each in (form, urldefrag(form).url)))
