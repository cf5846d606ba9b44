"""Log lines as JSON with the request's id. Phone numbers and verification ids are masked, also in lines of libraries."""

import json
import logging
import re
from functools import partial
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from waitcall.application.effects import AuditEntry
from waitcall.application.request_context import request_id, trace_id

# Any run of digits that is long enough for a phone number, and any number written with spaces or hyphens of any kind. It
# is better to mask a harmless counter than to leak a number.
_DIGITS = re.compile(r"\d{7,}")
_BETWEEN = r"(?:[ ().\-/\[\]\t\xa0\xad\u2000-\u206f\u2212\u3000\ufeff\uff08-\uff0f]|%20)*"
_BEHIND_THE_PLUS = rf"{_BETWEEN}\d{_BETWEEN}(?:\d{_BETWEEN}){{5,}}"
_WRITTEN = re.compile(r"(?:[+\uff0b]|%2[Bb])" + _BEHIND_THE_PLUS)
_NO_DIGITS = re.compile(r"%2[0Bb]|\D")
# Ids of verifications, tokens of hosted pages, and their results.
_SECRET = re.compile(r"(ver_)[0-9a-f]{16,}|[0-9a-f]{32,}", re.IGNORECASE)
_SHORTEST = 7
"""Length of the shortest text that one of these patterns finds: a plus and six digits."""
_LONGEST_VALUE = 8000
"""Number of characters after which a value is cut. A traceback has a few thousand."""
_SHORTEST_NUMBER = 10**6
"""Integers and floats from this size on are masked."""

_audit_log = logging.getLogger("waitcall.audit")


def masked(text: str) -> str:
    """Return ``text`` with only the last two digits of each phone number and the last six characters of each id."""
    if len(text) < _SHORTEST:
        return text
    return _without_numbers(_SECRET.sub(lambda match: f"{match[1] or ''}***{match[0][-6:]}", text))


def _without_numbers(text: str) -> str:
    text = _WRITTEN.sub(lambda match: f"***{_NO_DIGITS.sub('', match[0])[-2:]}", text)
    return _DIGITS.sub(lambda match: f"***{match[0][-2:]}", text)


def _clean(value: Any) -> Any:
    """Mask all texts in a value, and cut long ones."""
    match value:
        case None | bool():
            return value
        # A greater number may be a phone number. Infinity and NaN are masked as text, because JSON cannot express them.
        case int() | float() if abs(value) < _SHORTEST_NUMBER:
            return value
        case dict():
            return {masked(str(name)): _clean(item) for name, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
    return masked(str(value)[:_LONGEST_VALUE])


class MaskingJsonFormatter(JsonFormatter):
    """Formatter of a record as a JSON object: time (UTC), level, logger, message, request_id and ``extra`` fields."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            timestamp="time",
            json_serializer=partial(json.dumps, separators=(",", ":")),
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add the ids of request and trace, and mask the whole line. JSON escapes newlines and other alphabets."""
        time = log_data.pop("time")
        # Hexadecimal digits in these ids are harmless, so only numbers are masked in them.
        names = {"request_id": request_id.get(), "trace_id": trace_id.get()}
        names |= {name: log_data.pop(name) for name in names.keys() & log_data.keys()}
        line: dict[str, Any] = _clean(log_data)
        line |= {name: _without_numbers(str(value)) for name, value in names.items() if value is not None}
        return line | {"time": time.isoformat(timespec="microseconds")}


def log_audit_entry(entry: AuditEntry) -> None:
    """Log an entry of the audit stream, without phone number and id, for operators who collect logs elsewhere."""
    _audit_log.info(
        "audit", extra={"event": entry.event, "actor": entry.actor, "details": dict(entry.details or {})}
    )


def logging_config(level: str) -> dict[str, Any]:
    """Return the ``logging.config`` dictionary for the whole process tree, including gunicorn."""
    # gunicorn and urllib3 log paths at level debug, and a path contains a verification's id.
    quiet = {"level": "INFO" if level == "debug" else level.upper()}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": MaskingJsonFormatter}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"},
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": {**quiet, "handlers": [], "propagate": True},
            # Our own access log has one line for each request, with the route instead of the path.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            "urllib3": quiet,
        },
    }
