"""Exceptions of the client. problems.py has one class for each problem code of the service."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from waitcall_client.masking import masked
from waitcall_client.models import Verification


class WaitcallError(Exception):
    """Base class of all exceptions of this package."""


class Unreachable(WaitcallError):
    """No readable answer came, after all attempts. The request may have been carried out: repeat it with the same Idempotency-Key."""


class Ended(WaitcallError):
    """The verification ended without becoming verified. ``verification`` has its status and reason."""

    def __init__(self, verification: Verification) -> None:
        self.verification = verification
        super().__init__(f"{verification.status}: {verification.reason}")


class StillPending(WaitcallError, TimeoutError):
    """The verification is still pending after the time given. It can still become verified."""


class WebhookRejected(WaitcallError):
    """The request is not from waitcall, is too old, or has no event. Answer 400 and do nothing."""


class Problem(WaitcallError):
    """The service refused the request (RFC 9457). Each known code has a subclass; an unknown code raises this class itself.

    Attributes:
        code: problem code, for programs. It is stable.
        status: HTTP status.
        detail: sentence for your log. Never show it to the person.
        retry_after: seconds after which a repeat may succeed; None if waiting does not help.
        errors: messages by field.
        request_id: id of the request in the service's log.
        image_url: URL of the picture to show, for ``captcha_required``.
        instance: path of the record that a failed create left.
    """

    known: ClassVar[dict[str, type["Problem"]]] = {}

    def __init__(  # noqa: PLR0913  the members of a problem
        self,
        code: str,
        status: int,
        detail: str,
        *,
        retry_after: int | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        request_id: str | None = None,
        image_url: str | None = None,
        instance: str | None = None,
    ) -> None:
        self.code = code
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.errors = dict(errors or {})
        self.request_id = request_id
        self.image_url = image_url
        self.instance = instance
        super().__init__(masked(f"{status} {code}: {detail} (request {request_id})"))
