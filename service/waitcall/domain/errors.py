"""Errors that callers of waitcall can get, and their codes in the API.

Each class is one problem code; `docs/reference/problems.md` lists them. This module knows no HTTP:
``adapters/http/problems.py`` maps each category to a status.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import ClassVar

from waitcall.domain.limits import LimitState
from waitcall.domain.status import Reason


class Category(Enum):
    """Category of a problem: what the caller can do about it."""

    MALFORMED = auto()
    """Send a request that can be read."""
    INVALID = auto()
    """Send other values."""
    FORBIDDEN = auto()
    """The client or the number may not do this."""
    MISSING = auto()
    """There is no such thing."""
    CONFLICT = auto()
    """The verification's state does not allow this."""
    GONE = auto()
    """It is too late."""
    TOO_MANY = auto()
    """Wait, and try again."""
    UPSTREAM = auto()
    """The provider failed."""
    UNAVAILABLE = auto()
    """A part is down. Try again later."""


class ServiceError(Exception):
    """A refusal that a caller can act on.

    Attributes:
        code: stable identifier for programs.
        category: what the caller can do about it.
        detail: one sentence for people; it never contains a phone number or a secret.
        retry_after: whole seconds after which a retry may succeed; None if waiting does not help.
        errors: messages by field name, where the request's fields are at fault.
        verification_id: id of the record that the refused request left in the store, if any.
    """

    code: ClassVar[str]
    category: ClassVar[Category]
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
    category = Category.INVALID
    default_detail = "The request is well-formed, but some of its values are not allowed."

    @classmethod
    def of(cls, field: str, message: str) -> "ValidationFailed":
        """Return the error for one field."""
        return cls(errors={field: [message]})


class InvalidPhoneNumber(ServiceError):
    code = "invalid_phone_number"
    category = Category.INVALID
    default_detail = "This is not a phone number. Send it in E.164 form, for instance +79991234567."


class PhoneNumberNotAllowed(ServiceError):
    code = "phone_number_not_allowed"
    category = Category.INVALID
    default_detail = "Numbers of this region or type cannot be verified for this purpose."


class PurposeNotAllowed(ServiceError):
    code = "purpose_not_allowed"
    category = Category.FORBIDDEN
    default_detail = "This client may not use this purpose."


class ScopeNotAllowed(ServiceError):
    code = "scope_not_allowed"
    category = Category.FORBIDDEN
    default_detail = "This client's keys may not do this."


class Blocked(ServiceError):
    code = "blocked"
    category = Category.FORBIDDEN
    default_detail = "An operator has blocked this number or address."


class PurposeMismatch(ServiceError):
    code = "purpose_mismatch"
    category = Category.FORBIDDEN
    default_detail = "The verification was made for another purpose."


class ReferenceMismatch(ServiceError):
    code = "reference_mismatch"
    category = Category.FORBIDDEN
    default_detail = "The verification was made with another reference."


class ResultMismatch(ServiceError):
    code = "result_mismatch"
    category = Category.FORBIDDEN
    default_detail = "Send the result that the hosted page returned. Without a hosted page, send none."


class NotFound(ServiceError):
    code = "not_found"
    category = Category.MISSING
    default_detail = "There is no such verification."


class VerificationInProgress(ServiceError):
    code = "verification_in_progress"
    category = Category.CONFLICT
    default_detail = "Another requester is verifying this number."


class NotVerified(ServiceError):
    code = "not_verified"
    category = Category.CONFLICT
    default_detail = "The verification has not succeeded."


class AlreadyConsumed(ServiceError):
    code = "already_consumed"
    category = Category.CONFLICT
    default_detail = "The verification was consumed already."


class AlreadyVerified(ServiceError):
    code = "already_verified"
    category = Category.CONFLICT
    default_detail = "A verified verification cannot be canceled."


class NotPending(ServiceError):
    code = "not_pending"
    category = Category.CONFLICT
    default_detail = "The verification was canceled or has failed."


class WrongChannel(ServiceError):
    code = "wrong_channel"
    category = Category.CONFLICT
    default_detail = "The verification's channel does not use codes, or no code was sent yet."


class NoFallback(ServiceError):
    code = "no_fallback"
    category = Category.CONFLICT
    default_detail = "The purpose has no further channel after the current one."


