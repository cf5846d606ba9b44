"""Fields of a form, urlencoded or multipart, read in linear time and within bounds.

Values are decoded as Latin-1, one character for each byte, because one of the fields may name the real charset and the
signature covers the bytes.
"""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

MOST_FIELDS = 200
# RFC 2046 allows a boundary of 70 characters.
_LONGEST_TYPE = 300
# The library is slowest with part headers that hold thousands of one of these characters. Two hundred fields have fewer
# of them, and so does the longest text message.
_MARKS = (b"\n", b"\r", b";", b'"', b"\\", b"%")
_MOST_MARKS = 1200

Pairs = list[tuple[str, str]]


class FormUnreadable(Exception):
    """The body is not a form, or another document that holds its fields. The message says why."""


def read_form(body: bytes, content_type: str = "") -> Pairs:
    """Read the fields in their order.

    Args:
        body: the complete body.
        content_type: the header. Anything but ``multipart/form-data`` is read as urlencoded.

    Raises:
        FormUnreadable
    """
    kind, options = parse_options_header(content_type[:_LONGEST_TYPE])
    if kind.lower() == "multipart/form-data":
        return list(_parts(body, options.get("boundary", "")))
    return read_urlencoded(body)


def read_urlencoded(encoded: bytes) -> Pairs:
    """Read the fields of a form or a query string in their order. Raises FormUnreadable."""
    if not encoded:
        return []
    text = encoded.decode("latin-1")
    escapes = text.count("%")
    if not escapes and "+" not in text and text.count("&") < MOST_FIELDS:
        # Most callbacks escape nothing. This gives the same fields as parse_qsl, in a fifth of its steps.
        return [(name, value) for name, _, value in (each.partition("=") for each in text.split("&") if each)]
    if escapes > MOST_FIELDS and escapes * 3 > len(text):
        # An escape has three characters, and the library is slowest with texts that only begin like one.
        raise FormUnreadable("The escapes are not those of a form.")
    try:
        return parse_qsl(text, keep_blank_values=True, encoding="latin-1", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise FormUnreadable("Too many fields.") from error


def read_parameters(encoded: bytes) -> dict[str, str]:
    """Read the parameters of an urlencoded form in UTF-8, none of which may appear twice or hold a NUL.

    A form never has a bare quote, but every JSON object has one. It is refused, because Telnyx does not sign the content type:
    a text in a signed JSON event could otherwise be read as parameters.

    Raises:
        FormUnreadable
    """
    if b'"' in encoded:
        raise FormUnreadable("This is not an urlencoded form.")
    pairs = read_urlencoded(encoded)
    given = dict(pairs)
    if len(given) != len(pairs):
        raise FormUnreadable("A parameter appears twice.")
    text = "".join(name + value for name, value in pairs)
    if "\0" in text:
        raise FormUnreadable("A parameter has a NUL.")
    try:
        text.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise FormUnreadable("The parameters are not UTF-8.") from error
    return given


def _parts(body: bytes, boundary: str) -> Iterator[tuple[str, str]]:
    name, value = "", b""
    for event in _events(body, boundary):
        match event:
            case Field() | File():
                # The library gives None for a part without a name.
                name, value = event.name or "", b""
            case Data():
                value += event.data
                if not event.more_data:
                    yield name, value.decode("latin-1")
            case _:
                pass


def _events(body: bytes, boundary: str) -> Iterator[Event]:
    if not boundary.isascii() or not boundary:
        raise FormUnreadable("The boundary is missing.")
    if any(body.count(mark) > _MOST_MARKS for mark in _MARKS):
        raise FormUnreadable("Too many lines or marks for a form.")
    decoder = MultipartDecoder(boundary.encode(), max_parts=MOST_FIELDS)
    try:
        for piece in (body, None):
            decoder.receive_data(piece)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                yield event
    except (ValueError, HTTPException) as error:
        raise FormUnreadable("Not a multipart form, or one of too many parts.") from error
