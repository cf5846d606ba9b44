"""Fields of a callback, from its query string and its body: form, XML or JSON, in three charsets.

A field with two values is refused, so that the value that is checked is also the value that is used. A body with too many
parts is refused before it is parsed (docs/adr/0036).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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

CHARSETS = {"windows-1251": "cp1251", "utf-8": "utf-8", "koi8-r": "koi8-r"}
DEFAULT_CHARSET = "windows-1251"

_LONGEST_DECLARATION = 200
# A field takes two tags. The root, a declaration and some comments need a few more.
_MOST_TAGS = 2 * MOST_FIELDS + 20
# The longest text message has 1000 characters.
_MOST_MARKS = 2000
# A field's name and its text take two quotes each.
_MOST_QUOTES = 4 * MOST_FIELDS


class FieldsUnreadable(Exception):
    """The request is not a form, XML document or JSON object. The message says why."""


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


def read_fields(query: bytes, body: bytes, content_type: str = "") -> Fields:
    """Read all fields of a request.

    Args:
        query: the URL's raw query string.
        body: the complete body. XML and JSON are recognized by their first character.
        content_type: the header, which distinguishes a multipart form from an urlencoded one.

    Raises:
        FieldsUnreadable
    """
    try:
        in_query = read_urlencoded(query)
        # The charset is not known yet. Latin-1 maps each byte to one character and back, so nothing is lost.
        text = body.decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip()
        reader = {"{": _json, "<": _xml}.get(text[:1])
        if reader is not None:
            return _document(in_query, reader, text)
        values = _merged(in_query, read_form(body, content_type))
    except FormUnreadable as error:
        raise FieldsUnreadable(str(error)) from error
    raw = {name: value.encode("latin-1") for name, value in values.items()}
    return Fields(raw, _charset(values.get("charset")) or DEFAULT_CHARSET)


def _document(in_query: Pairs, reader: Callable[[str], Pairs], text: str) -> Fields:
    body = text.encode("latin-1")
    charset = _charset(_merged(in_query, reader(text)).get("charset") or _declared(text)) or _guessed(body)
    try:
        values = _once(reader(body.decode(CHARSETS[charset])))
    except UnicodeError as error:
        raise FieldsUnreadable("The body is not text in the named charset.") from error
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
        raise FieldsUnreadable("charset must be windows-1251, utf-8 or koi8-r.")
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
            raise FieldsUnreadable("A field appears twice.")
    return query | body


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise FieldsUnreadable("A field appears twice.")
        values[name] = value
    return values


def _json(text: str) -> Pairs:
    if (
        text.count("{") > MOST_FIELDS
        or text.count("[") > _MOST_MARKS
        or text.count('"') - text.count('\\"') > _MOST_QUOTES
    ):
        raise FieldsUnreadable("Too many fields.")
    pairs: list[Pairs] = []

    def keep(found: list[tuple[str, Any]]) -> Any:
        pairs.append([(name, value) for name, value in found if isinstance(value, str)])
        if len({name for name, _ in found}) != len(found):
            raise FieldsUnreadable("A field appears twice.")
        return found

    try:
        # Keep numbers as text, because the hash covers the text that was received.
        json.loads(text, object_pairs_hook=keep, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise FieldsUnreadable("The body is not JSON.") from error
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
        raise FieldsUnreadable("Too many fields.")
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
        raise FieldsUnreadable("The body is not XML.") from error
    return children.pairs
