"""From a method and a path to the view, for the routes that need nothing of Flask's request."""

from collections.abc import Callable
from typing import Any, TypeVar

from werkzeug.routing import Map

View = Callable[..., Any]
_View = TypeVar("_View", bound=View)


def by_flask(view: _View) -> _View:
    """Mark a view that is called as Flask calls one, and answers as Flask's do; all others get an Exchange and give a Reply."""
    view.by_flask = True  # type: ignore[attr-defined]  # functions carry attributes; mypy can't say so
    return view


def is_by_flask(view: View) -> bool:
    """Whether it is one of those."""
    return getattr(view, "by_flask", False)


class Route:
    """One rule and its view."""

    __slots__ = ("rule", "view")

    def __init__(self, rule: str, view: View) -> None:
        self.rule = rule
        self.view = view


class Routes:
    """The rules of an app with at most one variable, a whole segment of the path."""

    def __init__(self, url_map: Map, views: dict[str, View]) -> None:
        self._routes: dict[tuple[str | None, ...], Route] = {}
        places: set[int] = set()
        for rule in url_map.iter_rules():
            view = views[rule.endpoint]
            if is_by_flask(view) or len(rule.arguments) > 1:
                continue
            segments = [None if each.startswith("<") else each for each in rule.rule.split("/")]
            places.update(at for at, each in enumerate(segments) if each is None)
            for method in rule.methods or ():
                self._routes[method, *segments] = Route(rule.rule, view)
        # What is named goes before what may be anything, as in Flask.
        self._places = sorted(places, reverse=True)

    def find(self, method: str, path: str) -> tuple[Route, str | None] | None:
        """The route, and its variable where it has one; None for whatever Flask is to decide."""
        if not path.isascii():
            return None
        segments: list[str | None] = [method, *path.split("/")]
        route = self._routes.get((*segments,))
        if route is not None:
            return route, None
        for place in self._places:
            if place + 1 >= len(segments):
                continue
            value, segments[place + 1] = segments[place + 1], None
            route = self._routes.get((*segments,))
            if route is not None and value:
                return route, value
            segments[place + 1] = value
        return None
