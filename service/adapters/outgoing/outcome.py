"""How one request to a provider ended."""

from enum import StrEnum


class Outcome(StrEnum):
    """How one request to the provider ended; the metric's closed set."""

    OK = "ok"
    BAD_NUMBER = "bad_number"
    NUMBER_REFUSED = "number_refused"
    REJECTED = "rejected"
    CREDENTIALS = "credentials"
    THROTTLED = "throttled"
    UNREADABLE = "unreadable"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    NOT_SENT = "not_sent"
