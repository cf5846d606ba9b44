"""Building of requests and reading of responses: the code that the blocking and the asyncio client share."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, wait_random_exponential

from waitcall_client import problems  # noqa: F401  the import fills Problem.known
from waitcall_client.errors import Problem, Unreachable
from waitcall_client.models import Verification

PATH = "/v1/verifications"
CREATED = 201
LONGEST_WAIT_SECONDS = 25
SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_RETRY_AFTER = 5
"""Longest ``retry_after``, in seconds, after which the client repeats a request itself. A longer one is raised at once."""
_AGAIN = ("store_unavailable", "provider_unavailable", "idempotency_in_flight")
_ID = re.compile(r"ver_[0-9a-f]{64}", re.ASCII)
_BACKOFF = wait_random_exponential(multiplier=0.1, max=2)


@dataclass(frozen=True)
class Request:
    """Request to the API.

    Attributes:
        repeatable: True if it may be sent again after its answer was lost.
        wait_seconds: seconds of a long poll, which are added to the timeout.
    """

    method: str
    path: str = field(repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    params: Mapping[str, int | str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    repeatable: bool = True
    wait_seconds: int = 0


class Lost(Exception):
    """No usable answer came. ``sent`` is False only if the request certainly did not reach the service."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(reason)


def start(  # noqa: PLR0913  the fields of a create
    phone_number: str,
    *,
    purpose: str,
    reference: str | None,
    window_seconds: int | None,
    client_ip: str | None,
    locale: str | None,
    metadata: Mapping[str, str] | None,
    channel: str | None,
    captcha: Mapping[str, str] | None,
    risk: str | None,
    return_url: str | None,
    idempotency_key: str | None,
) -> Request:
    body: dict[str, Any] = {"phone_number": phone_number, "purpose": purpose}
    given = {
        "reference": reference,
        "window_seconds": window_seconds,
        "client_ip": client_ip,
        "locale": locale,
        "metadata": dict(metadata) if metadata else None,
        "channel": channel,
        "captcha": dict(captcha) if captcha else None,
        "context": {"risk": risk} if risk else None,
        "hosted": {"return_url": return_url} if return_url else None,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    return Request("POST", PATH, body, headers=key(idempotency_key))


def read(verification_id: str, wait_seconds: int, channel: str | None) -> Request:
    given = {"wait": wait_seconds or None, "channel": channel}
    params = {name: value for name, value in given.items() if value is not None}
    return Request("GET", one(verification_id), params=params, wait_seconds=wait_seconds)


def act(verification_id: str, action: str, body: Mapping[str, Any], idempotency_key: str | None) -> Request:
    given = {name: value for name, value in body.items() if value is not None}
    return Request("POST", f"{one(verification_id)}/{action}", given, headers=key(idempotency_key))


def check(verification_id: str, code: str) -> Request:
    # Each wrong code uses up an attempt, so a check is not repeated.
    return Request("POST", f"{one(verification_id)}/check", {"code": code}, repeatable=False)


def cancel(verification_id: str) -> Request:
    return Request("DELETE", one(verification_id))


def one(verification_id: str) -> str:
    """Return the path of a verification.

    Raises:
        ValueError: if the id has another form, so that no other path can be requested.
    """
    if not _ID.fullmatch(verification_id):
        raise ValueError("This is not the id of a verification.")
    return f"{PATH}/{quote(verification_id, safe='')}"


def key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or str(uuid.uuid4())}


def result(response: httpx.Response) -> Verification:
    """Return the verification in a response.

    Raises:
        Problem: if the response is a problem.
        Lost: if it is neither.
    """
    try:
        body = response.json()
        if response.is_success:
            return Verification.read(body, created=response.status_code == CREATED)
        problem = _problem(response.status_code, body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Lost(
            f"HTTP {response.status_code}, but the body is no answer of waitcall", sent=True
        ) from error
    raise problem


def _problem(status: int, body: Mapping[str, Any]) -> Problem:
    kind = Problem.known.get(body["code"], Problem)
    return kind(
        body["code"],
        status,
        body.get("detail", ""),
        retry_after=body.get("retry_after"),
        errors=body.get("errors"),
        request_id=body.get("request_id"),
        image_url=body.get("image_url"),
        instance=body.get("instance"),
    )


def lost(error: httpx.TransportError) -> Lost:
    """Convert a transport error."""
    never_left = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Lost(type(error).__name__, sent=not never_left)


def again(request: Request, error: BaseException) -> bool:
    """Return whether to send a request again after an error."""
    if isinstance(error, Lost):
        return request.repeatable or not error.sent
    if isinstance(error, Problem):
        wait = error.retry_after or 0
        return request.repeatable and error.code in _AGAIN and wait <= LONGEST_RETRY_AFTER
    return False


def pause(state: RetryCallState) -> float:
    """Return the seconds until the next attempt: the service's ``retry_after``, or an exponential backoff."""
    error = state.outcome.exception() if state.outcome else None
    said = error.retry_after if isinstance(error, Problem) else None
    return float(said) if said else _BACKOFF(state)


def final(error: BaseException) -> BaseException:
    """Return the error that the caller of the client gets."""
    return Unreachable(str(error)) if isinstance(error, Lost) else error
