"""The JSON of ``/v1/operator``."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from service.adapters.http.answers import rfc3339
from service.adapters.http.schemas import Request, load
from service.application.explanation import CLEARABLE, Explanation, Subject, Undone
from service.application.operator import LONGEST_EXPIRES_IN
from service.domain.assurance import Assurance
from service.domain.conversion import Conversion, Group
from service.domain.limits import LimitState, Mode, Scope
from service.domain.lists import LONGEST_REASON, ListAction, ListEntry, ListKind

_NUMBER = {"description": "E.164.", "examples": ["+79991234567"]}
_REASON = fields.String(
    required=True,
    validate=validate.Length(1, LONGEST_REASON),
    metadata={"description": "Why, for the audit stream."},
)


class SubjectRequest(Request):
    phone_number = fields.String(allow_none=True, metadata=_NUMBER)
    client_ip = fields.String(allow_none=True, metadata={"description": "An end user's address."})
    client = fields.String(allow_none=True, metadata={"description": "A configured client."})


class ExplainRequest(SubjectRequest):
    purpose = fields.String(
        allow_none=True, metadata={"description": "Also: may the number be verified for this purpose?"}
    )


class UnblockRequest(SubjectRequest):
    reason = _REASON
    scope = fields.String(
        allow_none=True,
        validate=validate.OneOf([each.value for each in CLEARABLE]),
        metadata={"description": "Clear only this limit, and nothing else."},
    )
    verification = fields.Boolean(
        truthy={True},
        falsy={False},
        metadata={"description": "Also cancel the number's live verification (`by_operator`)."},
    )
    conversion = fields.Boolean(
        truthy={True},
        falsy={False},
        metadata={"description": "Also forget what the conversion guard counted around the number."},
    )


class _Named(Request):
    number = fields.String(metadata=_NUMBER)
    prefix = fields.String(metadata={"examples": ["+7800"]})
    network = fields.String(metadata={"examples": ["203.0.113.0/24"]})
    reason = _REASON

    @validates_schema
    def _names_one_thing(self, data: dict[str, Any], **_: Any) -> None:
        if sum(kind in data for kind in ListKind) != 1:
            raise ValidationError("Name one of number, prefix, network.")


class ListEntryRequest(_Named):
    action = fields.String(required=True, validate=validate.OneOf([each.value for each in ListAction]))
    expires_in = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(1, LONGEST_EXPIRES_IN),
        metadata={"description": "Seconds. What should hold for longer belongs into the policy file."},
    )


class RemoveRequest(_Named):
    pass


class LimitResponse(Schema):
    scope = fields.String(validate=validate.OneOf([each.value for each in Scope]))
    limit = fields.String(metadata={"description": "count/period, as in the policy."})
    mode = fields.String(validate=validate.OneOf([each.value for each in Mode]))
    used = fields.Integer()
    remaining = fields.Integer()
    reset_seconds = fields.Integer(metadata={"description": "Until the oldest use counts no longer."})


class ListEntryResponse(Schema):
    action = fields.String(validate=validate.OneOf([each.value for each in ListAction]))
    kind = fields.String(validate=validate.OneOf([each.value for each in ListKind]))
    subject = fields.String()
    reason = fields.String()
    by = fields.String(metadata={"description": "An operator, or `policy` for the policy file."})
    created_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    expires_at = fields.String(allow_none=True, metadata={"format": "date-time"})


class ConversionResponse(Schema):
    group = fields.String(validate=validate.OneOf([each.value for each in Group]))
    mode = fields.String(validate=validate.OneOf([each.value for each in Mode]))
    started = fields.Integer()
    called = fields.Integer()
    exceeded = fields.Boolean()
    retry_after = fields.Integer()


class RefusalResponse(Schema):
    code = fields.String(metadata={"description": "What create would answer."})
    detail = fields.String()
    retry_after = fields.Integer(allow_none=True, metadata={"description": "Null: waiting won't help."})


class LiveResponse(Schema):
    client = fields.String()
    purpose = fields.String()
    status = fields.String()
    reason = fields.String(allow_none=True)
    created_at = fields.String(metadata={"format": "date-time"})
    expires_at = fields.String(metadata={"format": "date-time"})
    busy_until = fields.String(allow_none=True, metadata={"format": "date-time"})


class ExplanationResponse(Schema):
    refused = fields.Boolean()
    refusals = fields.List(fields.Nested(RefusalResponse))
    phone_number = fields.String(allow_none=True)
    region = fields.String(allow_none=True)
    number_type = fields.String(allow_none=True)
    assurance = fields.String(allow_none=True, validate=validate.OneOf([*[a.value for a in Assurance], None]))
    limits = fields.List(fields.Nested(LimitResponse))
    lists = fields.List(fields.Nested(ListEntryResponse))
    conversions = fields.List(fields.Nested(ConversionResponse))
    verification = fields.Nested(
        LiveResponse,
        allow_none=True,
        metadata={"description": "The number's latest record, without its id: that is its client's secret."},
    )


class UndoneResponse(Schema):
    limits = fields.List(fields.String(), metadata={"description": "Scopes that were cleared."})
    lists = fields.List(fields.Nested(ListEntryResponse))
    conversions = fields.Integer(metadata={"description": "Groups that were cleared."})
    verification_canceled = fields.Boolean()


class ListsResponse(Schema):
    lists = fields.List(fields.Nested(ListEntryResponse))


_EXPLAIN, _UNBLOCK, _ENTRY, _REMOVE = ExplainRequest(), UnblockRequest(), ListEntryRequest(), RemoveRequest()


def load_explain(payload: Any) -> tuple[Subject, str | None]:
    """Whom ``explain`` is about, and for which purpose."""
    loaded = load(_EXPLAIN, payload)
    return _subject(loaded), loaded.get("purpose")


def load_unblock(payload: Any) -> tuple[Subject, dict[str, Any]]:
    """For whom ``unblock`` is, and what it is to undo."""
    loaded = load(_UNBLOCK, payload)
    subject = _subject(loaded)
    scope = loaded.get("scope")
    return subject, loaded | {"scope": Scope(scope) if scope else None}


def load_entry(payload: Any) -> dict[str, Any]:
    """The entry to put into the lists."""
    loaded = load(_ENTRY, payload)
    return _named(loaded) | {"action": ListAction(loaded["action"]), "expires_in": loaded["expires_in"]}


def load_remove(payload: Any) -> dict[str, Any]:
    """The entry to take out."""
    return _named(load(_REMOVE, payload))


def dump_explanation(explanation: Explanation) -> Mapping[str, Any]:
    """Everything at once; its words are those of the policy and of the API."""
    number, record = explanation.number, explanation.verification
    return {
        "refused": bool(explanation.refusals),
        "refusals": [RefusalResponse().dump(each) for each in explanation.refusals],
        "phone_number": number.value if number else None,
        "region": number.region if number else None,
        "number_type": number.number_type if number else None,
        "assurance": explanation.assurance.value if explanation.assurance else None,
        "limits": [_limit(each) for each in explanation.limits],
        "lists": [dump_entry(each) for each in explanation.lists],
        "conversions": [_conversion(each) for each in explanation.conversions],
        "verification": None
        if record is None
        else {
            "client": record.requester.client,
            "purpose": record.requester.purpose,
            "status": record.status.value,
            "reason": record.reason.value if record.reason else None,
            "created_at": rfc3339(record.created_at),
            "expires_at": rfc3339(record.expires_at),
            "busy_until": rfc3339(explanation.busy_until),
        },
    }


def dump_undone(undone: Undone) -> Mapping[str, Any]:
    """What ``unblock`` did."""
    return {
        "limits": [scope.value for scope in undone.limits],
        "lists": [dump_entry(each) for each in undone.lists],
        "conversions": undone.conversions,
        "verification_canceled": undone.verification_canceled,
    }


def dump_entry(entry: ListEntry) -> Mapping[str, Any]:
    """One entry of the lists."""
    return {
        "action": entry.action.value,
        "kind": entry.kind.value,
        "subject": entry.subject,
        "reason": entry.reason,
        "by": entry.by,
        "created_at": rfc3339(entry.created_at),
        "expires_at": rfc3339(entry.expires_at),
    }


def _limit(state: LimitState) -> Mapping[str, Any]:
    return {
        "scope": state.scope.value,
        "limit": state.limit.text,
        "mode": state.limit.mode.value,
        "used": state.used,
        "remaining": state.remaining,
        "reset_seconds": state.reset_seconds,
    }


def _conversion(conversion: Conversion) -> Mapping[str, Any]:
    return {
        "group": conversion.budget.group.value,
        "mode": conversion.budget.mode.value,
        "started": conversion.started,
        "called": conversion.called,
        "exceeded": conversion.exceeded,
        "retry_after": conversion.retry_after,
    }


def _subject(loaded: dict[str, Any]) -> Subject:
    return Subject(*(loaded.pop(name, None) for name in ("phone_number", "client_ip", "client")))


def _named(loaded: Mapping[str, Any]) -> dict[str, Any]:
    kind = next(kind for kind in ListKind if kind in loaded)
    return {"kind": kind, "subject": loaded[kind], "reason": loaded["reason"]}
