"""How the limits stand, as headers: draft-ietf-httpapi-ratelimit-headers-10, structured fields (RFC 9651)."""

from collections.abc import Sequence

from service.domain.limits import LimitState, Mode

POLICY_HEADER, HEADER = "RateLimit-Policy", "RateLimit"
LIMIT_HEADERS = {
    POLICY_HEADER: {
        "description": "Each limit that was asked: quota `q`, window `w` in seconds.",
        "schema": {"type": "string"},
    },
    HEADER: {
        "description": "What is left of each: `r`, until the next is free in `t` seconds.",
        "schema": {"type": "string"},
    },
}
"""The headers as the OpenAPI document describes them."""


def limit_headers(states: Sequence[LimitState]) -> dict[str, str]:
    """Each enforced limit with its quota and window, and what is left of it until when (seconds)."""
    enforced = [state for state in states if state.limit.mode is Mode.ENFORCE]
    if not enforced:
        return {}
    policy = ", ".join(
        f'"{_name(each)}";q={each.limit.count};w={each.limit.period_seconds}' for each in enforced
    )
    left = ", ".join(f'"{_name(each)}";r={each.remaining};t={each.reset_seconds}' for each in enforced)
    return {POLICY_HEADER: policy, HEADER: left}


def _name(state: LimitState) -> str:
    # One scope may have several limits; the period tells them apart.
    return f"{state.scope}-{state.limit.period_seconds}"
