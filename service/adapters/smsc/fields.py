"""A callback's fields, from its query string and its body: form, XML or JSON, in three charsets.

One field with two values is refused: whoever checks one must not act on the other.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

CHARSETS = {"windows-1251": "cp1251", "utf-8": "utf-8", "koi8-r": "koi8-r"}
DEFAULT_CHARSET = "windows-1251"
MAX_FIELDS = 200

_XML_DECLARATION = re.compile(r"\s*<\?xml(?:[^>]*?encoding=[\"']([A-Za-z0-9._-]+)[\"'])?[^>]*\?>")
Pairs = list[tuple[str, str]]


class FieldsUnreadable(Exception):
    """Not a form, XML or JSON object; says why."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Field names to values.

    Attributes:
        raw: each value as received, in bytes; escapes of JSON and XML in ``charset``.
        charset: a key of CHARSETS.
        others: the same in other charsets that the sender of a document may have hashed in.
    """

    raw: dict[str, bytes] = field(repr=False)
    charset: str
    others: tuple[dict[str, bytes], ...] = field(default=(), repr=False)

    def spellings(self, names: Sequence[str]) -> list[list[bytes]]:
        """The values of ``names`` in each way that their sender may have hashed them."""
        sources = [source for source in (self.raw, *self.others) if all(name in source for name in names)]
        return [[source[name] for name in names] for source in sources]


def read_fields(query: bytes, body: bytes) -> Fields:
    """All fields of a request.

    Raises:
        FieldsUnreadable
    """
    # Latin-1 maps each byte to one character and back, so nothing is lost before the charset is known.
    in_query = _form(query)
    text = body.decode("latin-1").removeprefix("\xef\xbb\xbf")
    head = text.lstrip()[:1]
    reader = _json if head == "{" else _xml if head == "<" else None
    if reader is None:
        values = _merged(in_query, _form(body))
        raw = {name: value.encode("latin-1") for name, value in values.items()}
        return Fields(raw, _charset(values.get("charset")) or DEFAULT_CHARSET)
    in_document = _XML_DECLARATION.match(text)
    declared = in_document[1] if in_document else None
    charset = _charset(_merged(in_query, reader(text)).get("charset") or declared)
    return _document(in_query, reader, body, charset or _guessed(body))


def _document(in_query: Pairs, reader: Callable[[str], Pairs], body: bytes, charset: str) -> Fields:
    try:
        values = _once(reader(body.decode(CHARSETS[charset]).removeprefix("\ufeff")))
    except UnicodeError as error:
        raise FieldsUnreadable("The body is not text in the charset named.") from error
    raw, *others = (
        _encoded(in_query, values, codec) for codec in (CHARSETS[charset], "utf-8", CHARSETS[DEFAULT_CHARSET])
    )
    # Which charset a hashed text had before it became JSON or XML is not documented.
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
        raise FieldsUnreadable("charset must be windows-1251, utf-8 or koi8-r.")
    return charset


def _guessed(body: bytes) -> str:
    # A document that names no charset: UTF-8 cannot be mistaken for anything else, and JSON is UTF-8.
    try:
        body.decode()
    except UnicodeDecodeError:
        return DEFAULT_CHARSET
    return "utf-8"


def _merged(in_query: Pairs, in_body: Pairs) -> dict[str, str]:
    query, body = _once(in_query), _once(in_body)
    for name, value in query.items():
        # The provider repeats its URL's parameters among the fields, so equal ones may stand twice.
        if body.get(name, value) != value:
            raise FieldsUnreadable("A field stands twice.")
    return query | body


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise FieldsUnreadable("A field stands twice.")
        values[name] = value
    return values


def _form(encoded: bytes) -> Pairs:
    if not encoded:
        return []
    text = encoded.decode("latin-1")
    if "%" not in text and "+" not in text and text.count("&") < MAX_FIELDS:
        # Nothing is escaped, as in most calls: what parse_qsl would do, in a fifth of its steps.
        return [(name, value) for name, _, value in (each.partition("=") for each in text.split("&") if each)]
    try:
        return parse_qsl(
            text,
            keep_blank_values=True,
            encoding="latin-1",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise FieldsUnreadable("Too many fields.") from error


def _json(text: str) -> Pairs:
    pairs: list[Pairs] = []

    def keep(found: list[tuple[str, Any]]) -> Any:
        pairs.append([(name, value) for name, value in found if isinstance(value, str)])
        if len({name for name, _ in found}) != len(found):
            raise FieldsUnreadable("A field stands twice.")
        return found

    try:
        # Numbers stay the text that they were: the hash covers what was received.
        json.loads(text, object_pairs_hook=keep, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise FieldsUnreadable("The body is not JSON.") from error
    return pairs[-1]


def _xml(text: str) -> Pairs:
    try:
        # The declaration's encoding has been dealt with: this is text already.
        root = fromstring(_XML_DECLARATION.sub("", text, count=1), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise FieldsUnreadable("The body is not XML.") from error
    return [(child.tag, child.text or "") for child in root if len(child) == 0]
