"""What a value in the policy file may be: fields and checks of more than one table, or with a rule of their own."""

import re
from datetime import datetime
from string import Formatter
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from service.domain.code import CODE_DIGITS
from service.domain.errors import InvalidPhoneNumber
from service.domain.limits import Limit
from service.domain.numbers import E164, REGIONS
from service.domain.policy import Provider

_ORIGIN = re.compile(r"(https?)://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:[1-9][0-9]{0,4})?", re.ASCII)
_LATIN_PART, _OTHER_PART = 160, 70
NAME = fields.String(
    validate=validate.Regexp(
        r"^[a-z][a-z0-9_-]{0,62}$", error="Names are a-z, 0-9, - and _, from a letter on."
    )
)
REGION = validate.OneOf(REGIONS, error="{input} is no region, for instance RU.")


def _limit(text: str) -> Limit:
    try:
        return Limit.parse(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def _number(text: str) -> E164:
    try:
        return E164.parse(text)
    except InvalidPhoneNumber as error:
        raise ValidationError("Not a phone number in E.164 form.") from error


def _time(value: Any) -> datetime:
    # TOML has times of its own; one without an offset could mean anything.
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValidationError("Must be a time with an offset, unquoted: 2027-01-01T00:00:00Z.")
    return value


def limit_text() -> fields.String:
    """``5/10m``, loaded as Limit."""
    return fields.String(post_load=_limit)


def phone_number() -> fields.String:
    """Phone number in E.164 form, loaded as E164."""
    return fields.String(post_load=_number)


def time_with_offset() -> fields.Raw:
    """Time of TOML, loaded as datetime."""
    return fields.Raw(post_load=_time)


def is_an_origin(text: str) -> None:
    """ValidationError where it is none, as browsers write them."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValidationError(
            "Must be an origin as browsers write it: https://login.example.org, no slash behind."
        )
    if match[1] == "http" and match[2] not in ("127.0.0.1", "localhost"):
        raise ValidationError("http:// is for loopback only.")


def is_a_code_text(text: str) -> None:
    """ValidationError where it is no text of one message with one ``{code}``."""
    try:
        pieces = [name for _, name, *_ in Formatter().parse(text) if name is not None]
    except ValueError:
        pieces = []
    if pieces != ["code"]:
        raise ValidationError("Must hold {code} once, and no other braces.")
    # One part: what is longer is paid twice (smsc-api.md, section 9).
    longest = _LATIN_PART if text.isascii() else _OTHER_PART
    if len(text.format(code="0" * CODE_DIGITS)) > longest:
        raise ValidationError(f"Must fit into one message: {longest} characters.")


def is_a_picture(text: str) -> None:
    """ValidationError where it is nothing that a browser may fetch."""
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValidationError("Not a URL.") from error
    loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or (parts.scheme != "https" and not loopback):
        raise ValidationError("Must be an https:// URL; a browser fetches it.")


def each_once(names: list[Provider]) -> None:
    """ValidationError for an empty list, or a name that stands twice."""
    if not names or len(set(names)) != len(names):
        raise ValidationError("Name at least one, each at most once.")
