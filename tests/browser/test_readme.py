"""Test that the README's diagram is drawn, with every arrow of its text."""

import re
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT

MERMAID = ROOT / ".tools/docs/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not MERMAID.exists(), reason="Mermaid is not installed: make docs-tools, with npm")
def test_the_diagram_is_drawn(chromium: Any) -> None:
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    told = re.findall(r"-?->>\w: (.*)", diagram)
    page = chromium.new_page()
    page.add_script_tag(path=str(MERMAID))
    page.evaluate(
        "async (text) => document.body.innerHTML = (await mermaid.render('diagram', text)).svg", diagram
    )
    assert page.locator(".messageText").all_text_contents() == told
    assert len(told) > 1
    page.close()
