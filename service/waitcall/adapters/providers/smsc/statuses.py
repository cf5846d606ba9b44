"""Translation of message statuses and delivery errors into our words (smsc-api.md, section 9)."""

from waitcall.domain.code import CodeDelivery

_QUEUED = (b"-1", b"0", b"24")
_DELIVERED = (b"1", b"2", b"4")
_FAILED = {
    b"-2": "stopped",
    b"3": "expired",
    b"20": "undeliverable",
    b"22": "wrong_number",
    b"23": "forbidden",
    b"25": "unreachable",
}
_ERRORS = {
    b"1": "no_subscriber",
    b"6": "not_in_network",
    b"11": "no_sms_service",
    b"12": "handset",
    b"13": "blocked",
    b"21": "unsupported",
    b"247": "daily_limit",
    b"248": "no_route",
    b"249": "wrong_number",
    b"250": "barred",
    b"251": "number_limit",
    b"252": "barred",
    b"253": "spam_filter",
    b"254": "sender_not_registered",
    b"255": "rejected_by_operator",
}
REASONS = frozenset({*_FAILED.values(), *_ERRORS.values()})
"""Closed set of reasons for a failed delivery that come from the provider."""


def delivery_of(status: bytes, error: bytes) -> tuple[CodeDelivery, str | None] | None:
    """Return a message's delivery status and the reason of a failure; None for an undocumented status."""
    if status in _DELIVERED:
        return CodeDelivery.DELIVERED, None
    if status in _QUEUED:
        return CodeDelivery.QUEUED, None
    if status in _FAILED:
        return CodeDelivery.FAILED, _ERRORS.get(error, _FAILED[status])
    return None
