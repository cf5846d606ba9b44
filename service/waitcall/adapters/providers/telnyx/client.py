"""Client of Telnyx's Call Control: the command that refuses a call, so that its caller pays nothing."""

import json
import logging
from functools import partial
from time import monotonic
from urllib.parse import quote

from waitcall.adapters.providers.guarded_calls import GuardedCalls, TimeLimit
from waitcall.adapters.providers.transport import (
    Account,
    ProviderMetrics,
    Refusal,
    RequestOutcome,
    Transport,
    UnreadableAnswer,
    document,
)
from waitcall.domain.errors import ProviderFailure
from waitcall.domain.matching import ParkedCall

REJECT_SECONDS = 1.5
"""Time for the command. The webhook is answered behind it, and must be answered within 2 s."""

MOST_COMMANDS = 100
"""Most commands of one process at the same time."""

_log = logging.getLogger(__name__)


class TelnyxCalls:
    """Sender of commands. It never fails: a call that is not refused rings on, but it is recorded already."""

    def __init__(self, url: str, api_key: str, metrics: ProviderMetrics, time_limit: TimeLimit) -> None:
        self._url = url
        account = Account(
            (url,), {}, REJECT_SECONDS, MOST_COMMANDS, headers={"Authorization": f"Bearer {api_key}"}
        )
        self._transport = Transport(account, metrics)
        self._guard = GuardedCalls("reject", account, metrics, time_limit)

    def refuse(self, call: ParkedCall) -> None:
        """Refuse a call as busy. A failure is counted and logged."""
        try:
            self._guard.run(partial(self._send, call))
        except ProviderFailure as error:
            _log.warning("a call was not refused and rings on", extra={"reason": error.detail})

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _send(self, call: ParkedCall, deadline: float) -> None:
        command = json.dumps({"cause": "USER_BUSY", "command_id": call.command_id}).encode()
        url = f"{self._url}/v2/calls/{quote(call.control_id, safe='')}/actions/reject"
        answer = self._transport.ask("reject", url, command, _read, max(deadline - monotonic(), 0.01))
        if answer.outcome is not RequestOutcome.OK:
            raise self._guard.failure(answer.outcome)


def _read(body: bytes) -> bool | Refusal:
    told = document(body)
    if isinstance(told, dict) and "data" in told:
        return True
    if isinstance(told, dict) and "errors" in told:
        return Refusal(RequestOutcome.REJECTED)
    raise UnreadableAnswer
