"""Test the API's documentation page in Chromium, as the real server serves it."""

import json
import urllib.request
from typing import Any


def test_every_operation_of_the_document_is_shown(visiting: Any) -> None:
    visitor = visiting()
    api = visitor.stack.api
    with urllib.request.urlopen(f"{api}/openapi.json", timeout=10) as response:
        document = json.load(response)
    described = [*document["paths"].values(), *document["webhooks"].values()]
    operations = [
        told["summary"] for each in described for name, told in each.items() if name != "parameters"
    ]

    visitor.page.goto(f"{api}/docs")

    visitor.page.locator(".opblock").nth(len(operations) - 1).wait_for()
    shown = visitor.page.locator(".opblock-summary-description").all_inner_texts()
    assert sorted(shown) == sorted(operations)
    assert visitor.complaints == []
