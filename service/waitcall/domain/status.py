"""Statuses of a verification and their reasons (contract, section 4)."""

from enum import StrEnum


class Status(StrEnum):
    """Status of a verification."""

    ORDERING = "ordering"
    PENDING = "pending"
    VERIFIED = "verified"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    CANCELED = "canceled"
    FAILED = "failed"
    CONTESTED = "contested"
    LAPSED = "lapsed"


class Reason(StrEnum):
    """Reason for a verification's status."""

    CALL_MATCHED = "call_matched"
    TEXT_MATCHED = "text_matched"
    CODE_MATCHED = "code_matched"
    NO_CALL = "no_call"
    NO_TEXT = "no_text"
    NO_CODE = "no_code"
    LATE_CALL = "late_call"
    LATE_TEXT = "late_text"
    ATTEMPTS_SPENT = "attempts_spent"
    NOT_CONSUMED = "not_consumed"
    BY_CLIENT = "by_client"
    BY_OPERATOR = "by_operator"
    PROVIDER_ERROR = "provider_error"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    NUMBER_REFUSED = "number_refused"
    CONCURRENT_REQUEST = "concurrent_request"


LIVE = frozenset({Status.ORDERING, Status.PENDING, Status.CONTESTED})
"""Statuses in which a record holds its number."""
FINISHED = frozenset({Status.CONSUMED, Status.EXPIRED, Status.CANCELED, Status.FAILED, Status.LAPSED})
