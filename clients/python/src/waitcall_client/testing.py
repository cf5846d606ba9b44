"""Test double of the service, in memory, for your own tests. The client's tests run against it and the real service.

double = Double()
waitcall = double.client()
reference = secrets.token_urlsafe(16)  # fresh for each attempt, kept in the server-side session
made = waitcall.start("+79991234567", purpose="login", reference=reference)
double.call("+79991234567")
waitcall.consume(made.id, purpose="login", reference=reference)
"""

import json
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from waitcall_client.aio import AsyncWaitcall
from waitcall_client.requests import PATH
from waitcall_client.sync import Waitcall

NUMBER = "+79585551234"
WINDOW_SECONDS = 900
MAX_ATTEMPTS, MAX_SENDS, RESEND_SECONDS, RESULT_SECONDS = 5, 4, 30, 300
_OUTCOMES = ("verified", "expired", "contested", "failed")


class _Refused(Exception):
    def __init__(self, status: int, code: str, **members: Any) -> None:
        self.status = status
        self.problem = {"code": code, "status": status, "detail": code.replace("_", " "), **members}
        super().__init__(code)


@dataclass(frozen=True)
class FixedOutcome:
    """Outcome of a test number, as ``[test_numbers]`` of the service's policy fixes it.

    Attributes:
        outcome: ``verified``, ``expired``, ``contested`` or ``failed``.
        delay_seconds: time from the start of a channel to the outcome.
        code: the right code on the channel ``code``, where the outcome ``verified`` comes with it.
    """

    outcome: str
    delay_seconds: float = 5
    code: str | None = field(default=None, repr=False)


@dataclass
class _Record:
    id: str = field(repr=False)
    asked: dict[str, Any] = field(repr=False)
    created_at: datetime
    expires_at: datetime
    channel: str
    since: datetime
    fixed: FixedOutcome | None = None
    status: str = "pending"
    reason: str | None = None
    verified_at: datetime | None = None
    consumed_at: datetime | None = None
    codes: list[str] = field(default_factory=list, repr=False)
    sent_at: datetime | None = None
    weak_call_at: datetime | None = None
    attempts: int = 0
    result: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    redeemed_by: str | None = field(default=None, repr=False)


