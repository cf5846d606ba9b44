"""JSON lines with a request id, in which no line holds a phone number or a verification's id, whoever wrote it."""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from time import time
from typing import Any, TextIO

import orjson
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from service.application.context import request_id, trace_id

# Any run of digits long enough for a number, and any number written with spaces or hyphens of any kind. Greedy on
# purpose: a masked counter costs nothing, an unmasked number cannot be taken back.
_DIGITS = re.compile(r"\d{7,}")
_BETWEEN = r"(?:[ ().\-/\[\]\t\xa0\xad\u2000-\u206f\u2212\u3000\ufeff\uff08-\uff0f]|%20)*"
_BEHIND_THE_PLUS = rf"{_BETWEEN}\d{_BETWEEN}(?:\d{_BETWEEN}){{5,}}"
_WRITTEN = re.compile(r"(?:[+\uff0b]|%2[Bb])" + _BEHIND_THE_PLUS)
_NO_DIGITS = re.compile(r"%2[0Bb]|\D")
# The same in a line's bytes where nothing is escaped: what begins with one character is found fast.
_PLUS = re.compile(rb"\+[ (]*[0-9](?:[ ().\-/\[\]]|%20)*(?:[0-9](?:[ ().\-/\[\]]|%20)*){5,}")
# Ids of verifications, tokens of pages, and results.
_SECRET = re.compile(r"(ver_)[0-9a-f]{16,}|[0-9a-f]{32,}", re.IGNORECASE)
# Hexadecimal digits here name a request and nothing else.
_NAMES_OF_REQUESTS = frozenset({"request_id", "trace_id"})
_LONGEST_VALUE = 8000
"""Characters of a value; a traceback has some thousand."""

_NOT_ADDED = frozenset(RESERVED_ATTRS)
_OWN_FIELDS = frozenset({"time", "level", "logger", "request_id", "trace_id"})


def masked(text: str) -> str:
    """``text`` with every phone number hidden but for its last two digits, and every id but for its last six."""
    return _without_numbers(_SECRET.sub(lambda match: f"{match[1] or ''}***{match[0][-6:]}", text))


def _without_numbers(text: str) -> str:
    text = _WRITTEN.sub(lambda match: f"***{_NO_DIGITS.sub('', match[0])[-2:]}", text)
    return _DIGITS.sub(lambda match: f"***{match[0][-2:]}", text)


_escaped = JsonEncoder(ensure_ascii=True).encode


def _written(fields: dict[str, Any]) -> bytes:
    """As JSON in ASCII, whatever the values are."""
    try:
        line = orjson.dumps(fields)
    except TypeError:
        return _escaped(fields).encode()
    # Other alphabets hold characters that make a terminal show another line than was written.
    return line if line.isascii() else _escaped(fields).encode()


# Each digit becomes 0, whatever else a space: to look for a row of zeros in that is faster than a regular expression.
_ZEROS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))


_HEXADECIMAL = bytes(ord("0") if byte in b"0123456789abcdefABCDEF" else ord(" ") for byte in range(256))
_TOKEN_DIGITS = b"0" * 56


def _may_hold_a_secret(line: bytes) -> bool:
    return (
        b"0000000" in line.translate(_ZEROS)
        or b"ver_" in line
        or b"result" in line
        # What JSON escapes is looked at unescaped.
        or b"\\" in line
        or _PLUS.search(line) is not None
        or (b"%2" in line and _WRITTEN.search(line.decode()) is not None)
        or _TOKEN_DIGITS in line.translate(_HEXADECIMAL)
    )


@lru_cache(maxsize=1)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()[:19]


class LineHandler(logging.StreamHandler[TextIO]):
    """Each line is one write, which needs no lock."""

    def createLock(self) -> None:  # noqa: N802  the library's name
        """None."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Write it: nothing is filtered, and there is no lock."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        try:
            self.stream.write(self.format(record) + "\n")
            self.stream.flush()
        except Exception:  # noqa: BLE001  as the library's
            self.handleError(record)


# Formatters look for these in the record's own dictionary.
_UNKNOWN = {
    **dict.fromkeys(("pathname", "filename", "module", "funcName"), "unknown"),
    **dict.fromkeys(("thread", "threadName", "process", "processName", "exc_text", "stack_info")),
    **dict.fromkeys(("lineno", "msecs", "relativeCreated"), 0),
}


class LineRecord(logging.LogRecord):
    """What was logged, without what no line shows: where, by which thread, since when."""

    def __init__(  # noqa: PLR0913, PLR0917  the library's signature
        self,
        name: str,
        level: int,
        pathname: str,  # noqa: ARG002  as above
        lineno: int,  # noqa: ARG002  as above
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,  # noqa: ARG002  as above
        sinfo: str | None = None,
        **_: Any,
    ) -> None:
        self.__dict__.update(_UNKNOWN)
        self.name = name
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.msg = msg
        # One dictionary names its values itself.
        self.args = args[0] if args and len(args) == 1 and isinstance(args[0], Mapping) else args
        self.exc_info = exc_info
        if sinfo is not None:
            self.stack_info = sinfo
        self.created = time()


class MaskingJsonFormatter(JsonFormatter):
    """One JSON object a line: time (UTC), level, logger, message, request_id, and what the call adds."""

    def __init__(self) -> None:
        super().__init__(json_serializer=lambda fields, **_: _written(fields).decode())

    def format(self, record: logging.LogRecord) -> str:
        """The line. What the library does beside it concerns exceptions, and messages that are dictionaries."""
        if record.exc_info or record.exc_text or record.stack_info or isinstance(record.msg, dict):
            return super().format(record)
        record.message = record.getMessage() if record.args else str(record.msg)
        fields: dict[str, Any] = {}
        self.add_fields(fields, record, {})
        return self.jsonify_log_record(self.process_log_record(fields))

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
        whole, part = divmod(int(record.created * 1_000_000), 1_000_000)
        log_data["time"] = f"{_second(whole)}.{part:06}+00:00"

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
        """Mask every text that reaches the line, and cut what is too long; newlines are escaped by JSON itself.

        A line in which JSON had nothing to escape, and no number or id is found, holds none.
        """
        line = _written(log_data)
        if len(line) <= _LONGEST_VALUE and not _may_hold_a_secret(line):
            return line.decode()
        cleaned = {masked(name): _clean(value) for name, value in log_data.items() if name != "time"}
        cleaned |= {
            name: _without_numbers(str(log_data[name])) for name in _NAMES_OF_REQUESTS & log_data.keys()
        }
        cleaned["time"] = log_data["time"]
        return _written(cleaned).decode()


def _clean(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**6 else masked(str(value))
    if isinstance(value, dict):
        return {masked(str(name)): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return masked(str(value)[:_LONGEST_VALUE])


def spare_what_no_line_shows() -> None:
    """From now on nothing looks up where a line was logged from (Python's logging HOWTO, Optimization), nor the rest of it."""
    logging._srcfile = None  # noqa: SLF001  as the HOWTO says
    logging.setLogRecordFactory(LineRecord)


def logging_config(level: str) -> dict[str, Any]:
    """The ``logging.config`` dictionary for the whole process tree, gunicorn included."""
    # Both write paths at debug, and a path holds a verification's id.
    quiet = {"level": "INFO" if level == "debug" else level.upper()}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": MaskingJsonFormatter}},
        "handlers": {
            "stderr": {"()": LineHandler, "formatter": "json", "stream": "ext://sys.stderr"},
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": {**quiet, "handlers": [], "propagate": True},
            # Ours is one line a request, with the route and not the path.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            "urllib3": quiet,
        },
    }
