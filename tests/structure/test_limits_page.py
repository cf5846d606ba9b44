"""Tables of docs/limits.md, computed from the code and the shipped policy (`make limits-page` writes them)."""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NOW, NUMBER, PROVIDER_LIMIT, pending, use_cases
from tests.worlds import memory_world
from waitcall.adapters.providers.smsc.client import order_limit
from waitcall.application.admission import ApplicableLimits
from waitcall.application.create import CreateCommand
from waitcall.application.effects import TransitionEffects
from waitcall.configuration.policy import DEFAULT_LIMITS, read_policy
from waitcall.domain.channel import Channel
from waitcall.domain.code import CODE_DIGITS
from waitcall.domain.errors import RateLimited
from waitcall.domain.limits import Limit, Mode, Scope
from waitcall.domain.policy import Policy
from waitcall.domain.status import Status

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/limits.md"
DAY, HOUR = 86400, 3600
CEILING = order_limit(tries=2)
"""Provider's limit of orders for one number, under the default settings."""
ADDRESS = "192.0.2.1"
NAMES = {
    Scope.NUMBER: "number and address",
    Scope.NUMBER_TOTAL: "number alone",
    Scope.IP: "address",
    Scope.NETWORK: "network",
    Scope.CLIENT: "client",
    Scope.COUNTRY: "country",
    Scope.GLOBAL: "everybody",
    Scope.CODE_NUMBER: "codes to the number",
    Scope.CODE_GLOBAL: "codes in all",
    Scope.FAILED_CHECKS: "wrong codes",
    Scope.WRONG_NUMBERS: "wrong numbers",
    Scope.PROVIDER: "provider's ceiling",
}
KEYS = {
    Scope.NUMBER: "creates, fallbacks and resends for one number from one address (from one client, if no `client_ip` is given)",
    Scope.NUMBER_TOTAL: "verifications of one number from any address, except those that end without a call",
    Scope.IP: "creates, fallbacks and resends from one address (IPv6: one /64)",
    Scope.NETWORK: "creates, fallbacks and resends from one /24 (IPv6: one /48)",
    Scope.CLIENT: "creates, fallbacks and resends of one client; `clients.NAME.limits` may set another limit",
    Scope.COUNTRY: "creates, fallbacks and resends for numbers of one country",
    Scope.GLOBAL: "all creates, fallbacks and resends",
    Scope.CODE_NUMBER: "codes sent to one number for any caller",
    Scope.CODE_GLOBAL: "all codes sent",
    Scope.FAILED_CHECKS: "wrong codes typed for one number, over all its verifications",
    Scope.WRONG_NUMBERS: "calls from one number to another one of your own numbers than the one shown",
    Scope.READ: "reads of one client",
    Scope.CONSUME: "consumes of one client",
}


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return read_policy(str(ROOT / "config/policy.toml"))


@dataclass(frozen=True)
class Attacker:
    """Number of addresses that an attacker has, and of networks that they are spread over."""

    name: str
    addresses: int
    networks: int


ATTACKERS = [
    Attacker("one address", 1, 1),
    Attacker("a /24: 256 addresses", 256, 1),
    Attacker("1,000 addresses in as many networks", 1000, 1000),
]


