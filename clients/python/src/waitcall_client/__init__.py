"""Client of waitcall, which verifies a phone number by a call. See README.md."""

from waitcall_client.aio import AsyncWaitcall
from waitcall_client.errors import (
    Ended,
    Problem,
    StillPending,
    Unreachable,
    WaitcallError,
    WebhookRejected,
)
from waitcall_client.masking import IdFilter
from waitcall_client.models import Call, Channel, Code, Status, TextIn, Verification
from waitcall_client.sync import Waitcall
from waitcall_client.webhooks import Event, Webhooks

__all__ = [
    "AsyncWaitcall",
    "Call",
    "Channel",
    "Code",
    "Ended",
    "Event",
    "IdFilter",
    "Problem",
    "Status",
    "StillPending",
    "TextIn",
    "Unreachable",
    "Verification",
    "Waitcall",
    "WaitcallError",
    "WebhookRejected",
    "Webhooks",
]
