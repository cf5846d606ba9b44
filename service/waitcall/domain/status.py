"""Statuses of a verification and their reasons (contract, section 4). docs/reference/api.md is made from the words below each."""

from enum import StrEnum


class Status(StrEnum):
    """Status of a verification."""

    ORDERING = "ordering"
    """The provider is being asked for a number. Never shown to clients."""
    PENDING = "pending"
    """Waiting for the call, the text or the code."""
    VERIFIED = "verified"
    """The number is proven. Consume within the purpose's `result_seconds`."""
    CONSUMED = "consumed"
    """The proof was redeemed."""
    EXPIRED = "expired"
    """The window ended without a proof."""
    CANCELED = "canceled"
    """A client or an operator ended the verification."""
    FAILED = "failed"
    """No number could be ordered, no code could be sent, or too many wrong codes were typed."""
    CONTESTED = "contested"
    """Another requester asked for the same number, so a call proves nothing."""
    LAPSED = "lapsed"
    """The number was proven, but the proof was not consumed in time."""


class Reason(StrEnum):
    """Reason for a verification's status."""

    CALL_MATCHED = "call_matched"
    """The call came from the number."""
    TEXT_MATCHED = "text_matched"
    """The text came from the number."""
    CODE_MATCHED = "code_matched"
    """The right code was typed."""
    NO_CALL = "no_call"
    """No call came."""
    WEAK_CALL = "weak_call"
    """A call came from the number, but it proved less than the purpose requires."""
    NO_TEXT = "no_text"
    """No text came."""
    NO_CODE = "no_code"
    """The code was not typed."""
    LATE_CALL = "late_call"
    """The call came after the window."""
    LATE_TEXT = "late_text"
    """The text came after the window."""
    ATTEMPTS_SPENT = "attempts_spent"
    """Too many wrong codes were typed."""
    NOT_CONSUMED = "not_consumed"
    """The proof was not consumed in time."""
    BY_CLIENT = "by_client"
    """The client canceled it."""
    BY_OPERATOR = "by_operator"
    """An operator canceled it or blocked the number."""
    PROVIDER_ERROR = "provider_error"
    """The provider answered with an error."""
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    """The provider could not be reached."""
    NUMBER_REFUSED = "number_refused"
    """The provider does not serve the number."""
    CONCURRENT_REQUEST = "concurrent_request"
    """Another requester asked for the number, and the purpose has `on_concurrent = "contest"`."""


_MATCHED = (Reason.CALL_MATCHED, Reason.TEXT_MATCHED, Reason.CODE_MATCHED)
REASONS = {
    Status.PENDING: (),
    Status.VERIFIED: _MATCHED,
    Status.CONSUMED: _MATCHED,
    Status.EXPIRED: (
        Reason.NO_CALL,
        Reason.LATE_CALL,
        Reason.WEAK_CALL,
        Reason.NO_TEXT,
        Reason.LATE_TEXT,
        Reason.NO_CODE,
    ),
    Status.LAPSED: (Reason.NOT_CONSUMED,),
    Status.CANCELED: (Reason.BY_CLIENT, Reason.BY_OPERATOR),
    Status.FAILED: (
        Reason.PROVIDER_ERROR,
        Reason.PROVIDER_UNAVAILABLE,
        Reason.NUMBER_REFUSED,
        Reason.ATTEMPTS_SPENT,
    ),
    Status.CONTESTED: (Reason.CONCURRENT_REQUEST,),
}
"""Possible reasons of each status that clients see."""

LIVE = frozenset({Status.ORDERING, Status.PENDING, Status.CONTESTED})
"""Statuses in which a record holds its number."""
FINISHED = frozenset({Status.CONSUMED, Status.EXPIRED, Status.CANCELED, Status.FAILED, Status.LAPSED})