class Reach:
    """Upper bounds on what an attacker can do if he knows the policy and wastes no request."""

    def __init__(self, policy: Policy, attacker: Attacker) -> None:
        self._policy = policy
        self._attacker = attacker

    def acts(self, seconds: int, *more: tuple[Scope, int], without: Scope | None = None) -> int:
        """Return how many creates, fallbacks and resends pass the limits in so many seconds.

        Creates that contest or are refused with 409 count too. ``more`` adds limits, each with the number of its counters
        that the attacker can fill. ``without`` leaves one limit out.
        """
        his = [(Scope.IP, self._attacker.addresses), (Scope.NETWORK, self._attacker.networks)]
        # He can use numbers of as many countries as he likes, so the limits of countries do not stop him.
        asked = [each for each in (*his, (Scope.GLOBAL, 1), *more) if each[0] is not without]
        return min(count * most(self._policy.limits_of(scope, ""), seconds) for scope, count in asked)

    def of_one_number(self, seconds: int) -> int:
        return self.acts(seconds, (Scope.NUMBER, self._attacker.addresses))

    def codes(self, seconds: int) -> int:
        return self.acts(seconds, (Scope.CODE_GLOBAL, 1))

    def codes_to_one_number(self, seconds: int) -> int:
        return min(self.of_one_number(seconds), most(self._policy.limits_of(Scope.CODE_NUMBER, ""), seconds))

    def held_all_day(self, window_seconds: int) -> int:
        """Return how many numbers he can keep live for a whole day."""
        each = ceil(DAY / window_seconds)
        return self.acts(DAY) // each if self.of_one_number(DAY) >= each else 0

    def ceiling_filled_for(self) -> int:
        """Return for how many seconds of a day creates and cancels can keep the provider's limit of one number full."""
        count, period = CEILING.count, CEILING.period_seconds
        if self.of_one_number(period) < count:
            return 0
        return min(self.of_one_number(DAY) // count * period, DAY)

    def one_held_for(self, window_seconds: int) -> int:
        """Return for how many seconds of a day he can keep one given number live."""
        return min(self.of_one_number(DAY) * window_seconds, DAY)

    def guesses(self) -> int:
        return most(self._policy.limits_of(Scope.FAILED_CHECKS, ""), DAY)

    def chance_of_a_guess(self) -> float:
        """Return the chance that one of a day's guesses at the codes of one number is right.

        A guess is compared with every code that was sent for its verification, so codes and attempts are multiplied.
        """
        rules = self._policy.purposes["login"]
        codes, guesses, hits = self.codes_to_one_number(DAY), self.guesses(), 0
        while codes and guesses:
            sent, tried = min(codes, rules.max_sends), min(guesses, rules.max_attempts)
            hits += sent * tried
            codes, guesses = codes - sent, guesses - tried
        return hits / 10**CODE_DIGITS

    def shuts_out(self, scope: Scope) -> bool:
        """Return True if he alone can fill a limit that everybody shares."""
        return any(
            self.acts(limit.period_seconds, without=scope) >= limit.count
            for limit in self._policy.limits_of(scope, "")
        )


def most(limits: tuple[Limit, ...], seconds: int) -> int:
    """Return how often an act passes all limits in so many seconds, if nothing has been counted before."""
    enforced = [each for each in limits if each.mode is Mode.ENFORCE]
    return min((each.count * ceil(seconds / each.period_seconds) for each in enforced), default=10**9)


def number(count: float) -> str:
    return f"{count:,.0f}"


def hours(seconds: int) -> str:
    if seconds in (0, DAY):
        return "the whole day" if seconds else "never"
    return f"{seconds / HOUR:.0f} h" if seconds >= HOUR else f"{seconds / 60:.0f} min"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def who_pays() -> str:
    """Build the table of the limits that each act counts for, from the code, under a policy that sets every limit."""
    every = {scope: (Limit(9, DAY),) for scope in NAMES if scope is not Scope.PROVIDER}
    policy = Policy(frozenset({"RU"}), {}, {}, limits=every)
    applicable = ApplicableLimits(policy, PROVIDER_LIMIT)
    record = replace(pending(), paid_by={"number": "x", "ip": "y", "network": "z"})

    def created(channel: Channel) -> set[Scope]:
        return {each.scope for each in applicable.of_create(NUMBER, ADDRESS, "web", channel, ())}

    def went_on(channel: Channel) -> set[Scope]:
        return {each.scope for each in applicable.of_step(record, channel, ())}

    effects = TransitionEffects(policy)
    ended = replace(record, status=Status.CANCELED)
    freed = {each.scope for each in effects.changed(record, ended, NOW).freed}
    acts = {
        "create, by call": created(Channel.CALL),
        "create, by text from the phone": created(Channel.TEXT_IN),
        "create that sends a code": created(Channel.CODE),
        "fallback to a call": went_on(Channel.CALL),
        "fallback to a text": went_on(Channel.TEXT_IN),
        "fallback to a code; resend": went_on(Channel.CODE),
        "create refused with 409, or contesting": {
            each.scope for each in applicable.of_refused_create(ADDRESS, "web", ())
        },
        "wrong code": {each.scope for each in applicable.of_failed_check(NUMBER)},
        "call to another of your own numbers than the one shown": {
            each.scope for each in applicable.of_wrong_number(NUMBER)
        },
        "right code, repeat by the same requester or `Idempotency-Key`, any other refusal": set(),
    }

    def named(scopes: set[Scope]) -> str:
        return ", ".join(name for scope, name in NAMES.items() if scope in scopes) or "nothing"

    rows = [[act, named(paid)] for act, paid in acts.items()]
    rows.append(["canceled, expired or failed without a call", f"gives back: {named(freed)}"])
    back = (created(Channel.CODE) | created(Channel.CALL)) - {Scope.PROVIDER}
    rows.append(["the create's order failed", f"gives back: {named(back)}"])
    return table(["act", "counts for"], rows)


def keys(policy: Policy) -> str:
    def told(limits: tuple[Limit, ...]) -> str:
        return ", ".join(f"`{each.text}`" for each in limits) or "none"

    rows = []
    for scope, meaning in KEYS.items():
        left_out = told(DEFAULT_LIMITS.get(scope, ()))
        if scope is Scope.NUMBER_TOTAL:
            left_out = "ten times each of `number`"
        rows.append([f"`limits.{scope}`", meaning, told(policy.limits_of(scope, "web")), left_out])
    return table(["key", "counts", "shipped", "left out"], rows)


def reach(policy: Policy) -> str:
    window = policy.purposes["login"].max_window_seconds
    reset = policy.purposes["password_reset"].max_window_seconds
    of = [Reach(policy, each) for each in ATTACKERS]

    def row(what: str, cells: list[str], who: str) -> list[str]:
        return [what, *cells, who]

    def yes(answers: list[bool], sentence: str) -> list[str]:
        return [sentence if each else "no" for each in answers]

    rows = [
        row(
            "starts verifications, in an hour",
            [number(each.acts(HOUR)) for each in of],
            "you: each start is an order; as far as we know a call costs nothing",
        ),
        row("… in a day", [number(each.acts(DAY)) for each in of], "you, as above"),
        row(
            "locks out the owner of one number through the policy's limits",
            ["never"] * len(of),
            "nobody: a stranger's uncalled verifications do not count for the number",
        ),
        row(
            f"… through the provider's ceiling ({CEILING.count} orders for one number in {CEILING.period_seconds} s)",
            [hours(each.ceiling_filled_for()) for each in of],
            "the owner, who gets 429 meanwhile",
        ),
        row(
            f"holds one number with uncalled verifications of {window // 60} minutes",
            [hours(each.one_held_for(window)) for each in of],
            "the owner, who gets 409 meanwhile",
        ),
        row(
            "holds this many numbers for a whole day",
            [number(each.held_all_day(window)) for each in of],
            "the owners",
        ),
        row(
            f"spoils resets by a contest ({reset // 60} minutes each), in a day",
            [number(each.acts(DAY)) for each in of],
            "the owners, who begin again; each contest costs the attacker one create",
        ),
        row(
            "locks out others at the same address or in the same /24",
            ["the address", "the /24", "each of the addresses"],
            "those neighbours, until the hour or the day ends",
        ),
        row(
            "locks everybody out of calls",
            yes(
                [each.shuts_out(Scope.GLOBAL) or each.shuts_out(Scope.COUNTRY) for each in of],
                "yes, by the hour",
            ),
            "everybody",
        ),
        row("sends codes, in a day¹", [number(each.codes(DAY)) for each in of], "you, for each message"),
        row(
            "… to one number¹",
            [number(each.codes_to_one_number(DAY)) for each in of],
            "you, and the owner, who gets no more codes that day; calls still work",
        ),
        row(
            "locks everybody out of codes¹",
            yes([each.shuts_out(Scope.CODE_GLOBAL) for each in of], "yes, for the day"),
            "everybody; calls still work",
        ),
        row(
            "guesses codes of one number, in a day¹",
            [number(each.guesses()) for each in of],
            "the owner, whose right code is refused too until the next day",
        ),
        row(
            "… and guesses right²",
            [f"1 in {number(1 / each.chance_of_a_guess())}" for each in of],
            "the owner's account",
        ),
    ]
    return table(["the attacker …", *(each.name for each in ATTACKERS), "who suffers or pays"], rows)


def written(policy: Policy, page: str) -> str:
    for name, content in (("who pays", who_pays()), ("keys", keys(policy)), ("reach", reach(policy))):
        pattern = rf"(<!-- {name}: computed -->\n).*?(\n<!-- end -->)"
        assert re.search(pattern, page, re.DOTALL), name
        page = re.sub(pattern, lambda m, c=content: f"{m[1]}\n{c}\n{m[2]}", page, flags=re.DOTALL)
    return page


def test_the_tables_of_the_page_match_the_code_and_the_policy(
    shipped: Policy, request: pytest.FixtureRequest
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--record-limits"):
        PAGE.write_text(written(shipped, page), encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")

    assert page == written(shipped, page), "docs/limits.md is out of date: run make limits-page"


def test_every_limit_has_its_line() -> None:
    internal = {Scope.CAPTCHA, Scope.PAGE, Scope.PROVIDER}
    assert KEYS.keys() == set(Scope) - internal


@pytest.mark.parametrize(("addresses", "tries"), [(1, 200), (256, 800)])
def test_a_day_of_creates_gives_what_the_table_says(shipped: Policy, addresses: int, tries: int) -> None:
    """Run a day of creates through the service, at regular intervals and from each address in turn."""
    clock, provider = FakeClock(), FakeProvider()
    policy = replace(shipped, conversion=())
    verifications, _ = use_cases(memory_world(), provider, RecordingObserver(), clock, policy)
    for index in range(tries):
        ask = CreateCommand(f"+7999{3000000 + index}", "login", client_ip=f"192.0.2.{index % addresses}")
        with suppress(RateLimited):
            verifications.start("web", ask)
        clock.advance(DAY / tries)

    attacker = next(each for each in ATTACKERS if each.addresses == addresses)
    assert len(provider.orders) == Reach(shipped, attacker).acts(DAY)


def test_a_thousand_addresses_shut_nobody_out_of_calls(shipped: Policy) -> None:
    for attacker in ATTACKERS:
        assert not Reach(shipped, attacker).shuts_out(Scope.GLOBAL)
        assert not Reach(shipped, attacker).shuts_out(Scope.COUNTRY)
    army = Attacker("an army", 100_000, 100_000)
    assert Reach(shipped, army).shuts_out(Scope.GLOBAL)


def test_a_guess_is_right_less_often_than_once_in_ten_thousand_days(shipped: Policy) -> None:
    assert Reach(shipped, ATTACKERS[-1]).chance_of_a_guess() <= 1 / 10_000
