"""Tables of docs/own-numbers.md, computed from the shipped policy (`make limits-page` writes them)."""

import re
from math import ceil
from pathlib import Path

import pytest

from waitcall.configuration.policy import DEFAULT_LIMITS, read_policy
from waitcall.domain.limits import Scope
from waitcall.domain.policy import OwnNumbers, Policy

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/own-numbers.md"
POOLS = (8, 16, 32, 100, 1000)
CALLS = (1, 3, 10)


def needed(policy: Policy) -> str:
    """Return how many numbers a subscriber's creates never use up, by the shortest limit of a number and an address."""
    cooldown = OwnNumbers().cooldown_seconds
    each = min(
        limit.count * ceil(cooldown / limit.period_seconds) for limit in policy.limits_of(Scope.NUMBER, "")
    )
    rows = [
        f"| addresses from which one number is asked for | creates in {cooldown // 60} minutes, at most | numbers you need |",
        "|---:|---:|---:|",
    ]
    rows += [f"| {addresses} | {addresses * each} | {addresses * each + 1} |" for addresses in (1, 2, 10)]
    return "\n".join(rows)


def chance() -> str:
    (limit,) = DEFAULT_LIMITS[Scope.WRONG_NUMBERS]
    rows = [
        f"| numbers in the pool | one call | three calls | ten calls | a day under `{limit.text}` |",
        "|---:|---:|---:|---:|---:|",
    ]
    for pool in POOLS:
        cells = [min(calls / pool, 1) for calls in (*CALLS, limit.count)]
        rows.append(f"| {pool:,} | " + " | ".join(f"{each:.1%}" for each in cells) + " |")
    return "\n".join(rows)


def written(page: str) -> str:
    policy = read_policy(str(ROOT / "config/policy.toml"))
    for name, content in (("needed", needed(policy)), ("chance", chance())):
        pattern = rf"(<!-- {name}: computed -->\n).*?(<!-- end -->)"
        assert re.search(pattern, page, re.DOTALL), name
        page = re.sub(pattern, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", page, flags=re.DOTALL)
    return page


def test_the_tables_of_the_page_match_the_code_and_the_policy(request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--record-limits"):
        PAGE.write_text(written(page), encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")

    assert page == written(page), "docs/own-numbers.md is out of date: run make limits-page"
