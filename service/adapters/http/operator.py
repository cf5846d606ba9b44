"""/v1/operator: why is this refused, and let it pass. Subjects travel in bodies, never in URLs."""

from flask import Blueprint

from service.adapters.http.auth import requires
from service.adapters.http.body import read_json
from service.adapters.http.exchange import Exchange, Reply
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
    def explain(exchange: Exchange) -> Reply:
        payload, _ = read_json(exchange)
        return Reply.of_json(dump_explanation(operator.explain(exchange.client, *load_explain(payload))))

    @routes.post(f"{PATH}/unblock")
    @requires(Permission.OPERATE)
    def unblock(exchange: Exchange) -> Reply:
        payload, _ = read_json(exchange)
        subject, what = load_unblock(payload)
        return Reply.of_json(dump_undone(operator.unblock(exchange.client, subject, **what)))

    @routes.get(f"{PATH}/lists")
    @requires(Permission.OPERATE)
    def lists(exchange: Exchange) -> Reply:
        return Reply.of_json({"lists": [dump_entry(entry) for entry in operator.lists(exchange.client)]})

    @routes.post(f"{PATH}/lists")
    @requires(Permission.OPERATE)
    def put(exchange: Exchange) -> Reply:
        payload, _ = read_json(exchange)
        return Reply.of_json(dump_entry(operator.put(exchange.client, **load_entry(payload))), 201)

    @routes.post(f"{PATH}/lists/remove")
    @requires(Permission.OPERATE)
    def remove(exchange: Exchange) -> Reply:
        payload, _ = read_json(exchange)
        operator.remove(exchange.client, **load_remove(payload))
        return Reply(204, b"")

    return routes
