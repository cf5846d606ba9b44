"""Routes /v1/operator: explain refusals, and lift them. Phone numbers are sent in bodies, never in URLs."""

from typing import Any

from flask import Response, g

from waitcall.adapters.http.auth import requires
from waitcall.adapters.http.blueprint import Blueprint, refuses, services
from waitcall.adapters.http.operator_schemas import (
    ExplainRequest,
    ExplanationResponse,
    ListEntryResponse,
    ListsResponse,
    PutListEntryRequest,
    RemoveListEntryRequest,
    UnblockRequest,
    UndoneResponse,
)
from waitcall.application.explanation import Explanation, Undone
from waitcall.domain.lists import ListEntry
from waitcall.domain.policy import Permission

PATH = "/v1/operator"
OK, CREATED, NO_CONTENT = 200, 201, 204

# The audit stream names the client of the key as the operator.
routes = Blueprint(
    "operator", __name__, description="Explain refusals, lift them, and edit the block and allow lists."
)


@routes.route(f"{PATH}/explain", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("invalid_phone_number")
@routes.response(OK, ExplanationResponse, description="Explanation of the refusals.")
@routes.arguments(ExplainRequest)
def explain(asked: dict[str, Any]) -> Explanation:
    """Explain why a number, an address or a client is refused"""
    return services().operator.explain(g.client, **asked)


@routes.route(f"{PATH}/unblock", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("invalid_phone_number")
@routes.response(OK, UndoneResponse, description="List of what was undone.")
@routes.arguments(UnblockRequest)
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
@routes.arguments(PutListEntryRequest)
def put_list_entry(entry: dict[str, Any]) -> ListEntry:
    """Block or allow a number, prefix or network

    Blocking a number also cancels its live verification.
    """
    return services().operator.put(g.client, **entry)


@routes.route(f"{PATH}/lists/remove", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("not_found")
@routes.response(NO_CONTENT, description="The entry was removed.")
@routes.arguments(RemoveListEntryRequest)
def remove_list_entry(entry: dict[str, Any]) -> Response:
    """Remove an entry from the lists"""
    services().operator.remove(g.client, **entry)
    return Response(status=NO_CONTENT)
