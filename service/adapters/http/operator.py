"""/v1/operator: why is this refused, and let it pass. Subjects travel in bodies, never in URLs."""

from flask import Blueprint, g
from flask.typing import ResponseReturnValue

from service.adapters.http.auth import requires
from service.adapters.http.body import read_json
from service.adapters.http.operator_schemas import (
    dump_entry,
    dump_explanation,
    dump_undone,
    load_entry,
    load_explain,
    load_remove,
    load_unblock,
)
from service.application.operator import Operator
from service.domain.policy import Permission

PATH = "/v1/operator"


def blueprint(operator: Operator) -> Blueprint:
    """The operator's routes; the acting operator is the client of the key."""
    routes = Blueprint("operator", __name__)

    @routes.post(f"{PATH}/explain")
    @requires(Permission.OPERATE)
    def explain() -> ResponseReturnValue:
        payload, _ = read_json()
        return dump_explanation(operator.explain(g.client, *load_explain(payload)))

    @routes.post(f"{PATH}/unblock")
    @requires(Permission.OPERATE)
    def unblock() -> ResponseReturnValue:
        payload, _ = read_json()
        subject, what = load_unblock(payload)
        return dump_undone(operator.unblock(g.client, subject, **what))

    @routes.get(f"{PATH}/lists")
    @requires(Permission.OPERATE)
    def lists() -> ResponseReturnValue:
        return {"lists": [dump_entry(entry) for entry in operator.lists(g.client)]}

    @routes.post(f"{PATH}/lists")
    @requires(Permission.OPERATE)
    def put() -> ResponseReturnValue:
        payload, _ = read_json()
        return dump_entry(operator.put(g.client, **load_entry(payload))), 201

    @routes.post(f"{PATH}/lists/remove")
    @requires(Permission.OPERATE)
    def remove() -> ResponseReturnValue:
        payload, _ = read_json()
        operator.remove(g.client, **load_remove(payload))
        return "", 204

    return routes
