"""JSON lines with a request id, in which no line holds a phone number, whoever wrote it."""

import logging
import re
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from service.application.context import request_id, trace_id

# Any run of digits long enough for a number, and any number written with spaces or hyphens. Greedy on
# purpose: a masked counter costs nothing, an unmasked number cannot be taken back.
_DIGITS = re.compile(r"[0-9]{7,}")
_WRITTEN = re.compile(r"(?:\+|%2[Bb])[0-9](?:[ ().\-]|%20)*(?:[0-9](?:[ ().\-]|%20)*){5,}")
_NOT_ADDED = frozenset(RESERVED_ATTRS)
_OWN_FIELDS = frozenset({"time", "level", "logger", "request_id", "trace_id"})


def masked(text: str) -> str:
    """``text`` with every phone number hidden but for its last two digits."""
    text = _WRITTEN.sub(lambda match: f"***{re.sub('[^0-9]', '', match[0])[-2:]}", text)
    return _DIGITS.sub(lambda match: f"***{match[0][-2:]}", text)


_encode = JsonEncoder(ensure_ascii=True).encode


def _written(fields: dict[str, Any], **_: Any) -> str:
    # json.dumps would make an encoder for each line.
    return _encode(fields)


class MaskingJsonFormatter(JsonFormatter):
    """One JSON object a line: time (UTC), level, logger, message, request_id, and what the call adds."""

    def __init__(self) -> None:
        super().__init__(
            json_serializer=_written,
        )

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Put the line together. The library's way looks up a new name for each field."""
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.message
        for name, value in message_dict.items():
            log_data["exception" if name == "exc_info" else name] = value
        log_data |= {
            name: value
            for name, value in record.__dict__.items()
            if name not in _NOT_ADDED and name[0] != "_"
        }
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat()

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add what the request brings."""
        current = request_id.get()
        if current is not None:
            log_data.setdefault("request_id", current)
        traced = trace_id.get()
        if traced is not None:
            log_data.setdefault("trace_id", traced)
        return log_data

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Mask every text that reaches the line; newlines are escaped by JSON itself.

        JSON escapes nothing that a number is written with, so a line in which none is found holds none.
        """
        line = super().jsonify_log_record(log_data)
        if not _DIGITS.search(line) and not _WRITTEN.search(line):
            return line
        cleaned = {name: value if name == "time" else _clean(value) for name, value in log_data.items()}
        return super().jsonify_log_record(cleaned)


def _clean(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**6 else masked(str(value))
    if isinstance(value, dict):
        return {masked(str(name)): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return masked(str(value))


def spare_what_no_line_shows() -> None:
    """Where a line was logged from, and by which thread, is looked up for each one (Python's logging HOWTO, Optimization)."""
    logging._srcfile = None  # noqa: SLF001  as the HOWTO says
    logging.logThreads = False
    logging.logProcesses = False
    logging.logMultiprocessing = False


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
