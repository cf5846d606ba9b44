"""Codes by SMS: send.php, and status.php if the answer of send.php was lost (smsc-api.md, section 9).

A message costs money, so it is sent once. Another base URL is tried only if nothing was sent. If the answer is lost, the
provider is asked for the status of our message id.
"""

import json
import logging
import re
from collections.abc import Mapping
from time import monotonic
from typing import Any

import urllib3

from waitcall.adapters.providers.guarded_calls import RETRY_AFTER_SECONDS, GuardedCalls
from waitcall.adapters.providers.request_outcome import RequestOutcome
from waitcall.adapters.providers.smsc.wire import ERROR_CODES, MAX_ANSWER_BYTES
from waitcall.adapters.providers.time_limit import TimeLimit
from waitcall.adapters.providers.transport import Account, ProviderMetrics, Transport, transport_outcome
from waitcall.domain.channel import Captcha
from waitcall.domain.errors import CaptchaRejected, NumberRefused, ProviderError, ProviderUnavailable
from waitcall.domain.numbers import E164

OPERATION, ASKING = "send", "status"
_SEND_SHARE = 0.6
"""Share of the time limit for send.php. The rest is for status.php."""
_NOT_FOUND = -3
_CAPTCHA_CODES = frozenset({1, 5})
"""Error codes that count as a wrong captcha if one was sent, because the provider does not document its code for it."""

_log = logging.getLogger(__name__)


class _Lost(Exception):
    """The answer was lost, so the provider may have accepted the message."""


class SmscSender:
    """CodeSender for SMSC."""

    def __init__(
        self,
        account: Account,
        metrics: ProviderMetrics,
        time_limit: TimeLimit,
        sender_name: str | None = None,
    ) -> None:
        """``sender_name``: approved in the account, at most 11 Latin characters; None for the account's default."""
        self._account = account
        self._metrics = metrics
        self._sender_name = sender_name
        self._http = Transport(account)
        self._calls = GuardedCalls(OPERATION, account, metrics, time_limit)

    def send(self, subscriber: E164, text: str, message_id: int, captcha: Captcha | None = None) -> None:
        """Send a text, once.

        Raises:
            NumberRefused: the provider answered code 7 or 8.
            CaptchaRejected: a captcha was given, and the provider refused without another known reason.
            ProviderError: the provider answered another error code.
            ProviderUnavailable: the provider is unreachable, answered code 9 or does not know a message whose answer was
                lost, or a guard prevented the request.
        """
        fields = {
            "phones": subscriber.digits,
            "mes": text,
            "id": str(message_id),
            "fmt": "3",
            "charset": "utf-8",
        }
        if self._sender_name:
            fields["sender"] = self._sender_name
        if captcha is not None:
            fields |= {"imgcode": captcha.code, "userip": captcha.user_ip}
        self._calls.run(lambda deadline: self._over_base_urls(fields, deadline))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _over_base_urls(self, fields: Mapping[str, str], deadline: float) -> None:
        began, send_by = monotonic(), deadline - (1 - _SEND_SHARE) * (deadline - monotonic())
        base_urls = self._account.base_urls
        for tried, base_url in enumerate(base_urls):
            share = (send_by - monotonic()) / (len(base_urls) - tried)
            try:
                outcome, code = self._ask(base_url, "send.php", OPERATION, fields, max(share, 0.05))
            except _Lost:
                self._look_for(base_url, fields, deadline, began)
                return
            if outcome is RequestOutcome.OK:
                return
            if outcome is not RequestOutcome.UNREACHABLE:
                raise self._failure(outcome, code, "imgcode" in fields)
        raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)

    def _look_for(self, base_url: str, sent: Mapping[str, str], deadline: float, began: float) -> None:
        """Ask whether the provider accepted a message whose answer was lost. If it does not confirm that, raise."""
        fields = {"phone": sent["phones"], "id": sent["id"], "fmt": "3", "charset": "utf-8"}
        try:
            outcome, code = self._ask(
                base_url, "status.php", ASKING, fields, max(deadline - monotonic(), 0.05)
            )
        except _Lost:
            outcome, code = RequestOutcome.UNREADABLE, None
        _log.warning(
            "answer to a message lost",
            extra={
                "operation": OPERATION,
                "outcome": outcome.value,
                "seconds": round(monotonic() - began, 3),
            },
        )
        if outcome is not RequestOutcome.OK or code is None or code == _NOT_FOUND:
            raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)

    def _ask(
        self,
        base_url: str,
        script: str,
        operation: str,
        fields: Mapping[str, str],
        timeout_seconds: float,
    ) -> tuple[RequestOutcome, int | None]:
        """Make one request. Return its outcome, and the answer's error code or message status. Raises _Lost."""
        # A request that is interrupted has exceeded its time limit.
        began, outcome = monotonic(), RequestOutcome.TIMEOUT
        try:
            status, body = self._http.post(f"{base_url}/{script}", fields, timeout_seconds, MAX_ANSWER_BYTES)
            outcome, code = _read(status, body, operation)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            # There was no connection, so nothing was sent.
            outcome = RequestOutcome.UNREACHABLE
            return outcome, None
        except urllib3.exceptions.HTTPError as error:
            outcome, code = transport_outcome(error), None
            raise _Lost from error
        finally:
            self._metrics.provider_request(operation, outcome, monotonic() - began)
        if outcome in (RequestOutcome.SERVER_ERROR, RequestOutcome.UNREADABLE):
            raise _Lost
        if outcome is not RequestOutcome.OK:
            _log.warning("provider error", extra={"operation": operation, "error_code": code})
        return outcome, code

    def _failure(self, outcome: RequestOutcome, code: int | None, with_captcha: bool) -> Exception:  # noqa: FBT001  private, with one caller
        match outcome:
            case RequestOutcome.THROTTLED:
                return ProviderUnavailable("The provider is asked too often.", retry_after=60)
            case RequestOutcome.NUMBER_REFUSED:
                return NumberRefused()
            case RequestOutcome.CREDENTIALS:
                return self._calls.pause()
            case _ if with_captcha and (code in _CAPTCHA_CODES or code not in ERROR_CODES):
                return CaptchaRejected()
            case _:
                return ProviderError()


def _read(status: int, body: bytes, operation: str) -> tuple[RequestOutcome, int | None]:
    if status >= 500:  # noqa: PLR2004  the class of HTTP server errors
        return RequestOutcome.SERVER_ERROR, None
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return RequestOutcome.UNREADABLE, None
    if not isinstance(answer, dict):
        return RequestOutcome.UNREADABLE, None
    if "error_code" in answer or "error" in answer:
        code = _whole(answer.get("error_code"))
        return ERROR_CODES.get(-1 if code is None else code, RequestOutcome.REJECTED), code
    number = _whole(answer.get("status" if operation == ASKING else "id"))
    return (RequestOutcome.UNREADABLE if number is None else RequestOutcome.OK), number


def _whole(value: Any) -> int | None:
    text = str(value)
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII) else None
