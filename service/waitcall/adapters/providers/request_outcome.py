"""Outcomes of requests to a provider."""

from enum import StrEnum


class RequestOutcome(StrEnum):
    """RequestOutcome of one request to a provider; the closed set of a metric's label."""

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
