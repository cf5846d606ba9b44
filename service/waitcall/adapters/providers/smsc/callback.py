"""Decoder of SMSC's callbacks: three kinds of messages, accepted only with the right hash.

Source: smsc-api.md, sections 2 and 9. The fields come from the query string and the body: form, XML or JSON, in three
charsets. The hash covers the values exactly as they were received, so values stay bytes until the hash is checked. A field
with two values is refused, so that the value that is checked is also the value that is used. A body with too many parts is
refused before it is parsed (docs/adr/0036).
"""

import hmac
import json
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5, sha1
from io import StringIO
from traceback import clear_frames
from typing import Any
from xml.sax import SAXException  # nosec B406  # defusedxml parses
from xml.sax.handler import ContentHandler  # nosec B406  # defusedxml parses
from xml.sax.xmlreader import InputSource  # nosec B406  # defusedxml parses

from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser

from waitcall.adapters.providers.callback_form import (
    MOST_FIELDS,
    FormUnreadable,
    Pairs,
    read_form,
    read_urlencoded,
)
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, InboundText, Kind, OtherMessage, skeleton

Message = InboundCall | InboundText | DeliveryReport | OtherMessage

HASHES = ("md5", "sha1", "crc32")
CHARSETS = {"windows-1251": "cp1251", "utf-8": "utf-8", "koi8-r": "koi8-r"}
DEFAULT_CHARSET = "windows-1251"
_LONGEST_DECLARATION = 200
# A field takes two tags. The root, a declaration and some comments need a few more.
_MOST_TAGS = 2 * MOST_FIELDS + 20
# The longest text message has 1000 characters.
_MOST_MARKS = 2000
# A field's name and its text take two quotes each.
_MOST_QUOTES = 4 * MOST_FIELDS
_MARK = "[waitcall]"
"""The mark of a call in the provider's inbox: a word at its beginning. Any text message may begin with it, too."""

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
# Message statuses and delivery errors (smsc-api.md, section 9).
_QUEUED = (b"-1", b"0", b"24")
_DELIVERED = (b"1", b"2", b"4")
_FAILED = {
    b"-2": "stopped",
    b"3": "expired",
    b"20": "undeliverable",
    b"22": "wrong_number",
    b"23": "forbidden",
    b"25": "unreachable",
}
_ERRORS = {
    b"1": "no_subscriber",
    b"6": "not_in_network",
    b"11": "no_sms_service",
    b"12": "handset",
    b"13": "blocked",
    b"21": "unsupported",
    b"247": "daily_limit",
    b"248": "no_route",
    b"249": "wrong_number",
    b"250": "barred",
    b"251": "number_limit",
    b"252": "barred",
    b"253": "spam_filter",
    b"254": "sender_not_registered",
    b"255": "rejected_by_operator",
}


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of a callback.

    Attributes:
        raw: values by field name, as bytes as they were received; unescaped values of JSON and XML in ``charset``.
        charset: a key of CHARSETS.
        others: the values in other charsets, in which the sender of a document may have hashed them.
    """

    raw: dict[str, bytes] = field(repr=False)
    charset: str
    others: tuple[dict[str, bytes], ...] = field(default=(), repr=False)

    def spellings(self, names: Sequence[str]) -> list[list[bytes]]:
        """Return the values of ``names`` in each encoding in which the sender may have hashed them."""
        sources = [source for source in (self.raw, *self.others) if all(name in source for name in names)]
        return [[source[name] for name in names] for source in sources]


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
        except FormUnreadable as error:
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
    delivery = _delivery(status, fields.raw.get("err", b""))
    if delivery is None or not _MESSAGE_ID.fullmatch(message_id) or not _PHONE.fullmatch(cli):
        return None
    return DeliveryReport(int(message_id), f"+{cli.decode()}", *delivery)


def _crc32(message: bytes) -> list[bytes]:
    # The provider's notation is unknown: unsigned, signed, or eight hexadecimal digits.
    checksum = zlib.crc32(message)
    signed = checksum - (1 << 32) if checksum >> 31 else checksum
    return [b"%d" % checksum, b"%d" % signed, b"%08x" % checksum]


_SPELLINGS: dict[str, Callable[[bytes], list[bytes]]] = {
    # md5 and sha1 are weak, but the provider offers nothing stronger.
    "md5": lambda message: [md5(message, usedforsecurity=False).hexdigest().encode()],
    "sha1": lambda message: [sha1(message, usedforsecurity=False).hexdigest().encode()],
    "crc32": _crc32,
}


def _delivery(status: bytes, error: bytes) -> tuple[CodeDelivery, str | None] | None:
    """Return a message's delivery status and the reason of a failure; None for an undocumented status."""
    if status in _DELIVERED:
        return CodeDelivery.DELIVERED, None
    if status in _QUEUED:
        return CodeDelivery.QUEUED, None
    if status in _FAILED:
        return CodeDelivery.FAILED, _ERRORS.get(error, _FAILED[status])
    return None


def is_marked(text: str) -> bool:
    """Tell whether the text of an inbox record begins with the mark of a call."""
    return text.strip().casefold().startswith(_MARK)


def resembles_mark(text: str) -> bool:
    """Tell whether the inbox could list this text, as the handler received it, with the mark of a call.

    This check is looser than ``is_marked``, because the characters around the letters may differ between charsets.
    """
    return skeleton(_MARK) in skeleton(text)


