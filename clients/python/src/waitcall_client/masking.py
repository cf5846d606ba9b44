"""Masking of verification ids in log lines and messages. Ids are secrets, and httpx logs every URL."""

import logging
import re

# All loggers of httpx and httpcore. A filter applies only to its own logger, not to the logger's children.
LOGGERS = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)
_ID = re.compile(r"ver_[0-9a-f]{58}([0-9a-f]{6})", re.ASCII)


def masked(text: str) -> str:
    """Return the text with only the last six digits of each id."""
    return _ID.sub(r"ver_…\1", text)


class IdFilter(logging.Filter):
    """Logging filter that masks ids and drops no line. Add it to your own loggers that may log ids."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the ids in a line. Return True, so that the line is kept."""
        message = record.getMessage()
        hidden = masked(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True


_filter = IdFilter()


def mask_logs() -> None:
    """Add the filter to the loggers of httpx and httpcore. Each client calls this; repeated calls change nothing."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)
