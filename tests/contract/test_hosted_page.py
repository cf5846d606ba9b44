"""Hosted page over every store: its tokens, its results, and the polls that wait."""

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import (
    NUMBER,
    OTHER_NUMBER,
    PAGES,
    POLICY,
    call_at,
    reading_of,
    together,
    use_cases,
)
from tests.redis_servers import wait_for
from tests.worlds import World
from waitcall.application import hosted_page as pages
from waitcall.application.create import CreateCommand
from waitcall.application.hosted_page import (
    LEASE_SECONDS,
    WAITING_OF_A_PAGE,
    WAITING_OF_AN_ADDRESS,
    Page,
    ReadPage,
)
from waitcall.application.ports import Stored
from waitcall.domain.channel import Channel
from waitcall.domain.errors import (
    NotFound,
    PurposeMismatch,
    ReferenceMismatch,
    ResultMismatch,
    StoreUnavailable,
    ValidationFailed,
)
from waitcall.domain.hosted_page import PageSeals, check_return_url
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

ORIGIN = "https://login.example.org"
BACK = f"{ORIGIN}/done?state=1"
ADDRESS = "192.0.2.7"
MOST_OF_A_PROCESS = 100
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
        self.pages = ReadPage(
            store=self.world.store,
            reading=reading_of(self.world, self.observer, self.clock),
            seals=PAGES,
            limits=self.world.limits,
            clock=self.clock,
            public_url="https://verify.example.org",
            max_waiting=MOST_OF_A_PROCESS,
            rest=lambda: None,
        )

    def start(self, client: str = "web", **more: object) -> Verification:
        ask = CreateCommand(NUMBER.value, "login", "flow", **({"return_url": BACK} | more))
        return self.verifications.start(client, ask).verification

    def token(self, record: Verification) -> str:
        url = self.pages.url_of(record)
        assert url is not None
        return url.removeprefix("https://verify.example.org/p/")

    def look(self, record: Verification) -> tuple[Status, str | None]:
        page = self.pages.look(self.token(record), ADDRESS)
        return page.verification.status, page.result

    def tokens(self, count: int) -> list[str]:
        """CreateCommand ``count`` verifications of different numbers and return the tokens of their pages."""
        asked = (
            CreateCommand(f"+7999{index:07}", "login", "flow", return_url=BACK) for index in range(count)
        )
        return [self.token(self.verifications.start("web", each).verification) for each in asked]

    def call(self) -> None:
        assert self.calls.record(call_at(self.clock())) is Outcome.CONFIRMED

    def consume(self, record: Verification, result: str | None) -> Verification:
        return self.verifications.consume("web", record.id, "login", "flow", result=result)


