"""The operations of ``/v1/operator`` as OpenAPI tells them."""

from typing import Any

from marshmallow import Schema

from service.adapters.http import operator_schemas
from service.adapters.http.openapi_verifications import WITH_BODY, body, problems
from service.adapters.http.operator import PATH

REQUESTS: dict[str, type[Schema]] = {
    "Explain": operator_schemas.ExplainRequest,
    "Unblock": operator_schemas.UnblockRequest,
    "PutListEntry": operator_schemas.ListEntryRequest,
    "RemoveListEntry": operator_schemas.RemoveRequest,
}
ANSWERS: dict[str, type[Schema]] = {
    "Limit": operator_schemas.LimitResponse,
    "ListEntry": operator_schemas.ListEntryResponse,
    "Conversion": operator_schemas.ConversionResponse,
    "Refusal": operator_schemas.RefusalResponse,
    "LatestVerification": operator_schemas.LiveResponse,
    "Explanation": operator_schemas.ExplanationResponse,
    "Undone": operator_schemas.UndoneResponse,
    "Lists": operator_schemas.ListsResponse,
}


def paths() -> dict[str, dict[str, Any]]:
    """Path to operations."""
    of_number = ("invalid_phone_number",)
    return {
        f"{PATH}/explain": {
            "post": _operation("explain", "Why a number, an address or a client is refused", "Explain")
            | _answers("200", "Explanation", of_number, WITH_BODY),
        },
        f"{PATH}/unblock": {
            "post": _operation("unblock", "Forget what was counted, and take out the block", "Unblock")
            | _answers("200", "Undone", of_number, WITH_BODY),
        },
        f"{PATH}/lists": {
            "get": _operation("lists", "Every live entry of the lists") | _answers("200", "Lists"),
            "post": _operation(
                "put",
                "Block or allow a number, prefix or network; a blocked number's live verification is canceled",
                "PutListEntry",
            )
            | _answers("201", "ListEntry", WITH_BODY),
        },
        f"{PATH}/lists/remove": {
            "post": _operation("remove", "Take an entry out of the lists", "RemoveListEntry")
            | {"responses": {"204": {"description": "Out."}} | problems(("not_found",), WITH_BODY)},
        },
    }


def _operation(operation: str, summary: str, request: str | None = None) -> dict[str, Any]:
    told = {"operationId": operation, "summary": summary, "tags": ["operator"], "security": [{"key": []}]}
    return told | ({"requestBody": body(request)} if request else {})


def _answers(status: str, schema: str, *codes: tuple[str, ...]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"responses": {status: {"description": schema, "content": content}} | problems(*codes)}