class CodeMismatch(ServiceError):
    """The typed code is wrong. ``attempts_left``: number of wrong codes that are still accepted."""

    code = "code_mismatch"
    category = Category.INVALID
    default_detail = "The code is wrong."

    def __init__(self, attempts_left: int) -> None:
        super().__init__(errors={"code": [f"Wrong. Attempts left: {attempts_left}."]})
        self.attempts_left = attempts_left


class AttemptsSpent(ServiceError):
    code = "attempts_spent"
    category = Category.CONFLICT
    default_detail = "Too many wrong codes were entered. Start a new verification."


class SendsSpent(ServiceError):
    code = "sends_spent"
    category = Category.CONFLICT
    default_detail = "No more codes can be sent for this verification."


class CaptchaRequired(ServiceError):
    """The visitor must solve the captcha picture at ``image_url`` first."""

    code = "captcha_required"
    category = Category.FORBIDDEN
    default_detail = "Show the picture at image_url to the visitor, and repeat the request with captcha."

    def __init__(self, image_url: str) -> None:
        super().__init__()
        self.image_url = image_url


class Contested(ServiceError):
    code = "contested"
    category = Category.CONFLICT
    default_detail = (
        "Another requester asked for the same number, so a call no longer proves this verification."
    )


class Expired(ServiceError):
    code = "expired"
    category = Category.GONE
    default_detail = "The time for this verification is over."


class RateLimited(ServiceError):
    """A limit or the conversion guard refused the request.

    Attributes:
        limits: state of the limits that the caller may see, including the one that refused; empty for the guard.
    """

    code = "rate_limited"
    category = Category.TOO_MANY
    default_detail = "Too many requests of this kind. Try again later."

    def __init__(
        self, detail: str | None = None, *, retry_after: int, limits: Sequence[LimitState] = ()
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.limits = tuple(limits)


class IdempotencyInFlight(ServiceError):
    code = "idempotency_in_flight"
    category = Category.CONFLICT
    default_detail = "A request with this Idempotency-Key is still being answered."


class IdempotencyKeyReused(ServiceError):
    code = "idempotency_key_reused"
    category = Category.INVALID
    default_detail = "This Idempotency-Key was used with another request."


class CallbackMalformed(ServiceError):
    """A callback cannot be read. ``kind`` is the kind that was recognized before reading failed."""

    code = "invalid_request"
    category = Category.MALFORMED
    default_detail = "The callback cannot be read."

    def __init__(self, detail: str, kind: str = "unknown") -> None:
        super().__init__(detail)
        self.kind = kind


class CallbackInvalid(CallbackMalformed):
    """An authentic callback breaks its schema, or its time is outside the accepted window. It will never be accepted."""

    code = "invalid_callback"
    category = Category.INVALID
    default_detail = "The callback is signed correctly, but its members or its time are not accepted."


class CallbackRejected(ServiceError):
    """A callback's hash is wrong or missing."""

    code = "bad_signature"
    category = Category.FORBIDDEN
    default_detail = "The callback's hash is wrong or missing."

    def __init__(self, kind: str = "unknown") -> None:
        super().__init__()
        self.kind = kind


class ProviderFailure(ServiceError):
    """An order gave no number to show. ``reason`` is the reason with which the record ends."""

    reason: ClassVar[Reason] = Reason.PROVIDER_ERROR


class ProviderError(ProviderFailure):
    code = "provider_error"
    category = Category.UPSTREAM
    default_detail = "The provider answered with an error."


class NumberRefused(ProviderFailure):
    code = "phone_number_not_allowed"
    category = Category.INVALID
    default_detail = "The provider does not serve this number."
    reason = Reason.NUMBER_REFUSED


class CaptchaRejected(ProviderFailure):
    code = "captcha_rejected"
    category = Category.INVALID
    default_detail = "The provider did not accept the answer to its captcha. Show a new picture."


class ProviderUnavailable(ProviderFailure):
    code = "provider_unavailable"
    category = Category.UNAVAILABLE
    default_detail = "The provider cannot be reached."
    reason = Reason.PROVIDER_UNAVAILABLE


class StoreUnavailable(ServiceError):
    code = "store_unavailable"
    category = Category.UNAVAILABLE
    default_detail = "The store cannot confirm the request now. Try again."
    cause = ""  # The store's own message, without keys and values. Operators see it, callers never do.


class RecordUnreadable(StoreUnavailable):
    """The record is damaged, or another version wrote it. ``retry_after``: when it no longer blocks its number."""

    default_detail = (
        "This verification's record cannot be read. Another version of the service may be able to read it."
    )
