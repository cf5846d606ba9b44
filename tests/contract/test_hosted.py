"""The hosted page over every store: what its token opens, what its result proves."""

from dataclasses import dataclass, replace

import pytest

from service.application.pages import MISSES, Pages
from service.application.reading import Reading
from service.application.records import Records
from service.application.verifications import Start
from service.domain.call import Outcome
from service.domain.channel import Channel
from service.domain.errors import (
    NotFound,
    PurposeMismatch,
    RateLimited,
    ReferenceMismatch,
    ResultMismatch,
    ValidationFailed,
)
from service.domain.hosted import PageSeals, check_return_url
from service.domain.status import Status
from service.domain.verification import Verification
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, OTHER_NUMBER, PAGES, POLICY, call_at, chronicle_of, together, use_cases
from tests.worlds import World

ORIGIN = "https://login.example.org"
BACK = f"{ORIGIN}/done?state=1"
ADDRESS = "192.0.2.7"
HOSTING = replace(
    POLICY,
    clients=POLICY.clients | {"web": replace(POLICY.clients["web"], return_origins=frozenset({ORIGIN}))},
)


@dataclass
class Stage:
    world: World
    observer: RecordingObserver
    clock: FakeClock

    def __post_init__(self) -> None:
        self.verifications, self.calls = use_cases(
            self.world, FakeProvider(), self.observer, self.clock, HOSTING
        )
        records = Records(self.world.store, self.observer, chronicle_of())
        self.pages = Pages(
            store=self.world.store,
            reading=Reading(self.world.store, records, self.clock),
            seals=PAGES,
            limits=self.world.limits,
            clock=self.clock,
            public_url="https://verify.example.org",
        )

    def start(self, client: str = "web", **more: object) -> Verification:
        ask = Start(NUMBER.value, "login", "flow", **({"return_url": BACK} | more))
        return self.verifications.start(client, ask).verification

    def token(self, record: Verification) -> str:
        url = self.pages.url_of(record)
        assert url is not None
        return url.removeprefix("https://verify.example.org/p/")

    def look(self, record: Verification) -> tuple[Status, str | None]:
        page = self.pages.look(self.token(record), ADDRESS)
        return page.verification.status, page.result

    def call(self) -> None:
        assert self.calls.record(call_at(self.clock())) is Outcome.CONFIRMED

    def consume(self, record: Verification, result: str | None) -> Verification:
        return self.verifications.consume("web", record.id, "login", "flow", result=result)


@pytest.fixture
def stage(world: World, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, observer, clock)


def test_the_page_gives_a_result_once_it_is_verified_and_the_client_redeems_it(stage: Stage) -> None:
    record = stage.start()
    assert stage.look(record) == (Status.PENDING, None)
    stage.call()

    status, result = stage.look(record)

    assert status is Status.VERIFIED
    assert result is not None
    assert stage.consume(record, result).status is Status.CONSUMED
    assert stage.look(record) == (Status.CONSUMED, None)


@pytest.mark.parametrize("wrong", [None, "", "0" * 32, "x"])
def test_a_proof_is_not_redeemed_without_what_the_browser_brought(stage: Stage, wrong: str | None) -> None:
    record = stage.start()
    stage.call()
    _, result = stage.look(record)

    with pytest.raises(ResultMismatch):
        stage.consume(record, wrong)

    assert stage.consume(record, result).status is Status.CONSUMED


