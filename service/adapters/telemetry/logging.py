"""JSON lines with a request id, in which no line holds a phone number or a verification's id, whoever wrote it."""

import json
import re
from functools import partial
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from service.application.context import request_id, trace_id

# Any run of digits long enough for a number, and any number written with spaces or hyphens of any kind. Greedy on
# purpose: a masked counter costs nothing, an unmasked number cannot be taken back.
_DIGITS = re.compile(r"\d{7,}")
_BETWEEN = r"(?:[ ().\-/\[\]\t\xa0\xad\u2000-\u206f\u2212\u3000\ufeff\uff08-\uff0f]|%20)*"
_BEHIND_THE_PLUS = rf"{_BETWEEN}\d{_BETWEEN}(?:\d{_BETWEEN}){{5,}}"
_WRITTEN = re.compile(r"(?:[+\uff0b]|%2[Bb])" + _BEHIND_THE_PLUS)
_NO_DIGITS = re.compile(r"%2[0Bb]|\D")
# Ids of verifications, tokens of pages, and results.
_SECRET = re.compile(r"(ver_)[0-9a-f]{16,}|[0-9a-f]{32,}", re.IGNORECASE)
_SHORTEST = 7
"""Characters of the shortest text that any of these finds: a plus and six digits."""
_LONGEST_VALUE = 8000
"""Characters of a value; a traceback has some thousand."""
_SHORTEST_NUMBER = 10**6
"""The least of the numbers that are masked."""


def masked(text: str) -> str:
    """``text`` with every phone number hidden but for its last two digits, and every id but for its last six."""
    if len(text) < _SHORTEST:
        return text
    return _without_numbers(_SECRET.sub(lambda match: f"{match[1] or ''}***{match[0][-6:]}", text))


def _without_numbers(text: str) -> str:
    text = _WRITTEN.sub(lambda match: f"***{_NO_DIGITS.sub('', match[0])[-2:]}", text)
    return _DIGITS.sub(lambda match: f"***{match[0][-2:]}", text)


def _clean(value: Any) -> Any:
    """Mask every text in a value, and cut what is too long."""
    match value:
        case None | bool():
            return value
        # What is longer may be somebody's number, and JSON has no word for infinity.
        case int() | float() if abs(value) < _SHORTEST_NUMBER:
            return value
        case dict():
            return {masked(str(name)): _clean(item) for name, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
    return masked(str(value)[:_LONGEST_VALUE])


class MaskingJsonFormatter(JsonFormatter):
    """One JSON object a line: time (UTC), level, logger, message, request_id, and what the call adds."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            timestamp="time",
            json_serializer=partial(json.dumps, separators=(",", ":")),
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add what the request brings, and mask the whole line. JSON itself escapes newlines and other alphabets."""
        time = log_data.pop("time")
        # Hexadecimal digits here name a request and nothing else.
        names = {"request_id": request_id.get(), "trace_id": trace_id.get()}
        names |= {name: log_data.pop(name) for name in names.keys() & log_data.keys()}
        line: dict[str, Any] = _clean(log_data)
        line |= {name: _without_numbers(str(value)) for name, value in names.items() if value is not None}
        return line | {"time": time.isoformat(timespec="microseconds")}


def logging_config(level: str) -> dict[str, Any]:
    """The ``logging.config`` dictionary for the whole process tree, gunicorn included."""
    # Both write paths at debug, and a path holds a verification's id.
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
            # Ours is one line a request, with the route and not the path.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            "urllib3": quiet,
        },
    }
