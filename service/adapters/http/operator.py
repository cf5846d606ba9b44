"""/v1/operator: why is this refused, and let it pass. Subjects travel in bodies, never in URLs."""

from typing import Any

from flask import Response, g

from service.adapters.http.auth import requires
from service.adapters.http.blueprint import Blueprint, refuses, services
from service.adapters.http.operator_schemas import (
    ExplainRequest,
    ExplanationResponse,
    ListEntryResponse,
    ListsResponse,
    PutListEntryRequest,
    RemoveListEntryRequest,
    UnblockRequest,
    UndoneResponse,
)
from service.application.explanation import Explanation, Undone
from service.domain.lists import ListEntry
from service.domain.policy import Permission

PATH = "/v1/operator"
OK, CREATED, NO_CONTENT = 200, 201, 204

# The acting operator is the client of the key.
routes = Blueprint("operator", __name__, description="Why somebody is refused, and how to let them pass.")


@routes.route(f"{PATH}/explain", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("invalid_phone_number")
@routes.response(OK, ExplanationResponse, description="Explanation")
@routes.arguments(ExplainRequest)
def explain(asked: dict[str, Any]) -> Explanation:
    """Explain why a number, an address or a client is refused"""
    return services().operator.explain(g.client, **asked)


@routes.route(f"{PATH}/unblock", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("invalid_phone_number")
@routes.response(OK, UndoneResponse, description="Undone")
@routes.arguments(UnblockRequest)
def unblock(what: dict[str, Any]) -> Undone:
    """Forget what was counted, and take out the block"""
    return services().operator.unblock(g.client, **what)


@routes.route(f"{PATH}/lists", methods=["GET"])
@requires(Permission.OPERATE)
@routes.response(OK, ListsResponse, description="Lists")
def lists() -> dict[str, list[ListEntry]]:
    """Every live entry of the lists"""
    return {"lists": services().operator.lists(g.client)}


@routes.route(f"{PATH}/lists", methods=["POST"])
@requires(Permission.OPERATE)
@routes.response(CREATED, ListEntryResponse, description="ListEntry")
@routes.arguments(PutListEntryRequest)
def put(entry: dict[str, Any]) -> ListEntry:
    """Block or allow a number, prefix or network; a blocked number's live verification is canceled"""
    return services().operator.put(g.client, **entry)


@routes.route(f"{PATH}/lists/remove", methods=["POST"])
@requires(Permission.OPERATE)
@refuses("not_found")
@routes.response(NO_CONTENT, description="Out.")
@routes.arguments(RemoveListEntryRequest)
def remove(entry: dict[str, Any]) -> Response:
    """Take an entry out of the lists"""
    services().operator.remove(g.client, **entry)
    return Response(status=NO_CONTENT)
