"""Routes /v1/operator: explain refusals, and lift them. The command line prints the same JSON.

Phone numbers are sent in bodies, never in URLs.
"""

from typing import Any

from flask import Response, g
from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from waitcall.adapters.http.answers import ResponseSchema, rfc3339
from waitcall.adapters.http.auth import requires
from waitcall.adapters.http.blueprint import Blueprint, refuses, services
from waitcall.adapters.http.schemas import Request
from waitcall.application.operate import CLEARABLE, LONGEST_EXPIRES_IN, Explanation, Subject, Undone
from waitcall.domain.channel import Assurance, Attestation, Provider
from waitcall.domain.conversion import Group
from waitcall.domain.limits import Mode, Scope
from waitcall.domain.lists import LONGEST_REASON, ListAction, ListEntry, ListKind
from waitcall.domain.policy import Permission

PATH = "/v1/operator"
OK, CREATED, NO_CONTENT = 200, 201, 204
_NUMBER = {"description": "E.164.", "examples": ["+79990123456"]}
_REASON = fields.String(
    required=True,
    validate=validate.Length(1, LONGEST_REASON),
    metadata={"description": "Reason, for the audit stream."},
)


class TimestampField(fields.String):
    """Field for a time in an answer, in the API's format."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"format": "date-time"}, **options)

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return rfc3339(value)


class SubjectRequest(Request):
    phone_number = fields.String(metadata=_NUMBER)
    client_ip = fields.String(metadata={"description": "IP address of an end user."})
    client = fields.String(metadata={"description": "Name of a configured client."})

    @post_load
    def _subject(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        named = (data.pop(name, None) for name in ("phone_number", "client_ip", "client"))
        return data | {"subject": Subject(*named)}


class ExplainRequest(SubjectRequest):
    purpose = fields.String(
        metadata={"description": "Also check whether the number may be verified for this purpose."}
    )


class UnblockRequest(SubjectRequest):
    reason = _REASON
    scope = fields.String(
        validate=validate.OneOf([each.value for each in CLEARABLE]),
        post_load=Scope,
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
        metadata={"description": "Also clear the counts of the conversion guard for the number's groups."},
    )


class _Named(Request):
    number = fields.String(metadata=_NUMBER)
    prefix = fields.String(metadata={"examples": ["+7800"]})
    network = fields.String(metadata={"examples": ["203.0.113.0/24"]})
    reason = _REASON

    @validates_schema
    def _names_one_thing(self, data: dict[str, Any], **_: Any) -> None:
        if sum(kind in data for kind in ListKind) != 1:
            raise ValidationError("Give exactly one of number, prefix and network.")

    @post_load
    def _kind(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        kind = next(kind for kind in ListKind if kind in data)
        return data | {"kind": kind, "subject": data.pop(kind)}


class PutListEntryRequest(_Named):
    action = fields.Enum(ListAction, by_value=fields.String, required=True)
    expires_in = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(1, LONGEST_EXPIRES_IN),
        metadata={
            "description": "Seconds until the entry expires. Put permanent entries into the policy file."
        },
    )


class RemoveListEntryRequest(_Named):
    pass


class LimitResponse(ResponseSchema):
    scope = fields.Enum(Scope, by_value=fields.String)
    limit = fields.String(
        attribute="limit.text", metadata={"description": "Limit as count/period, as in the policy."}
    )
    mode = fields.Enum(Mode, by_value=fields.String, attribute="limit.mode")
    used = fields.Integer()
    remaining = fields.Integer()
    reset_seconds = fields.Integer(metadata={"description": "Seconds until the oldest use no longer counts."})


class ListEntryResponse(ResponseSchema):
    action = fields.Enum(ListAction, by_value=fields.String)
    kind = fields.Enum(ListKind, by_value=fields.String)
    subject = fields.String()
    reason = fields.String()
    by = fields.String(metadata={"description": "Operator who made the entry; `policy` for the policy file."})
    created_at = TimestampField(allow_none=True)
    expires_at = TimestampField(allow_none=True)


class ConversionResponse(ResponseSchema):
    group = fields.Enum(Group, by_value=fields.String, attribute="budget.group")
    mode = fields.Enum(Mode, by_value=fields.String, attribute="budget.mode")
    started = fields.Integer()
    called = fields.Integer()
    exceeded = fields.Boolean()
    retry_after = fields.Integer()


class RefusalResponse(ResponseSchema):
    code = fields.String(metadata={"description": "Problem code that a create would get."})
    detail = fields.String()
    retry_after = fields.Integer(
        allow_none=True, metadata={"description": "Seconds to wait; null if waiting does not help."}
    )


class LatestVerificationResponse(ResponseSchema):
    client = fields.String(attribute="verification.requester.client")
    purpose = fields.String(attribute="verification.requester.purpose")
    status = fields.String(attribute="verification.status")
    reason = fields.String(attribute="verification.reason", allow_none=True)
    provider = fields.Enum(
        Provider,
        by_value=fields.String,
        attribute="verification.number_provider",
        allow_none=True,
        metadata={"description": "Provider that gave the number to dial; null if none did."},
    )
    assurance = fields.Enum(Assurance, by_value=fields.String, attribute="verification.assurance")
    attestation = fields.Enum(
        Attestation,
        by_value=fields.String,
        attribute="verification.attestation",
        allow_none=True,
        metadata={
            "description": "Level at which the carrier signed the call that matched, or the first weak call; null if there is none."
        },
    )
    weak_call_at = TimestampField(attribute="verification.weak_call_at", allow_none=True)
    created_at = TimestampField(attribute="verification.created_at")
    expires_at = TimestampField(attribute="verification.expires_at")
    busy_until = TimestampField(allow_none=True)


class ExplanationResponse(ResponseSchema):
    refused = fields.Boolean()
    refusals = fields.List(fields.Nested(RefusalResponse))
    phone_number = fields.String(attribute="number.value", dump_default=None, allow_none=True)
    region = fields.String(attribute="number.region", dump_default=None, allow_none=True)
    number_type = fields.String(attribute="number.number_type", dump_default=None, allow_none=True)
    assurance = fields.Enum(Assurance, by_value=fields.String, allow_none=True)
    limits = fields.List(fields.Nested(LimitResponse))
    lists = fields.List(fields.Nested(ListEntryResponse))
    conversions = fields.List(fields.Nested(ConversionResponse))
    verification = fields.Nested(
        LatestVerificationResponse,
        allow_none=True,
        metadata={
            "description": "Latest verification of the number, without its id, which is a secret of its client."
        },
    )

    def get_attribute(self, obj: Explanation, attr: str, default: Any) -> Any:
        """Return a field's value. ``verification`` shows the record and the explanation's ``busy_until`` together."""
        match attr:
            case "refused":
                return bool(obj.refusals)
            case "verification":
                return obj if obj.verification else None
            case _:
                return super().get_attribute(obj, attr, default)


class UndoneResponse(ResponseSchema):
    limits = fields.List(fields.String(), metadata={"description": "Scopes of the limits that were cleared."})
    lists = fields.List(fields.Nested(ListEntryResponse))
    conversions = fields.Integer(metadata={"description": "Number of groups whose counts were cleared."})
    verification_canceled = fields.Boolean()


class ListsResponse(ResponseSchema):
    lists = fields.List(fields.Nested(ListEntryResponse))


# The audit stream names the client of the key as the operator.
routes = Blueprint(
    "operator", __name__, description="Explain refusals, lift them, and edit the block and allow lists."
)


@routes.route(f"{PATH}/explain", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("invalid_phone_number")
@routes.response(OK, ExplanationResponse, description="Explanation of the refusals.")
@routes.arguments(ExplainRequest, example={"phone_number": "+79990123456", "purpose": "login"})
def explain(asked: dict[str, Any]) -> Explanation:
    """Explain why a number, an address or a client is refused"""
    return services().operator.explain(g.client, **asked)


@routes.route(f"{PATH}/unblock", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("invalid_phone_number")
@routes.response(OK, UndoneResponse, description="List of what was undone.")
@routes.arguments(UnblockRequest, example={"phone_number": "+79990123456", "reason": "a support request"})
def unblock(what: dict[str, Any]) -> Undone:
    """Clear the limits of a number, address or client, and remove the block that names it"""
    return services().operator.unblock(g.client, **what)


@routes.route(f"{PATH}/lists", methods=["GET"])
@requires(Permission.OPERATE)
@routes.response(OK, ListsResponse, description="All live entries.")
def list_entries() -> dict[str, list[ListEntry]]:
    """List all live entries"""
    return {"lists": services().operator.lists(g.client)}


@routes.route(f"{PATH}/lists", methods=["POST"])
@requires(Permission.OPERATE)
@routes.response(CREATED, ListEntryResponse, description="The new entry.")
@routes.arguments(
    PutListEntryRequest,
    example={"prefix": "+7800", "action": "block", "reason": "abuse", "expires_in": 86400},
)
def put_list_entry(entry: dict[str, Any]) -> ListEntry:
    """Block or allow a number, prefix or network

    Blocking a number also cancels its live verification.
    """
    return services().operator.put(g.client, **entry)


@routes.route(f"{PATH}/lists/remove", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("not_found")
@routes.response(NO_CONTENT, description="The entry was removed.")
@routes.arguments(RemoveListEntryRequest, example={"prefix": "+7800", "reason": "no longer abused"})
def remove_list_entry(entry: dict[str, Any]) -> Response:
    """Remove an entry from the lists"""
    services().operator.remove(g.client, **entry)
    return Response(status=NO_CONTENT)