def test_a_page_that_shows_an_older_channel_does_not_wait(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = stage.start()
    waited: list[float] = []
    monkeypatch.setattr(stage.world.store, "wait_for_change", lambda _, seconds: bool(waited.append(seconds)))

    stage.pages.look(stage.token(record), ADDRESS, 25, Channel.CODE)
    stage.verifications.get("web", record.id, 25, Channel.CODE)
    assert waited == []

    stage.pages.look(stage.token(record), ADDRESS, 25, Channel.CALL)
    assert len(waited) == 1


def test_purpose_and_reference_are_judged_before_the_result(stage: Stage) -> None:
    record = stage.start()
    stage.call()
    with pytest.raises(PurposeMismatch):
        stage.verifications.consume("web", record.id, "reset", "flow")
    with pytest.raises(ReferenceMismatch):
        stage.verifications.consume("web", record.id, "login", "another")


def test_a_token_of_another_place_opens_nothing() -> None:
    record_id = f"ver_{'a' * 64}"
    token = PAGES.token(record_id)
    assert PAGES.opens(token, record_id)
    assert not PAGES.opens("b" * 24 + token[24:], record_id)


def test_another_verifications_result_proves_nothing(stage: Stage) -> None:
    record = stage.start()
    stage.call()
    other = stage.world.store.new_id(OTHER_NUMBER)
    with pytest.raises(ResultMismatch):
        stage.consume(record, PAGES.result(other))
    with pytest.raises(ResultMismatch):
        stage.consume(record, PAGES.token(record.id)[24:])


def test_a_verification_without_a_page_is_redeemed_without_a_result(stage: Stage) -> None:
    record = stage.start(return_url=None)
    assert stage.pages.url_of(record) is None
    stage.call()
    with pytest.raises(ResultMismatch):
        stage.consume(record, PAGES.result(record.id))
    # Its token, which nobody was given, opens nothing either.
    with pytest.raises(NotFound):
        stage.pages.look(PAGES.token(record.id), ADDRESS)
    assert stage.consume(record, None).status is Status.CONSUMED


def test_the_token_dies_with_the_verification(stage: Stage) -> None:
    record = stage.start()
    token = stage.token(record)
    stage.clock.advance(900)
    assert stage.look(record)[0] is Status.EXPIRED

    later = stage.start("web")

    assert later.id != record.id
    with pytest.raises(NotFound):
        stage.pages.look(token, ADDRESS)
    assert stage.look(later) == (Status.PENDING, None)


def test_the_token_names_neither_the_verification_nor_the_number(stage: Stage) -> None:
    record = stage.start()
    token = stage.token(record)
    assert record.id[28:] not in token
    assert NUMBER.digits not in token
    assert record.id not in repr(stage.pages.url_of(record))


@pytest.mark.parametrize("at", [0, 23, 24, 55])
def test_each_digit_of_a_token_counts(stage: Stage, at: int) -> None:
    token = stage.token(stage.start())
    other = token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]
    with pytest.raises(NotFound):
        stage.pages.look(other, ADDRESS)


@pytest.mark.parametrize("token", ["", "x", "0" * 55, "0" * 57, "0" * 56, "Ａ" * 56, "0" * 56 + "\n"])
def test_what_is_no_token_opens_nothing(stage: Stage, token: str) -> None:
    stage.start()
    with pytest.raises(NotFound):
        stage.pages.look(token, ADDRESS)


def test_guessing_is_stopped_for_the_address_that_guesses(stage: Stage) -> None:
    record = stage.start()

    def guess(index: int) -> None:
        stage.pages.look(f"{index:056x}", ADDRESS)

    missed = together(MISSES.count + 20, guess)

    assert sum(isinstance(each, NotFound) for each in missed) == MISSES.count
    assert sum(isinstance(each, RateLimited) for each in missed) == 20
    # Whoever holds a token is not kept from it, from the same address or another.
    assert stage.look(record) == (Status.PENDING, None)
    with pytest.raises(NotFound):
        stage.pages.look("0" * 56, "198.51.100.9")


def test_tokens_survive_the_peppers_rotation() -> None:
    record_id = f"ver_{'a' * 64}"
    before, during = PageSeals("old" * 12), PageSeals("new" * 12, "old" * 12)
    assert during.opens(before.token(record_id), record_id)
    assert during.proves(before.result(record_id), record_id)
    after = PageSeals("new" * 12)
    assert not after.opens(before.token(record_id), record_id)
    assert after.opens(during.token(record_id), record_id)


def test_where_a_page_may_lead_back_to_is_the_clients_own(stage: Stage) -> None:
    with pytest.raises(ValidationFailed):
        stage.start(return_url="https://evil.example.org/")
    with pytest.raises(ValidationFailed):
        # The other client has no pages at all.
        stage.start("app")


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.org",
        "https://login.example.org.evil.example/",
        "https://login.example.org@evil.example/",
        "https://login.example.org:443/",
        "https://login.example.org:8443/x",
        "http://login.example.org/",
        "HTTPS://login.example.org/",
        "https://LOGIN.example.org/",
        "//login.example.org/",
        "https:login.example.org/",
        "https:/\\login.example.org/",
        "https://login.example.org\\@evil.example/",
        "https://login.example.org/#fragment",
        "https://login.example.org/\nSet-Cookie: a=b",
        "https://login.example.org/\t",
        "https://login.example.org/ x",
        "https://login.example.org/<script>",
        'https://login.example.org/"onload=',
        "https://evil.example/https://login.example.org/",
        "javascript:alert(1)//https://login.example.org/",
        "data:text/html,https://login.example.org/",
        " https://login.example.org/",
        "",
        "https://login.example.org/" + "a" * 1000,
        "https://login.example.org/é",
    ],
)
def test_no_other_place_is_led_to(url: str) -> None:
    with pytest.raises(ValidationFailed):
        check_return_url(url, {ORIGIN})


@pytest.mark.parametrize("url", [f"{ORIGIN}/", f"{ORIGIN}/a/b?c=d&e=%20f", f"{ORIGIN}/?x"])
def test_a_place_of_ones_own_is_led_to(url: str) -> None:
    assert check_return_url(url, {ORIGIN, "https://other.example.org"}) == url
