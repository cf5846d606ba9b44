"""Decoder of SMSC's callbacks: three kinds of messages, accepted only with the right hash.

Source: smsc-api.md, section 2. The hash covers the values exactly as they were received, so values stay bytes until the
hash is checked.
"""

import hmac
import re
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import md5, sha1

from waitcall.adapters.providers.smsc.call_mark import resembles_mark
from waitcall.adapters.providers.smsc.fields import CHARSETS, Fields, FieldsUnreadable, read_fields
from waitcall.adapters.providers.smsc.statuses import delivery_of
from waitcall.domain.code import DeliveryReport
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, InboundText, Kind, OtherMessage

Message = InboundCall | InboundText | DeliveryReport | OtherMessage

HASHES = ("md5", "sha1", "crc32")

_PHONE = re.compile(rb"[0-9]{1,15}")
_WRITTEN_PHONE = re.compile(rb"\+?([0-9]{1,15})")
_MESSAGE_ID = re.compile(rb"[0-9]{1,10}")
_TS = re.compile(rb"[0-9]{1,10}")
# Fields that the hash of each kind covers, followed by the secret.
_COVERED = {
    Kind.CALL: ("phone", "ts"),
    Kind.SMS: ("phone", "mes", "to"),
    Kind.STATUS: ("id", "phone", "status"),
}


class SmscCallbackDecoder:
    """Decoder that finds the kind, parses a call strictly, and checks the hash in constant time."""

    def __init__(self, hash_name: str, secrets: Sequence[str]) -> None:
        """
        Args:
            hash_name: the only hash that is accepted: ``md5``, ``sha1`` or ``crc32``.
            secrets: the current secret, then the previous one while the secret rotates.

        Raises:
            ValueError: no secret is given, so no hash could be checked.
        """
        if not secrets:
            raise ValueError("A callback secret is required.")
        self._hash_name = hash_name
        self._secrets = [secret.encode("ascii") for secret in secrets]

    def decode(self, query: bytes, body: bytes, content_type: str = "") -> Message:
        """Read one request of the provider.

        Args:
            query: the URL's raw query string.
            body: the raw body. Form, XML and JSON are distinguished by their content.
            content_type: the header; it is used for a multipart form only.

        Returns:
            The call, the text, the delivery report on one of our messages, or another authentic message.

        Raises:
            CallbackMalformed: the request cannot be read, or a call's ``phone`` or ``ts`` is malformed.
            CallbackRejected: the hash is wrong or missing.
        """
        try:
            fields = read_fields(query, body, content_type)
        except FieldsUnreadable as error:
            raise CallbackMalformed(str(error)) from error
        kind = _kind(fields)
        call = _call(fields) if kind is Kind.CALL else None
        if not self._authentic(kind, fields):
            raise CallbackRejected(kind)
        if call is not None:
            return call
        if kind is Kind.SMS:
            return _text(fields) or OtherMessage(kind)
        return _report(fields) or OtherMessage(kind)

    def _authentic(self, kind: Kind, fields: Fields) -> bool:
        given = fields.raw.get(self._hash_name)
        names = _COVERED.get(kind)
        if given is None or names is None or any(name not in fields.raw for name in names):
            return False
        accepted = False
        # No early exit, so that the time taken does not reveal which secret or charset matched.
        for secret in self._secrets:
            for values in fields.spellings(names):
                message = b":".join((*values, secret))
                for expected in _SPELLINGS[self._hash_name](message):
                    accepted |= hmac.compare_digest(expected, given.lower())
        return accepted


def _kind(fields: Fields) -> Kind:
    # Look for a field's presence, not its value: a status may be 0 and a text empty. The provider checks in this order.
    if "mes" in fields.raw:
        return Kind.SMS
    if "waitcall" in fields.raw:
        return Kind.CALL
    if "id" in fields.raw and "status" in fields.raw:
        return Kind.STATUS
    return Kind.UNKNOWN


def _call(fields: Fields) -> InboundCall:
    phone, ts = fields.raw.get("phone", b""), fields.raw.get("ts", b"")
    if not _PHONE.fullmatch(phone):
        raise CallbackMalformed("phone must have 1 to 15 digits.", Kind.CALL)
    if not _TS.fullmatch(ts):
        raise CallbackMalformed("ts must have 1 to 10 digits.", Kind.CALL)
    return InboundCall(f"+{phone.decode()}", datetime.fromtimestamp(int(ts), UTC))


def _text(fields: Fields) -> InboundText | None:
    """Return the text; None if the sender or the recipient is not a number but a name."""
    codec = CHARSETS[fields.charset]
    readable = fields.raw["mes"].decode(codec, "replace")
    if resembles_mark(readable):
        return _text_like_a_call(fields, readable)
    try:
        text = fields.raw["mes"].decode(codec)
    except UnicodeDecodeError as error:
        raise CallbackMalformed("mes is not text in the named charset.", Kind.SMS) from error
    cli, to = fields.raw["phone"], fields.raw["to"]
    if not _PHONE.fullmatch(cli) or not _PHONE.fullmatch(to):
        return None
    return InboundText(f"+{cli.decode()}", f"+{to.decode()}", text)


def _text_like_a_call(fields: Fields, text: str) -> InboundText | None:
    """Read as much as possible. A text that is refused here could still be taken for a call in the provider's inbox."""
    cli, to = (_WRITTEN_PHONE.fullmatch(fields.raw[name]) for name in ("phone", "to"))
    if cli is None:
        return None
    return InboundText(f"+{cli[1].decode()}", f"+{to[1].decode()}" if to else "", text, like_call=True)


def _report(fields: Fields) -> DeliveryReport | None:
    """Return the delivery report; None if its message id cannot be ours, or its status is unknown."""
    message_id, cli, status = (fields.raw[name] for name in _COVERED[Kind.STATUS])
    # The hash does not cover err, so it may only explain a failure.
    delivery = delivery_of(status, fields.raw.get("err", b""))
    if delivery is None or not _MESSAGE_ID.fullmatch(message_id) or not _PHONE.fullmatch(cli):
        return None
    return DeliveryReport(int(message_id), f"+{cli.decode()}", *delivery)


def _hex(algorithm: Callable[[bytes], bytes]) -> Callable[[bytes], list[bytes]]:
    return lambda message: [algorithm(message)]


def _crc32(message: bytes) -> list[bytes]:
    # The provider's notation is unknown: unsigned, signed, or eight hexadecimal digits.
    checksum = zlib.crc32(message)
    signed = checksum - (1 << 32) if checksum >> 31 else checksum
    return [b"%d" % checksum, b"%d" % signed, b"%08x" % checksum]


_SPELLINGS: dict[str, Callable[[bytes], list[bytes]]] = {
    # md5 and sha1 are weak, but the provider offers nothing stronger.
    "md5": _hex(lambda message: md5(message, usedforsecurity=False).hexdigest().encode()),
    "sha1": _hex(lambda message: sha1(message, usedforsecurity=False).hexdigest().encode()),
    "crc32": _crc32,
}
