"""Which view a path leads to is what Flask would say."""

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from service.adapters.http.routes import Routes, by_flask


def view(*_: object) -> str:
    return ""


@pytest.fixture
def app() -> Flask:
    made = Flask("test", static_folder=None)
    made.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    made.url_map.merge_slashes = False
    for index, (rule, methods) in enumerate(
        [
            ("/", ["GET"]),
            ("/a", ["GET", "POST"]),
            ("/a/<x>", ["GET"]),
            ("/a/<x>/b", ["POST"]),
            ("/a/named", ["GET"]),
            ("/<y>", ["GET"]),
            ("/<y>/c", ["GET"]),
            ("/t/<token>", ["GET"]),
            ("/t/assets/<name>", ["GET"]),
            ("/t/<token>/status", ["GET"]),
            ("/two/<x>/<y>", ["GET"]),
        ]
    ):
        made.add_url_rule(rule, endpoint=f"e{index}", view_func=lambda **_: "", methods=methods)
    made.add_url_rule("/flasks/<x>", endpoint="flasks", view_func=by_flask(lambda **_: ""), methods=["GET"])
    return made


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/a", "/a/", "/a//", "/a/1", "/a/1/b", "/a/1/", "/a//b", "/a/named", "/a/named/b", "/x", "/x/c", "/x/",
        "/t/1", "/t/assets", "/t/assets/1", "/t/assets/status", "/t/1/status", "/t//status", "/two/1/2", "/flasks/1",
        "/a/<x>", "/a/None", "/<y>", "", "a", "/nothing/at/all/here",
    ],
)  # fmt: skip
def test_a_route_is_found_where_flask_finds_it_or_is_left_to_flask(
    app: Flask, method: str, path: str
) -> None:
    routes = Routes(app.url_map, app.view_functions)
    found = routes.find(method, path)
    adapter = app.url_map.bind("localhost", "/", path_info=path, default_method=method)
    try:
        rule, values = adapter.match(return_rule=True)
    except HTTPException:
        assert found is None
        return
    except Exception as redirect:  # noqa: BLE001  werkzeug's RequestRedirect is one of several
        pytest.fail(repr(redirect))
    if found is None:
        # Left to Flask: views of its own, and more than one variable.
        assert len(values) > 1 or rule.endpoint == "flasks" or path in ("", "a", "//")
        return
    route, value = found
    assert route.rule == rule.rule
    assert ([] if value is None else [value]) == list(values.values())


def test_what_is_not_ascii_is_left_to_flask(app: Flask) -> None:
    assert Routes(app.url_map, app.view_functions).find("GET", "/a/\xd1") is None