class Double:
    """The service, in memory. It does not parse phone numbers, so pass them in E.164."""

    def __init__(
        self,
        *,
        channels: Sequence[str] = ("call", "code"),
        now: datetime | None = None,
        test_numbers: Mapping[str, FixedOutcome] | None = None,
    ) -> None:
        """Create a service without verifications.

        Args:
            channels: channels of every purpose, in the order of fallback.
            now: the double's time, UTC; by default the current time. Only :meth:`advance` changes it.
            test_numbers: numbers in E.164 whose outcome is fixed. Every purpose takes them.

        Raises:
            ValueError: if an outcome is none that a test number can have.
        """
        self._test_numbers = dict(test_numbers or {})
        if any(each.outcome not in _OUTCOMES for each in self._test_numbers.values()):
            raise ValueError(f"An outcome is one of {', '.join(_OUTCOMES)}.")
        self._channels = list(channels)
        self._now = (now or datetime.now(UTC)).replace(microsecond=0)
        self._records: dict[str, _Record] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, httpx.Response]] = {}
        self._failures: deque[tuple[int, dict[str, Any]] | None] = deque()
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request that arrived."""

    def client(self) -> Waitcall:
        """Create a client that sends its requests to this double."""
        return Waitcall("http://waitcall.test", "key", transport=httpx.MockTransport(self._handle))

    def async_client(self) -> AsyncWaitcall:
        """Create a client for asyncio that sends its requests to this double."""
        return AsyncWaitcall("http://waitcall.test", "key", transport=httpx.MockTransport(self._handle))

    def call(self, phone_number: str, *, weak: bool = False) -> None:
        """Imitate the call of the person with this number. A call from a test number changes nothing.

        ``weak``: the call proves less than the purpose requires, so the verification stays pending.
        """
        for record in self._of(phone_number):
            if self._at(record).status != "pending" or record.channel != "call" or record.fixed:
                continue
            if weak:
                record.weak_call_at = record.weak_call_at or self._now
            else:
                self._prove(record, "call_matched")

    def code(self, phone_number: str) -> str:
        """Return the latest code that was sent to a number.

        Raises:
            LookupError: if no code was sent.
        """
        sent = [record.codes[-1] for record in self._of(phone_number) if record.codes and not record.fixed]
        if not sent:
            raise LookupError("No code was sent.")
        return sent[-1]

    def result(self, verification_id: str) -> str:
        """Return the result that the hosted page would give to the browser."""
        return self._records[verification_id].result

    def advance(self, seconds: float) -> None:
        """Move the double's time forward."""
        self._now += timedelta(seconds=seconds)

    def fail_next(self, code: str, status: int, *, retry_after: int | None = None) -> None:
        """Answer the next request with a problem."""
        problem = {"code": code, "status": status, "detail": code.replace("_", " ")}
        self._failures.append((status, problem | ({"retry_after": retry_after} if retry_after else {})))

    def lose_next(self) -> None:
        """Do what the next request asks, but lose the answer."""
        self._failures.append(None)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((request.method, request.url.path))
        failure = self._failures.popleft() if self._failures else ()
        if failure:
            return httpx.Response(failure[0], json=failure[1])
        key = (request.url.path, request.headers.get("Idempotency-Key", ""))
        kept = self._answers.get(key) if key[1] else None
        if kept is not None and kept[0] == request.content:
            response = kept[1]
        else:
            response = self._answered(request)
            if key[1] and response.is_success:
                self._answers[key] = (request.content, response)
        if failure is None:
            raise httpx.ReadError("The answer was lost.", request=request)
        return httpx.Response(response.status_code, content=response.content)

    def _answered(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        try:
            status, record = self._done(request, body)
        except _Refused as refused:
            return httpx.Response(refused.status, json=refused.problem)
        return httpx.Response(status, json=self._dumped(record))

    def _done(self, request: httpx.Request, body: dict[str, Any]) -> tuple[int, _Record]:
        path = request.url.path.removeprefix(PATH)
        if not path:
            return self._start(body)
        verification_id, _, action = path.strip("/").partition("/")
        record = self._records.get(verification_id)
        if record is None:
            raise _Refused(404, "not_found")
        self._at(record)
        match request.method, action:
            case "GET", "":
                pass
            case "DELETE", "":
                self._cancel(record)
            case "POST", "consume":
                self._consume(record, body, request.headers.get("Idempotency-Key"))
            case "POST", "check":
                self._check(record, body["code"])
            case "POST", "fallback":
                self._fall_back(record, body.get("channel"))
            case _:
                self._resend(record)
        return 200, record

    def _start(self, body: dict[str, Any]) -> tuple[int, _Record]:
        for other in self._of(body["phone_number"]):
            if self._at(other).status not in ("pending", "contested"):
                continue
            if (
                other.status == "pending"
                and body.get("reference")
                and all(other.asked.get(name) == body.get(name) for name in ("purpose", "reference"))
            ):
                return 200, other
            left = int((other.expires_at - self._now).total_seconds())
            raise _Refused(409, "verification_in_progress", retry_after=left)
        ends = self._now + timedelta(seconds=body.get("window_seconds") or WINDOW_SECONDS)
        channel = body.get("channel") or self._channels[0]
        fixed = self._test_numbers.get(body["phone_number"])
        if fixed is not None and fixed.outcome == "expired":
            ends = min(ends, self._now + timedelta(seconds=fixed.delay_seconds))
        record = _Record(f"ver_{secrets.token_hex(32)}", body, self._now, ends, channel, self._now, fixed)
        self._records[record.id] = record
        if channel == "code":
            self._send(record)
        return 201, record

    def _consume(self, record: _Record, body: dict[str, Any], key: str | None) -> None:
        for name in ("purpose", "reference"):
            if record.asked.get(name) != body.get(name):
                raise _Refused(403, f"{name}_mismatch")
        if body.get("result") != (record.result if "hosted" in record.asked else None):
            raise _Refused(403, "result_mismatch")
        if record.status == "consumed" and key and key == record.redeemed_by:
            return
        if record.status != "verified":
            said = {
                "consumed": (409, "already_consumed"),
                "expired": (410, "expired"),
                "lapsed": (410, "expired"),
                "contested": (409, "contested"),
            }
            raise _Refused(*said.get(record.status, (409, "not_verified")))
        record.status, record.consumed_at, record.redeemed_by = "consumed", self._now, key

    def _check(self, record: _Record, code: str) -> None:
        if record.status == "verified" and code in record.codes:
            return
        self._still_pending(record)
        if record.channel != "code":
            raise _Refused(409, "wrong_channel")
        if code in record.codes:
            self._prove(record, "code_matched")
            return
        record.attempts += 1
        if record.attempts >= MAX_ATTEMPTS:
            record.status, record.reason = "failed", "attempts_spent"
        left = MAX_ATTEMPTS - record.attempts
        raise _Refused(422, "code_mismatch", errors={"code": [f"Wrong. Attempts left: {left}."]})

    def _fall_back(self, record: _Record, channel: str | None) -> None:
        if channel is not None and channel == record.channel:
            return
        later = self._channels[self._channels.index(record.channel) + 1 :]
        # In the service's order: it answers no_fallback first where no channel was named and none remains.
        if channel is not None or later:
            self._still_pending(record)
        if not later or (channel is not None and channel not in later):
            raise _Refused(409, "no_fallback")
        record.channel, record.since, record.weak_call_at = channel or later[0], self._now, None
        window = record.asked.get("window_seconds") or WINDOW_SECONDS
        if record.fixed is not None and record.fixed.outcome == "expired":
            window = min(window, record.fixed.delay_seconds)
        record.expires_at = self._now + timedelta(seconds=window)
        if record.channel == "code":
            self._send(record)

    def _resend(self, record: _Record) -> None:
        self._still_pending(record)
        if record.channel != "code":
            raise _Refused(409, "wrong_channel")
        if len(record.codes) >= MAX_SENDS:
            raise _Refused(409, "sends_spent")
        wait = self._resend_in(record)
        if wait > 0:
            raise _Refused(429, "rate_limited", retry_after=wait)
        self._send(record)

    def _cancel(self, record: _Record) -> None:
        if record.status in ("verified", "consumed", "lapsed"):
            raise _Refused(409, "already_verified")
        if record.status in ("pending", "contested"):
            record.status, record.reason = "canceled", "by_client"

    def _still_pending(self, record: _Record) -> None:
        if record.status == "pending":
            return
        if record.reason == "attempts_spent":
            raise _Refused(409, "attempts_spent")
        said = {
            "expired": (410, "expired"),
            "canceled": (409, "not_pending"),
            "failed": (409, "not_pending"),
            "contested": (409, "contested"),
        }
        raise _Refused(*said.get(record.status, (409, "already_verified")))

    def _prove(self, record: _Record, reason: str, at: datetime | None = None) -> None:
        record.status, record.reason, record.verified_at = "verified", reason, at or self._now

    def _send(self, record: _Record) -> None:
        fixed = record.fixed.code if record.fixed else None
        record.codes.append(fixed or f"{secrets.randbelow(10**6):06}")
        record.sent_at = self._now

    def _resend_in(self, record: _Record) -> int:
        delay = RESEND_SECONDS * 2 ** (len(record.codes) - 1)
        due = (record.sent_at or self._now) + timedelta(seconds=delay)
        return max(int((due - self._now).total_seconds()), 0)

    def _of(self, phone_number: str) -> list[_Record]:
        return [each for each in self._records.values() if each.asked["phone_number"] == phone_number]

    def _at(self, record: _Record) -> _Record:
        self._fix(record)
        if record.status in ("pending", "contested") and self._now >= record.expires_at:
            unanswered = {"call": "no_call", "text_in": "no_text", "code": "no_code"}
            record.status = "expired"
            record.reason = "weak_call" if record.weak_call_at else unanswered[record.channel]
        lapses = record.verified_at and record.verified_at + timedelta(seconds=RESULT_SECONDS)
        if record.status == "verified" and lapses and self._now >= lapses:
            record.status, record.reason = "lapsed", "not_consumed"
        return record

    def _fix(self, record: _Record) -> None:
        """Give a pending verification of a test number its outcome, if it is time."""
        fixed = record.fixed
        if fixed is None or record.status != "pending" or fixed.outcome == "expired":
            return
        at = record.since + timedelta(seconds=fixed.delay_seconds)
        if self._now < at or at >= record.expires_at:
            return
        if fixed.outcome != "verified":
            reasons = {"contested": "concurrent_request", "failed": "provider_error"}
            record.status, record.reason = fixed.outcome, reasons[fixed.outcome]
        elif record.channel != "code":
            self._prove(record, "text_matched" if record.channel == "text_in" else "call_matched", at)

    def _dumped(self, record: _Record) -> dict[str, Any]:
        asked, channel = record.asked, record.channel
        number, display = NUMBER, f"{NUMBER[:2]} {NUMBER[2:5]} {NUMBER[5:8]}-{NUMBER[8:10]}-{NUMBER[10:]}"
        if record.fixed is not None:
            # Like the service, show the test number itself, so that nobody is called.
            number = display = asked["phone_number"]
        to = {"number": number, "display": display}
        at = self._channels.index(channel) if channel in self._channels else len(self._channels)
        code = {
            "digits": 6,
            "attempts_left": MAX_ATTEMPTS - record.attempts,
            "sends_left": MAX_SENDS - len(record.codes),
            "sent_at": _written(record.sent_at),
            "resend_in": self._resend_in(record) if record.codes else 0,
            "delivery": "queued",
            "delivery_reason": None,
        }
        text = record.result[:8].upper()
        return {
            "id": record.id,
            "status": record.status,
            "reason": record.reason,
            "purpose": asked["purpose"],
            "reference": asked.get("reference"),
            "phone_number": asked["phone_number"],
            "call": to | {"uri": f"tel:{number}"} if channel == "call" else None,
            "channel": channel,
            "text_in": to | {"text": text, "uri": f"sms:{number}?body={text}"}
            if channel == "text_in"
            else None,
            "code": code if record.codes else None,
            "next_channel": next(iter(self._channels[at + 1 :]), None),
            "called_at": None,
            "weak_call_at": _written(record.weak_call_at),
            "created_at": _written(record.created_at),
            "expires_at": _written(record.expires_at),
            "expires_in": max(int((record.expires_at - self._now).total_seconds()), 0),
            "verified_at": _written(record.verified_at),
            "consumed_at": _written(record.consumed_at),
            "metadata": asked.get("metadata") or {},
            "assurance": "roundtrip" if channel == "code" else "asserted",
            "test": record.fixed is not None,
            "hosted_url": f"http://waitcall.test/p/{record.id[4:60]}" if "hosted" in asked else None,
        }


def _written(time: datetime | None) -> str | None:
    return f"{time.replace(tzinfo=None).isoformat()}Z" if time else None
