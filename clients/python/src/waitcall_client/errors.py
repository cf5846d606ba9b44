"""What can go wrong. One class for each problem code of the service stands in problems.py."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from waitcall_client.masking import masked
from waitcall_client.models import Verification


class WaitcallError(Exception):
    """Anything that this package raises."""


class Unreachable(WaitcallError):
    """No answer, or none that can be read, after all retries. Whether it happened is not known: repeat it under the same key."""


class Ended(WaitcallError):
    """The verification is over, and not verified: ``verification`` says how."""

    def __init__(self, verification: Verification) -> None:
        self.verification = verification
        super().__init__(f"{verification.status}: {verification.reason}")


class StillPending(WaitcallError, TimeoutError):
    """Nothing came in the time given; the verification goes on."""


class WebhookRejected(WaitcallError):
    """Not from waitcall, too old, or no event: answer 400, do nothing."""


class Problem(WaitcallError):
    """The service said no (RFC 9457). Unknown codes are this very class.

    Attributes:
        code: the stable word, for programs.
        status: of HTTP.
        detail: a sentence for your log; never shown to the person.
        retry_after: seconds after which a repeat may succeed; None where waiting won't help.
        errors: field to messages.
        request_id: what the service's log has.
        image_url: of ``captcha_required``: the picture to show.
        instance: of a failed create: the path of the record that it left.
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