@pytest.fixture
def stage(
    world: World, observer: RecordingObserver, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    # These tests count slots, so no request may give up early on a busy machine. The real time is tested in
    # end_to_end/test_public_flood.py.
    monkeypatch.setattr(pages, "PATIENCE_SECONDS", 60)
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
def test_a_proof_is_not_consumed_without_the_result_that_the_browser_brought(
    stage: Stage, wrong: str | None
) -> None:
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
    monkeypatch.setattr(
        stage.world.changes, "wait_for_change", lambda _, seconds: bool(waited.append(seconds))
    )

    stage.pages.look(stage.token(record), ADDRESS, 25, Channel.CODE)
    stage.verifications.get("web", record.id, 25, Channel.CODE)
    assert waited == []

    stage.pages.look(stage.token(record), ADDRESS, 25, Channel.CALL)
    assert len(waited) == 1


def test_a_page_that_does_not_know_of_a_weak_call_does_not_wait(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = stage.start()
    waited: list[float] = []
    monkeypatch.setattr(
        stage.world.changes, "wait_for_change", lambda _, seconds: bool(waited.append(seconds))
    )

    stage.pages.look(stage.token(record), ADDRESS, 25, seen_weak_call=True)
    assert waited == []
    stage.pages.look(stage.token(record), ADDRESS, 25, seen_weak_call=False)
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
    # The token that its page would have opens nothing either.
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
def test_a_text_that_is_no_token_opens_nothing(stage: Stage, token: str) -> None:
    stage.start()
    with pytest.raises(NotFound):
        stage.pages.look(token, ADDRESS)


def test_wrong_tokens_change_nothing_and_do_not_lock_the_page(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = stage.start()
    token = stage.token(record)
    read: list[str] = []
    latest_at = stage.world.store.latest_at
    monkeypatch.setattr(stage.world.store, "latest_at", lambda place: read.append(place) or latest_at(place))

    missed = together(40, lambda index: stage.pages.look(f"{token[:24]}{index:032x}", ADDRESS))

    assert all(isinstance(each, NotFound) for each in missed)
    # Each miss costs one read, and counts for no limit that could lock out others at the same address.
    assert len(read) == 40
    monkeypatch.undo()
    for address in (ADDRESS, "198.51.100.9"):
        assert stage.pages.look(token, address, 0).verification.status is Status.PENDING


class Waiting:
    """Replacement for ``wait_for_change`` that holds every caller until the test sets ``over``."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.over = threading.Event()
        self._lock = threading.Lock()
        monkeypatch.setattr(stage.world.changes, "wait_for_change", self)

    def __call__(self, _: Stored, __: float) -> bool:
        with self._lock:
            self.count += 1
        self.over.wait()
        # A process that leaves returns False too, so the poll does not wait for the rest of its time.
        return False


def polls(stage: Stage, asked: list[tuple[str, str]], waiting: Waiting, most: int) -> None:
    """Send simultaneous polls, each by token and address. Check that ``most`` wait and the others are answered at once."""
    with ThreadPoolExecutor(len(asked)) as visitors:
        held = {visitors.submit(stage.pages.look, token, address, 25) for token, address in asked}
        try:
            answered: set[Future[Page]] = set()
            while len(answered) < len(asked) - most:
                done, held = wait(held, return_when=FIRST_COMPLETED)
                answered |= done
            wait_for(lambda: waiting.count >= most)
            assert {each.result().verification.status for each in answered} == {Status.PENDING}
            assert (waiting.count, len(held)) == (most, most)
        finally:
            waiting.over.set()


def test_two_polls_of_one_page_wait_and_the_others_are_answered_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = stage.token(stage.start())
    waiting = Waiting(stage, monkeypatch)

    polls(stage, [(token, f"192.0.2.{index}") for index in range(50)], waiting, WAITING_OF_A_PAGE.count)

    # The slots of polls that have ended are free at once.
    again = Waiting(stage, monkeypatch)
    polls(stage, [(token, ADDRESS)] * 5, again, WAITING_OF_A_PAGE.count)


def test_twenty_polls_of_one_address_wait_whatever_their_pages(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = stage.tokens(60)
    waiting = Waiting(stage, monkeypatch)

    polls(stage, [(token, ADDRESS) for token in tokens], waiting, WAITING_OF_AN_ADDRESS.count)

    # An IPv6 subscriber has a /64, so these addresses count as one.
    sixth = [(token, f"2001:db8::{index:x}") for index, token in enumerate(tokens, start=1)]
    polls(stage, sixth, Waiting(stage, monkeypatch), WAITING_OF_AN_ADDRESS.count)


def test_many_addresses_leave_room_in_the_process(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = stage.tokens(130)
    asked = [(token, f"192.0.2.{index}") for index, token in enumerate(tokens)]
    polls(stage, asked, Waiting(stage, monkeypatch), MOST_OF_A_PROCESS)


def test_slots_of_a_process_that_died_are_free_after_the_lease(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = stage.token(stage.start(window_seconds=900))
    monkeypatch.setattr(stage.world.limits, "give_back", lambda *_: None)
    for held in (2, 0):
        waiting = Waiting(stage, monkeypatch)
        waiting.over.set()
        for _ in range(3):
            stage.pages.look(token, ADDRESS, 25)
        assert waiting.count == held

    stage.clock.advance(LEASE_SECONDS)

    waiting = Waiting(stage, monkeypatch)
    waiting.over.set()
    stage.pages.look(token, ADDRESS, 25)
    assert waiting.count == 1


def test_a_poll_that_cannot_be_counted_does_not_wait(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    token = stage.token(stage.start())

    def away(*_: object) -> None:
        raise StoreUnavailable(retry_after=1)

    with monkeypatch.context() as broken:
        broken.setattr(stage.world.limits, "take", away)
        for _ in range(MOST_OF_A_PROCESS + 1):
            with pytest.raises(StoreUnavailable):
                stage.pages.look(token, ADDRESS, 25)

    # The failed polls have left their slots free. A poll whose end cannot be counted still waits and is answered.
    monkeypatch.setattr(stage.world.limits, "give_back", away)
    waiting = Waiting(stage, monkeypatch)
    waiting.over.set()
    assert stage.pages.look(token, ADDRESS, 25).verification.status is Status.PENDING
    assert waiting.count == 1


def test_a_poll_of_a_verified_page_takes_no_slot(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    record = stage.start()
    stage.call()
    spent: list[object] = []
    monkeypatch.setattr(stage.world.limits, "take", lambda *given: spent.append(given))
    assert stage.pages.look(stage.token(record), ADDRESS, 25).verification.status is Status.VERIFIED
    assert spent == []


def test_tokens_survive_the_peppers_rotation() -> None:
    record_id = f"ver_{'a' * 64}"
    before, during = PageSeals("old" * 12), PageSeals("new" * 12, "old" * 12)
    assert during.opens(before.token(record_id), record_id)
    assert during.proves(before.result(record_id), record_id)
    after = PageSeals("new" * 12)
    assert not after.opens(before.token(record_id), record_id)
    assert after.opens(during.token(record_id), record_id)


def test_a_page_leads_back_only_to_the_origins_of_its_client(stage: Stage) -> None:
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
def test_a_page_leads_back_to_no_other_url(url: str) -> None:
    with pytest.raises(ValidationFailed):
        check_return_url(url, {ORIGIN})


@pytest.mark.parametrize("url", [f"{ORIGIN}/", f"{ORIGIN}/a/b?c=d&e=%20f", f"{ORIGIN}/?x"])
def test_a_page_leads_back_to_any_url_of_its_origin(url: str) -> None:
    assert check_return_url(url, {ORIGIN, "https://other.example.org"}) == url