def read_fields(query: bytes, body: bytes, content_type: str = "") -> Fields:
    """Read all fields of a request.

    Args:
        query: the URL's raw query string.
        body: the complete body. XML and JSON are recognized by their first character.
        content_type: the header, which distinguishes a multipart form from an urlencoded one.

    Raises:
        FormUnreadable
    """
    in_query = read_urlencoded(query)
    # The charset is not known yet. Latin-1 maps each byte to one character and back, so nothing is lost.
    text = body.decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip()
    reader = {"{": _json, "<": _xml}.get(text[:1])
    if reader is not None:
        return _document(in_query, reader, text)
    values = _merged(in_query, read_form(body, content_type))
    raw = {name: value.encode("latin-1") for name, value in values.items()}
    return Fields(raw, _charset(values.get("charset")) or DEFAULT_CHARSET)


def _document(in_query: Pairs, reader: Callable[[str], Pairs], text: str) -> Fields:
    body = text.encode("latin-1")
    charset = _charset(_merged(in_query, reader(text)).get("charset") or _declared(text)) or _guessed(body)
    try:
        values = _once(reader(body.decode(CHARSETS[charset])))
    except UnicodeError as error:
        raise FormUnreadable("The body is not text in the named charset.") from error
    raw, *others = (
        _encoded(in_query, values, codec) for codec in (CHARSETS[charset], "utf-8", CHARSETS[DEFAULT_CHARSET])
    )
    # It is not documented in which charset the provider hashes a text before it writes it as JSON or XML.
    return Fields(raw, charset, tuple(others))


def _encoded(in_query: Pairs, values: dict[str, str], codec: str) -> dict[str, bytes]:
    encoded = {name: value.encode("latin-1") for name, value in in_query}
    for name, value in values.items():
        with suppress(UnicodeEncodeError):
            encoded[name] = value.encode(codec)
    return encoded


def _charset(name: str | None) -> str | None:
    if not name:
        return None
    spelt = {"cp1251": "windows-1251", "utf8": "utf-8", "koi8r": "koi8-r"}
    charset = spelt.get(name.lower(), name.lower())
    if charset not in CHARSETS:
        raise FormUnreadable("charset must be windows-1251, utf-8 or koi8-r.")
    return charset


def _declared(text: str) -> str | None:
    """Return the encoding that the XML declaration names; None if there is none."""
    declaration, end, _ = text[:_LONGEST_DECLARATION].partition("?>")
    if not end or not declaration.startswith("<?xml"):
        return None
    quoted = declaration.partition("encoding")[2].lstrip(" =")
    return quoted[1:].partition(quoted[:1])[0] if quoted[:1] in {"'", '"'} else None


def _guessed(body: bytes) -> str:
    # The document names no charset. JSON is UTF-8, and text in another charset is hardly ever valid UTF-8.
    try:
        body.decode()
    except UnicodeDecodeError:
        return DEFAULT_CHARSET
    return "utf-8"


def _merged(in_query: Pairs, in_body: Pairs) -> dict[str, str]:
    query, body = _once(in_query), _once(in_body)
    for name, value in query.items():
        # The provider repeats parameters of the URL in the body, so a field may appear in both with one value.
        if body.get(name, value) != value:
            raise FormUnreadable("A field appears twice.")
    return query | body


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise FormUnreadable("A field appears twice.")
        values[name] = value
    return values


def _json(text: str) -> Pairs:
    if (
        text.count("{") > MOST_FIELDS
        or text.count("[") > _MOST_MARKS
        or text.count('"') - text.count('\\"') > _MOST_QUOTES
    ):
        raise FormUnreadable("Too many fields.")
    pairs: list[Pairs] = []

    def keep(found: list[tuple[str, Any]]) -> Any:
        pairs.append([(name, value) for name, value in found if isinstance(value, str)])
        if len({name for name, _ in found}) != len(found):
            raise FormUnreadable("A field appears twice.")
        return found

    try:
        # Keep numbers as text, because the hash covers the text that was received.
        json.loads(text, object_pairs_hook=keep, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise FormUnreadable("The body is not JSON.") from error
    return pairs[-1]


class _Children(ContentHandler):
    """Handler that collects the root's children that contain only text. It ignores namespaces, which is fastest."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: Pairs = []
        self._depth = 0
        self._text: list[str] | None = None

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: ARG002, N802  the library's name
        """Begin a child of the root, or drop the current child, because it holds another element."""
        self._depth += 1
        self._text = [] if self._depth == 2 else None  # noqa: PLR2004  below the root

    def characters(self, content: str) -> None:
        """Collect text of the current child."""
        if self._text is not None:
            self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802  the library's name
        """Keep the child that ends, if it holds only text."""
        self._depth -= 1
        if self._text is not None:
            self.pairs.append((name, "".join(self._text)))
            self._text = None


def _xml(text: str) -> Pairs:
    if text.count("<") > _MOST_TAGS or text.count("\n") + text.count("\r") > _MOST_MARKS:
        raise FormUnreadable("Too many fields.")
    children = _Children()
    source = InputSource()
    # The text is decoded already, so the encoding in its declaration must be ignored.
    source.setCharacterStream(StringIO(text))
    parser = make_parser()
    parser.forbid_dtd = True
    parser.setContentHandler(children)
    try:
        parser.parse(source)
    except (SAXException, DefusedXmlException, ValueError) as error:
        # Break the reference cycles between parser, error and document. Otherwise a flood of broken documents would fill
        # the memory before the garbage collector runs.
        clear_frames(error.__traceback__)
        parser.setContentHandler(ContentHandler())
        parser.reset()
        raise FormUnreadable("The body is not XML.") from error
    return children.pairs
