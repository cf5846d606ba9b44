"""Codes by SMS: send.php, and status.php if the answer of send.php was lost (smsc-api.md, section 9).

A message costs money, so it is sent once. Another base URL is tried only if nothing was sent. If the answer is lost, the
provider is asked for the status of our message id.
"""

import logging
import re
from collections.abc import Mapping
from time import monotonic
from typing import Any

from waitcall.adapters.providers.guarded_calls import RETRY_AFTER_SECONDS, GuardedCalls, TimeLimit
from waitcall.adapters.providers.smsc.client import AS_JSON, ERROR_CODES, NO_USABLE_ANSWER, refusal_in
from waitcall.adapters.providers.transport import (
    Account,
    Answer,
    ProviderMetrics,
    Refusal,
    RequestOutcome,
    Transport,
    UnreadableAnswer,
    document,
)
from waitcall.domain.channel import Captcha
from waitcall.domain.errors import CaptchaRejected, ProviderUnavailable
from waitcall.domain.numbers import E164

OPERATION, ASKING = "send", "status"
_SEND_SHARE = 0.6
"""Share of the time limit for send.php. The rest is for status.php."""
_NOT_FOUND = -3
_CAPTCHA_CODES = frozenset({1, 5})
"""Error codes that count as a wrong captcha if one was sent, because the provider does not document its code for it."""

_log = logging.getLogger(__name__)


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
        self._base_urls = account.base_urls
        self._sender_name = sender_name
        self._http = Transport(account, metrics)
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
        fields = AS_JSON | {"phones": subscriber.digits, "mes": text, "id": str(message_id)}
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
        for tried, base_url in enumerate(self._base_urls):
            share = (send_by - monotonic()) / (len(self._base_urls) - tried)
            answer = self._ask(f"{base_url}/send.php", OPERATION, fields, share)
            if answer.outcome is RequestOutcome.OK:
                return
            if not answer.sent:
                continue
            if answer.outcome in NO_USABLE_ANSWER:
                # The provider may have accepted the message.
                self._look_for(base_url, fields, deadline, began)
                return
            unexplained = answer.code in _CAPTCHA_CODES or answer.code not in ERROR_CODES
            if "imgcode" in fields and unexplained:
                raise CaptchaRejected
            raise self._calls.failure(answer.outcome)
        raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)

    def _look_for(self, base_url: str, sent: Mapping[str, str], deadline: float, began: float) -> None:
        """Ask whether the provider accepted a message whose answer was lost. If it does not confirm that, raise."""
        fields = AS_JSON | {"phone": sent["phones"], "id": sent["id"]}
        answer = self._ask(f"{base_url}/status.php", ASKING, fields, deadline - monotonic())
        _log.warning(
            "answer to a message lost",
            extra={
                "operation": OPERATION,
                "outcome": answer.outcome.value,
                "seconds": round(monotonic() - began, 3),
            },
        )
        if answer.value in {None, _NOT_FOUND}:
            raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)

    def _ask(self, url: str, operation: str, fields: Mapping[str, str], seconds: float) -> Answer[int]:
        """Make one request. The value of the answer is the message's id or status."""

        def read(body: bytes) -> int | Refusal:
            answer = document(body)
            if not isinstance(answer, dict):
                raise UnreadableAnswer
            return refusal_in(answer) or _whole(answer.get("status" if operation == ASKING else "id"))

        answer = self._http.ask(
            operation, url, fields, read, max(seconds, 0.05), unconnected=RequestOutcome.UNREACHABLE
        )
        if answer.code is not None:
            _log.warning("provider error", extra={"operation": operation, "error_code": answer.code})
        return answer


def _whole(value: Any) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", str(value), re.ASCII):
        raise UnreadableAnswer
    return int(value)
