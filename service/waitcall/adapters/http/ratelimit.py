"""Rate-limit headers (draft-ietf-httpapi-ratelimit-headers-10), as structured fields (RFC 9651)."""

from collections.abc import Sequence

from waitcall.domain.limits import LimitState, Mode

POLICY_HEADER, HEADER = "RateLimit-Policy", "RateLimit"
LIMIT_HEADERS = {
    POLICY_HEADER: {
        "description": "Limits that were checked, each with its quota `q` and window `w` in seconds.",
        "schema": {"type": "string"},
    },
    HEADER: {
        "description": "State of each limit: `r` uses remain, and the oldest use expires in `t` seconds.",
        "schema": {"type": "string"},
    },
}
"""OpenAPI descriptions of the headers."""


def limit_headers(states: Sequence[LimitState]) -> dict[str, str]:
    """Return the headers for all enforced limits: quota and window; remaining uses and seconds until the reset."""
    enforced = [state for state in states if state.limit.mode is Mode.ENFORCE]
    if not enforced:
        return {}
    policy = ", ".join(
        f'"{_name(each)}";q={each.limit.count};w={each.limit.period_seconds}' for each in enforced
    )
    left = ", ".join(f'"{_name(each)}";r={each.remaining};t={each.reset_seconds}' for each in enforced)
    return {POLICY_HEADER: policy, HEADER: left}


def _name(state: LimitState) -> str:
    # A scope may have several limits, so the period is part of the name.
    return f"{state.scope}-{state.limit.period_seconds}"
