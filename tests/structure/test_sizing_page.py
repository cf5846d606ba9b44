"""docs/sizing.md is what its template, the measurements and the simulations give (`make sizing` writes it)."""

from itertools import pairwise

from development.sizing.page import PAGE, page
from development.sizing.plan import RATES, ceilings, plan
from tests.unit.development.test_simulation import COSTS


def test_the_page_is_made_from_the_last_measurements() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/sizing.md is out of date: run make sizing"


def test_the_plan_grows_with_the_rate_and_never_below_three_pods() -> None:
    plans = [plan(COSTS, rate, kb_of_a_poll=33) for rate in RATES]
    assert plans[0].api_pods == plans[0].public_pods == 3
    for smaller, larger in pairwise(plans):
        factor = larger.per_second / smaller.per_second
        assert larger.polls == factor * smaller.polls
        assert larger.api_pods <= factor * smaller.api_pods * COSTS["cluster"]["cpu_ms_at_rate"]["api"]
        assert larger.redis_gb > smaller.redis_gb


def test_only_what_is_split_over_eight_keys_may_bear_a_hundred_thousand_a_second() -> None:
    bear = {kind for kind, most in ceilings(COSTS).items() if most > RATES[-1]}
    assert bear <= {"audit", "due"}
