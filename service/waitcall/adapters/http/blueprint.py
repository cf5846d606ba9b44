"""Blueprints of the API by flask-smorest. Decorators declare each view's arguments, answers and problems, both for the
requests and for the OpenAPI document.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import flask_smorest
from flask import Request, current_app
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser

from waitcall.adapters.http.body import JSON, read_json
from waitcall.adapters.http.problems import responses
from waitcall.application.cancel import CancelVerification
from waitcall.application.consume import ConsumeVerification
from waitcall.application.create import CreateVerification
from waitcall.application.fallback import ChannelSteps
from waitcall.application.operate import OperatorActions
from waitcall.application.ports import Clock, IdempotencyStore
from waitcall.application.read import ReadVerification
from waitcall.domain.errors import ValidationFailed
from waitcall.domain.verification import Verification

_ANY = ("store_unavailable", "internal_error", "invalid_request")
_KEYED = ("unauthenticated", "scope_not_allowed")
_WITH_BODY = ("body_too_large", "unsupported_media_type", "validation_failed")

_View = TypeVar("_View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Services:
    """Use cases behind the API's views.

    Attributes:
        page_url: gives the URL of a verification's hosted page; None without one.
    """

    create: CreateVerification
    read: ReadVerification
    consume: ConsumeVerification
    cancel: CancelVerification
    channels: ChannelSteps
    operator: OperatorActions
    idempotency: IdempotencyStore
    page_url: Callable[[Verification], str | None]
    clock: Clock


def services() -> Services:
    """Return the use cases of the current app."""
    found: Services = current_app.extensions["waitcall"]
    return found


class RequestParser(FlaskParser):
    """RequestParser that reads bodies and queries strictly, and reports wrong values as ``validation_failed``."""

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002  webargs' parameters
        """Read the body, which is required."""
        return read_json()[0]

    def load_querystring(self, req: Request, schema: Schema) -> dict[str, str | list[str]]:  # noqa: ARG002  webargs' parameters
        """Read the query. A repeated parameter becomes a list, which our schemas refuse."""
        return {name: all_[0] if len(all_) == 1 else all_ for name, all_ in req.args.lists()}

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> NoReturn:
        """Raise an error that names every wrong field."""
        # webargs nests the messages under the location of the fields, for instance "json".
        (messages,) = error.normalized_messages().values()  # type: ignore[no-untyped-call]  # marshmallow has no types here
        raise ValidationFailed(
            errors={
                "body" if name == "_schema" else str(name): list(_leaves(texts))
                for name, texts in messages.items()
            }
        ) from error


def _leaves(messages: Any) -> Iterator[str]:
    # marshmallow nests the messages of a dictionary's entries.
    if isinstance(messages, dict):
        for inner in messages.values():
            yield from _leaves(inner)
    else:
        yield from messages


PARSER = RequestParser()


@PARSER.location_loader("optional_json")
def _optional_json(_: Request, __: Schema) -> Any:
    return read_json(optional=True)[0]


def refuses(*codes: str) -> Callable[[_View], _View]:
    """Mark a view with the codes of problems that it may answer. The OpenAPI document lists them."""

    def mark(view: _View) -> _View:
        view.problems = (*getattr(view, "problems", ()), *codes)  # type: ignore[attr-defined]  # mypy knows no attributes of functions
        return view

    return mark


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # the library has no types
    """Blueprint whose views get arguments that ``PARSER`` has checked, and are documented with all their problems."""

    ARGUMENTS_PARSER = PARSER
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING: Mapping[str, str] = {"json": JSON, "optional_json": JSON}

    def route(self, rule: str, **options: Any) -> Callable[[_View], _View]:
        """Register a view and document it.

        The view's name is the operationId, the first paragraph of its docstring is the summary, and the rest is the
        description.
        """
        register = super().route(rule, **options)

        def decorate(view: _View) -> _View:
            problems = (*getattr(view, "problems", ()), *_KEYED, *_ANY)
            described = self.doc(
                operationId=view.__name__,
                security=[{"key": [str(getattr(view, "permission", None))]}],
                responses=responses(problems),
            )
            register(described(view))
            return view

        return decorate

    def arguments(
        self, schema: type[Schema], *, location: str = "json", **options: Any
    ) -> Callable[[_View], _View]:
        """Pass the view what the schema loads from the request. With ``required=False`` the body may be absent."""
        codes = _WITH_BODY if location == "json" else ("validation_failed",)
        if location == "json" and not options.get("required", True):
            location = "optional_json"
        # One instance for all requests, because making one takes longer than loading with it.
        load = super().arguments(schema(), location=location, **options)
        return lambda view: refuses(*codes)(load(view))

    def response(
        self, status_code: int, schema: type[Schema] | None = None, **options: Any
    ) -> Callable[[_View], _View]:
        """Document the view's answer, and dump the view's result unless it is a Response."""
        answer: Callable[[_View], _View] = super().response(status_code, schema, **options)
        return answer

    def alt_response(self, status_code: int, **options: Any) -> Callable[[_View], _View]:
        """Document another answer of the view."""
        answer: Callable[[_View], _View] = super().alt_response(status_code, **options)
        return answer
