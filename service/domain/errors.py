"""Every way in which waitcall says no, in the words of its callers.

ServiceError (code)
├── ValidationFailed            validation_failed
├── InvalidPhoneNumber          invalid_phone_number
├── PhoneNumberNotAllowed       phone_number_not_allowed
├── PurposeNotAllowed           purpose_not_allowed
├── ScopeNotAllowed             scope_not_allowed
├── Blocked                     blocked                      (retry_after where the block ends)
├── PurposeMismatch             purpose_mismatch
├── ReferenceMismatch           reference_mismatch
├── ResultMismatch              result_mismatch
├── NotFound                    not_found
├── VerificationInProgress      verification_in_progress     (retry_after)
├── NotVerified                 not_verified
├── AlreadyConsumed             already_consumed
├── AlreadyVerified             already_verified
├── NotPending                  not_pending
├── WrongChannel                wrong_channel
├── NoFallback                  no_fallback
├── CodeMismatch                code_mismatch
├── AttemptsSpent               attempts_spent
├── SendsSpent                  sends_spent
├── CaptchaRequired             captcha_required             (image_url)
├── Contested                   contested
├── Expired                     expired
├── RateLimited                 rate_limited                 (retry_after)
├── IdempotencyInFlight         idempotency_in_flight        (retry_after)
├── IdempotencyKeyReused        idempotency_key_reused
├── CallbackMalformed           invalid_request
├── CallbackRejected            bad_signature
├── ProviderFailure
│   ├── ProviderError           provider_error
│   ├── NumberRefused           phone_number_not_allowed
│   ├── CaptchaRejected         captcha_rejected
│   └── ProviderUnavailable     provider_unavailable         (retry_after)
└── StoreUnavailable            store_unavailable            (retry_after)
    └── RecordUnreadable        store_unavailable            (retry_after)

No HTTP here: ``adapters/http/problems.py`` holds the one table that turns a code into a status.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from service.domain.limits import LimitState
from service.domain.status import Reason


class ServiceError(Exception):
    """A refusal that a caller can act on.

    Attributes:
        code: stable word for programs.
        detail: one sentence for people; never a phone number or a secret.
        retry_after: whole seconds after which a repeat may succeed; None where waiting won't help.
        errors: field name to messages, where single fields are at fault.
        verification_id: the record that the refusal left behind, where there is one.
    """

    code: ClassVar[str]
    default_detail: ClassVar[str]

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after: int | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        verification_id: str | None = None,
    ) -> None:
        self.detail = detail or self.default_detail
        self.retry_after = retry_after
        self.errors = errors
        self.verification_id = verification_id
        super().__init__(self.detail)


class ValidationFailed(ServiceError):
    code = "validation_failed"
    default_detail = "The request is well-formed, but some of its values are not."

    @classmethod
    def of(cls, field: str, message: str) -> "ValidationFailed":
        """The refusal of one field."""
        return cls(errors={field: [message]})


class InvalidPhoneNumber(ServiceError):
    code = "invalid_phone_number"
    default_detail = "This is not a phone number. Send it in E.164 form, for instance +79991234567."


class PhoneNumberNotAllowed(ServiceError):
    code = "phone_number_not_allowed"
    default_detail = "Numbers of this region or type cannot be verified for this purpose."


class PurposeNotAllowed(ServiceError):
    code = "purpose_not_allowed"
    default_detail = "This client may not use this purpose."


class ScopeNotAllowed(ServiceError):
    code = "scope_not_allowed"
    default_detail = "This client's keys may not do this."


class Blocked(ServiceError):
    code = "blocked"
    default_detail = "An operator has blocked this number or address."


class PurposeMismatch(ServiceError):
    code = "purpose_mismatch"
    default_detail = "The verification was made for another purpose."


class ReferenceMismatch(ServiceError):
    code = "reference_mismatch"
    default_detail = "The verification was made with another reference."


class ResultMismatch(ServiceError):
    code = "result_mismatch"
    default_detail = (
        "A hosted verification is redeemed with the result that its page gave, no other with any."
    )


class NotFound(ServiceError):
    code = "not_found"
    default_detail = "There is no such verification."


class VerificationInProgress(ServiceError):
    code = "verification_in_progress"
    default_detail = "This number is being verified by another requester."


class NotVerified(ServiceError):
    code = "not_verified"
    default_detail = "The verification has not succeeded."


class AlreadyConsumed(ServiceError):
    code = "already_consumed"
    default_detail = "The verification has been consumed before."


class AlreadyVerified(ServiceError):
    code = "already_verified"
    default_detail = "A verified verification cannot be canceled."


class NotPending(ServiceError):
    code = "not_pending"
    default_detail = "The verification was canceled or has failed."


class WrongChannel(ServiceError):
    code = "wrong_channel"
    default_detail = "The verification's channel has no code, or none was sent yet."


class NoFallback(ServiceError):
    code = "no_fallback"
    default_detail = "The purpose has no other channel after this one."


class CodeMismatch(ServiceError):
    """A wrong code; ``attempts_left`` more may be wrong."""

    code = "code_mismatch"
    default_detail = "The code is wrong."

    def __init__(self, attempts_left: int) -> None:
        super().__init__(errors={"code": [f"Wrong. Attempts left: {attempts_left}."]})
        self.attempts_left = attempts_left


class AttemptsSpent(ServiceError):
    code = "attempts_spent"
    default_detail = "Too many wrong codes. Start a new verification."


class SendsSpent(ServiceError):
    code = "sends_spent"
    default_detail = "No more codes are sent for this verification."


class CaptchaRequired(ServiceError):
    """A visitor must solve the picture at ``image_url`` first."""

    code = "captcha_required"
    default_detail = "Show the picture at image_url to the visitor, and repeat the request with captcha."

    def __init__(self, image_url: str) -> None:
        super().__init__()
        self.image_url = image_url


class Contested(ServiceError):
    code = "contested"
    default_detail = "Another requester asked for the same number, so a call proves nothing here."


class Expired(ServiceError):
    code = "expired"
    default_detail = "The time for this verification is over."


class RateLimited(ServiceError):
    """A limit or the conversion guard refused.

    Attributes:
        limits: how the limits stand that were asked, the refusing one among them.
    """

    code = "rate_limited"
    default_detail = "Too many requests of this kind. Try again later."

    def __init__(
        self, detail: str | None = None, *, retry_after: int, limits: Sequence[LimitState] = ()
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.limits = tuple(limits)


class IdempotencyInFlight(ServiceError):
    code = "idempotency_in_flight"
    default_detail = "A request with this Idempotency-Key is still being answered."


class IdempotencyKeyReused(ServiceError):
    code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used with another request."


class CallbackMalformed(ServiceError):
    """A callback that cannot be read. ``kind`` says as what it was read so far."""

    code = "invalid_request"
    default_detail = "The callback cannot be read."

    def __init__(self, detail: str, kind: str = "unknown") -> None:
        super().__init__(detail)
        self.kind = kind


class CallbackRejected(ServiceError):
    """A callback whose hash is wrong or missing."""

    code = "bad_signature"
    default_detail = "The callback's hash is wrong or missing."

    def __init__(self, kind: str = "unknown") -> None:
        super().__init__()
        self.kind = kind


class ProviderFailure(ServiceError):
    """An order that gave no number to show. ``reason``: what its record ends with."""

    reason: ClassVar[Reason] = Reason.PROVIDER_ERROR


class ProviderError(ProviderFailure):
    code = "provider_error"
    default_detail = "The provider answered with an error."


class NumberRefused(ProviderFailure):
    code = "phone_number_not_allowed"
    default_detail = "The provider does not serve this number."
    reason = Reason.NUMBER_REFUSED


class CaptchaRejected(ProviderFailure):
    code = "captcha_rejected"
    default_detail = "The provider does not take this answer to its picture. Show a new one."


class ProviderUnavailable(ProviderFailure):
    code = "provider_unavailable"
    default_detail = "The provider cannot be reached."
    reason = Reason.PROVIDER_UNAVAILABLE


class StoreUnavailable(ServiceError):
    code = "store_unavailable"
    default_detail = "The store cannot confirm this now; ask again."
    cause = ""  # The store's words, without keys and values: for operators, never for callers.


class RecordUnreadable(StoreUnavailable):
    """One record is damaged, or written by another version; ``retry_after`` says when it stands in nobody's way."""

    default_detail = "This verification cannot be read here; another version of the service may be able to."
