"""Keep ids of verifications out of log lines and messages: they are secrets, and httpx logs every URL."""

import logging
import re

# Every logger of httpx and httpcore. A filter works on the lines of its own logger alone, not on those of its children.
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
    """The text with nothing but the last six digits of each id."""
    return _ID.sub(r"ver_…\1", text)


class IdFilter(logging.Filter):
    """Mask ids in every line; none is dropped. Add it to loggers of yours that may show ids."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the line where there is something to mask."""
        message = record.getMessage()
        hidden = masked(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True


_filter = IdFilter()


def mask_logs() -> None:
    """Install the filter on the loggers of httpx and httpcore. A client does it when it is made; a repeat changes nothing."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)
