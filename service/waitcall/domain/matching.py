"""Calls, texts and orders that providers report, and what each does to the verification of a number."""

import hmac
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from waitcall.domain.channel import Assurance, Attestation, Channel, Provider, ProviderOrder
from waitcall.domain.numbers import E164, subscriber_of
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

_NO_CHANCE = (Status.ORDERING, Status.CANCELED, Status.FAILED)


class Kind(StrEnum):
    """Kind of a callback. ``unknown``: the callback's fields fit none of the other kinds."""

    CALL = "call"
    SMS = "sms"
    STATUS = "status"
    UNKNOWN = "unknown"


class Witness(StrEnum):
    """Source of the report that a number called. :func:`proven_by` decides how much each can prove."""

    CALLBACK = "callback"
    """The provider's callback, whose kind and signature were checked."""

    INBOX = "inbox"
    """A record of the provider's inbox, which lists calls and texts together."""


class Outcome(StrEnum):
    """Effect of a callback or of an inbox record."""

    CONFIRMED = "confirmed"
    REPEATED = "repeated"
    EARLY = "early"
    LATE = "late"
    UNMATCHED = "unmatched"
    CONTESTED = "contested"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED = "malformed"
    OTHER = "other"
    WEAK = "weak"
    """The call proves less than the purpose requires, or its caller has called too many wrong numbers today."""
    WRONG_NUMBER = "wrong_number"
    """The caller has a pending verification, and called another one of our own numbers than the one shown."""


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A call that the provider reports.

    Attributes:
        cli: the caller's number as ``+`` and digits; not checked against a numbering plan.
        at: when the phone rang, UTC, whole seconds.
        dialled: the number that was called, as ``+`` and digits; None if the provider does not say it.
        witness: source of the report.
        texted: True if the caller recently sent a text that the inbox could list as a call.
        provider: the provider whose number was called.
        id: the call's id at a provider of our own numbers; None if the provider reports none.
        attestation: how far the originating carrier vouches for the caller; None if the provider reports nothing.
        diverted: True if there is any sign that the call was forwarded.
        is_dated: True if the report's signature covers ``at``. Else ``at`` is the time of arrival, and a captured report
            can be sent again at any time.
    """

    cli: str
    at: datetime
    dialled: str | None = None
    witness: Witness = Witness.CALLBACK
    texted: bool = False
    provider: Provider = Provider.SMSC
    id: str | None = None
    attestation: Attestation | None = None
    diverted: bool = False
    is_dated: bool = True

    @property
    def fingerprint(self) -> str | None:
        """Hash of the id and of the number that was called; None without an id.

        The number belongs to it, because a SIP proxy may send a call to two numbers under one id.
        """
        return None if self.id is None else sha256(f"{self.id}\n{self.dialled}".encode()).hexdigest()[:24]

    @property
    def is_vouched_for(self) -> bool:
        """Tell whether the caller's network vouches for the caller ID of this very call."""
        return self.attestation is Attestation.FULL and not self.diverted

    def __repr__(self) -> str:
        return f"InboundCall(at={self.at.isoformat()})"


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text message that the provider reports.

    Attributes:
        cli: the sender's number as ``+`` and digits; not checked against a numbering plan.
        to: the number that received the text, as ``+`` and digits; empty if the recipient is not a number.
        like_call: True if the provider's inbox could list this text as a call.
    """

    cli: str
    to: str
    text: str
    like_call: bool = False

    def __repr__(self) -> str:
        return "InboundText()"


class OrderStatus(StrEnum):
    """Status of an order at its provider."""

    WAITING = "waiting"
    CALLED = "called"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class OrderReport:
    """A provider's report on one order.

    Attributes:
        at: when the order reached this status, UTC; None if the provider does not say.
    """

    order: ProviderOrder
    status: OrderStatus
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OtherMessage:
    """An authentic callback that changes no verification, for instance a text whose sender is not a number.

    Attributes:
        outcome: ``malformed`` for an unreadable entry in a batch of readable ones.
    """

    kind: Kind
    outcome: Outcome = Outcome.OTHER


@dataclass(frozen=True, slots=True)
class ParkedCall:
    """A call that rings at the provider until a command ends it.

    Attributes:
        control_id: the call's name in commands.
        command_id: name of the command that ends it. A repeated command of the same name does nothing.
    """

    control_id: str = field(repr=False)
    command_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class InboxTrust:
    """The operator's trust in the provider's inbox.

    Attributes:
        text_numbers: our numbers that receive texts. A record of the inbox for one of them never counts as a call.
        at_most: highest assurance that a record can give. With ``NETWORK`` the caller's region alone decides.
    """

    text_numbers: frozenset[E164] = frozenset()
    at_most: Assurance = Assurance.ASSERTED


def skeleton(text: str) -> str:
    """Reduce a text to its ASCII letters and digits in lower case. No charset changes those on the way to us."""
    return "".join(each for each in text if each.isascii() and each.isalnum()).lower()


def proven_by(
    call: InboundCall, shown: E164 | None, assurance: Assurance, trust: InboxTrust
) -> Assurance | None:
    """Return the assurance that a call gives to the verification that showed ``shown``; None if it proves nothing.

    ``assurance`` is the highest assurance that a call from the caller's region can give. It says nothing about calls to our
    own numbers, where each call has an assurance of its own.
    """
    if call.provider is Provider.OWN:
        return Assurance.NETWORK if call.is_vouched_for else Assurance.ASSERTED
    match call.witness:
        case Witness.CALLBACK:
            return assurance
        case Witness.INBOX:
            # The sender of a text is easy to forge, and a text can begin like the inbox's record of a call.
            if call.texted or shown is None or call.dialled != shown.value or shown in trust.text_numbers:
                return None
            return assurance.at_most(trust.at_most)


_STRICT = InboxTrust()


def judge_call(
    record: Verification, call: InboundCall, now: datetime, skew: timedelta, trust: InboxTrust = _STRICT
) -> tuple[Outcome, Verification]:
    """Decide what a call does to this number's verification, and return the outcome and the changed record.

    A call counts only inside ``channel_since - skew ≤ at ≤ min(expires_at, now + skew)``, and only if it is recorded
    before ``expires_at`` (contract, section 5.2). A call that its witness cannot prove changes no status (docs/adr/0032):
    the outcome is ``OTHER`` if the inbox record may be something else than a call to the number shown, and ``WEAK`` if
    the call proves less than the purpose requires. The record notes a weak call that its provider reports.
    """
    if record.test is not None or call.provider is not record.provider:
        return Outcome.UNMATCHED, record
    proven = proven_by(call, record.call_number, record.assurance, trust)
    if proven is None:
        return Outcome.OTHER, record
    outcome, after = _judged(record, call, now, skew)
    if outcome is not Outcome.CONFIRMED or after.status is not Status.VERIFIED:
        # After the first of two steps the assurance is not known yet: the second step decides it.
        return outcome, after
    if not proven.reaches(record.rules.min_assurance):
        # The inbox may list a text as a call.
        told = call.witness is Witness.CALLBACK
        return Outcome.WEAK, record.note_weak_call(now, call.attestation) if told else record
    return outcome, replace(after, assurance=proven, attestation=call.attestation)


def _judged(  # noqa: PLR0911  one return per outcome, in the order of the rules
    record: Verification, call: InboundCall, now: datetime, skew: timedelta
) -> tuple[Outcome, Verification]:
    """Judge the call by its number, channel and time, without regard to its witness."""
    current = record.at(now)
    if call.at > now + skew:
        return Outcome.EARLY, record
    if subscriber_of(call.cli) != record.phone_number.subscriber or current.status in _NO_CHANCE:
        return Outcome.UNMATCHED, record
    # The order of a provider that reports on orders is proven by that provider's report alone.
    if record.channel is not Channel.CALL or record.call_number is None or record.order is not None:
        # The person may call again after the first of two steps is done; that is a repetition.
        again = record.called_at is not None and call.at >= record.created_at - skew
        return (Outcome.REPEATED if again else Outcome.UNMATCHED), record
    if call.at < record.channel_since - skew:
        return Outcome.EARLY, record
    if _dialled_another(record, call):
        guessed = record.provider is Provider.OWN and current.status is Status.PENDING
        return (Outcome.WRONG_NUMBER if guessed else Outcome.UNMATCHED), record
    if current.status is Status.EXPIRED:
        return Outcome.LATE, replace(current, reason=Reason.LATE_CALL)
    if call.at > record.expires_at:
        # The call is less than the skew in our future, so the provider's clock is past the deadline and ours is not.
        return Outcome.LATE, record
    if current.verified_at is not None:
        return Outcome.REPEATED, record
    if current.status is Status.CONTESTED:
        return Outcome.CONTESTED, record
    return Outcome.CONFIRMED, record.prove(Reason.CALL_MATCHED, now, call.dialled)


def _dialled_another(record: Verification, call: InboundCall) -> bool:
    shown = record.call_number.value if record.call_number else None
    if record.provider is Provider.OWN:
        return call.dialled != shown
    return record.rules.match_dialled and call.dialled not in (None, shown)


def judge_order(  # noqa: PLR0911  one return per outcome, in the order of the rules
    record: Verification, report: OrderReport, now: datetime, skew: timedelta
) -> tuple[Outcome, Verification]:
    """Decide what a report that an order's number was called does, and return the outcome and the changed record.

    The provider has already compared the caller with the number. The time of the report follows the rules for calls.
    """
    current = record.at(now)
    at = report.at or now
    if at > now + skew:
        return Outcome.EARLY, record
    if record.order != report.order or record.test is not None or current.status in _NO_CHANCE:
        return Outcome.UNMATCHED, record
    if current.verified_at is not None or record.called_at is not None:
        return Outcome.REPEATED, record
    if at < record.channel_since - skew:
        return Outcome.EARLY, record
    if current.status is Status.EXPIRED:
        return Outcome.LATE, replace(current, reason=Reason.LATE_CALL)
    if at > record.expires_at:
        return Outcome.LATE, record
    if current.status is Status.CONTESTED:
        return Outcome.CONTESTED, record
    dialled = record.call_number.value if record.call_number else None
    return Outcome.CONFIRMED, record.prove(Reason.CALL_MATCHED, now, dialled)


def judge_text(  # noqa: PLR0911  one return per outcome, in the order of the rules
    record: Verification, message: InboundText, now: datetime
) -> tuple[Outcome, Verification]:
    """Decide what a text does to the sender's verification, and return the outcome and the changed record.

    Sender, recipient and text must all match what was shown; case, spaces and punctuation of the text are ignored.
    Each verification shows a new text, so an old message never matches a later verification.
    """
    current = record.at(now)
    # A fallback to another channel removes the text from the record.
    asked = record.text_in
    if asked is None:
        return Outcome.OTHER, record
    if record.test is not None:
        return Outcome.UNMATCHED, record
    ends = (subscriber_of(message.cli), subscriber_of(message.to))
    if current.status in _NO_CHANCE or ends != (record.phone_number.subscriber, asked.number.subscriber):
        return Outcome.UNMATCHED, record
    if not hmac.compare_digest(_plain(message.text), _plain(asked.text)):
        return Outcome.UNMATCHED, record
    if current.verified_at is not None or record.called_at is not None:
        return Outcome.REPEATED, record
    if current.status is Status.EXPIRED:
        return Outcome.LATE, replace(current, reason=Reason.LATE_TEXT)
    if current.status is Status.CONTESTED:
        return Outcome.CONTESTED, record
    return Outcome.CONFIRMED, record.prove(Reason.TEXT_MATCHED, now)


def _plain(text: str) -> bytes:
    return re.sub(r"[\W_]", "", text).casefold().encode()
