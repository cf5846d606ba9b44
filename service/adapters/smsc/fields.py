"""A callback's fields, from its query string and its body: form, XML or JSON, in three charsets.

One field with two values is refused: whoever checks one must not act on the other.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
        alternative: the same where the charset of a document is in doubt, for the hash alone.
    """

    raw: dict[str, bytes]
    charset: str
    alternative: dict[str, bytes]

    def spellings(self, names: Sequence[str]) -> list[list[bytes]]:
        """The values of ``names`` in each way that their sender may have hashed them."""
        return [[source[name] for name in names] for source in (self.raw, self.alternative)]


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
        charset = _charset(values, None)
        raw = {name: value.encode("latin-1") for name, value in values.items()}
        return Fields(raw, charset, raw)
    declared = _XML_DECLARATION.match(text)
    charset = _charset(_merged(in_query, reader(text)), declared[1] if declared else None)
    return _document(in_query, reader, body, charset)


def _document(in_query: Pairs, reader: Any, body: bytes, charset: str) -> Fields:
    codec = CHARSETS[charset]
    try:
        values = _merged([], reader(body.decode(codec).removeprefix("\ufeff")))
        raw = {name: value.encode(codec) for name, value in values.items()}
        # Which charset a hashed text had before it became JSON or XML is not documented.
        alternative = {name: value.encode() for name, value in values.items()}
    except UnicodeError as error:
        raise FieldsUnreadable("The body is not text in the charset named.") from error
    query = {name: value.encode("latin-1") for name, value in in_query}
    return Fields(query | raw, charset, query | alternative)


def _charset(values: dict[str, str], declared: str | None) -> str:
    name = (values.get("charset") or declared or DEFAULT_CHARSET).lower()
    name = {"cp1251": "windows-1251", "utf8": "utf-8", "koi8r": "koi8-r"}.get(name, name)
    if name not in CHARSETS:
        raise FieldsUnreadable("charset must be windows-1251, utf-8 or koi8-r.")
    return name


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
    try:
        return parse_qsl(
            encoded.decode("latin-1"),
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
