"""Edge cases of the use cases, over the store in memory."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from waitcall.application.admission import Screening
from waitcall.application.announcement import Delivery
from waitcall.application.applicable_limits import subjects_with_the_address
from waitcall.application.consume import ConsumeVerification, Proof
from waitcall.application.create import CreateCommand, Risk
from waitcall.application.dead_letters import DeadLetters
from waitcall.application.deliver_webhooks import MOST_ATTEMPTS, DeliveryOutcome, Push, Taken
from waitcall.application.hosted_page import PATIENCE_SECONDS, Pages
from waitcall.application.open_channel import text_for
from waitcall.application.ports import Change
from waitcall.application.record_call import SKEW
from waitcall.application.records import Records, announce
from waitcall.application.slots import Slots
from waitcall.domain.call import Outcome
from waitcall.domain.channel import Channel
from waitcall.domain.conversion import Bucket, ConversionBudget, Group
from waitcall.domain.errors import (
    Blocked,
    NotFound,
    RateLimited,
    RecordUnreadable,
    StoreUnavailable,
    ValidationFailed,
    VerificationInProgress,
)
from waitcall.domain.limits import Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.policy import (
    LONGEST_WINDOW_SECONDS,
    SHORTEST_WINDOW_SECONDS,
    Client,
    Endpoint,
    OnConcurrent,
    Purpose,
)
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

from tests.fakes.clock import FakeClock
from tests.fakes.memory import MemoryStore
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import (
    NOW,
    NUMBER,
    PAGES,
    POLICY,
    admission,
    call_at,
    effects_of,
    pending,
    reading_of,
    seconds,
    together,
    use_cases,
)
from tests.worlds import World, memory_world

BUDGET = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0.1)
GUARDED = replace(POLICY, conversion=(BUDGET,))
ADDRESS = "192.0.2.1"


@pytest.fixture
def world() -> World:
    return memory_world()


def entry(action: ListAction, kind: ListKind, subject: str) -> ListEntry:
    return ListEntry(action, kind, subject, "why", "ann", NOW, NOW + seconds(60))


ALLOWED_NUMBER = entry(ListAction.ALLOW, ListKind.NUMBER, NUMBER.value)
ALLOWED_ADDRESS = entry(ListAction.ALLOW, ListKind.NETWORK, ADDRESS)


# AdmissionControl


def test_the_conversion_guard_lets_only_an_allowed_number_pass(
    world: World, observer: RecordingObserver
) -> None:
    guarding = admission(world, observer, GUARDED)
    uncalled = [[Bucket(BUDGET.bucket_of(NOW - seconds(60)), 9, 0)]]
    guarding.guard(NUMBER, Screening.of([ALLOWED_NUMBER]), uncalled, NOW)
    assert observer.counts == {}
    with pytest.raises(RateLimited):
        guarding.guard(NUMBER, Screening.of([ALLOWED_ADDRESS]), uncalled, NOW)
    with pytest.raises(ValueError, match="zip"):
        guarding.guard(NUMBER, Screening.of([]), [], NOW)


def test_a_record_keeps_no_seal_of_an_address_that_is_not_counted(
    world: World, observer: RecordingObserver
) -> None:
    admitting = admission(world, observer)
    subjects = {scope.value for scope in subjects_with_the_address(NUMBER, ADDRESS)}
    counted = admitting.seals(NUMBER, ADDRESS, Screening.of([]))
    assert counted is not None
    assert set(counted) == subjects
    vouched = admitting.seals(NUMBER, ADDRESS, Screening.of([ALLOWED_ADDRESS, ALLOWED_NUMBER]))
    assert set(vouched or {}) == {Scope.NUMBER.value}


@pytest.mark.parametrize(("left", "told"), [(60, 60), (0.4, 1), (1.2, 2)])
def test_a_block_says_in_whole_seconds_when_it_ends(
    world: World, observer: RecordingObserver, left: float, told: int
) -> None:
    ends = replace(entry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value), expires_at=NOW + seconds(left))
    world.lists.put(ends, NOW)
    blocked = admission(world, observer).blocking(NUMBER, NOW)
    assert blocked is not None
    assert blocked.retry_after == told


# Calls


class Claiming(MemoryStore):
    """Store that records the ``keep_until`` and the change of each claim."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.claims: list[tuple[Any, Any]] = []

    def claim(self, call: Any, keep_until: Any, change: Any, *rest: Any) -> Any:
        self.claims.append((keep_until, change))
        return super().claim(call, keep_until, change, *rest)


@pytest.mark.parametrize("rang", [-30, 0, 3])
def test_a_used_call_is_kept_for_as_long_as_any_window_could_still_take_it(
    clock: FakeClock, rang: int
) -> None:
    world = memory_world(Claiming)
    calls = use_cases(world, FakeProvider(), RecordingObserver(), clock)[1]
    call = call_at(clock() + seconds(rang))
    calls.record(call)
    longest = timedelta(seconds=LONGEST_WINDOW_SECONDS) + 2 * SKEW
    assert world.store.claims == [(max(call.at, clock()) + longest, None)]


def test_a_call_that_changes_nothing_is_used_up_without_writing_the_record(clock: FakeClock) -> None:
    world = memory_world(Claiming)
    verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock, CONTESTABLE)
    verifications.start("web", CreateCommand(NUMBER.value, "contested", "flow"))
    with pytest.raises(VerificationInProgress):
        verifications.start("app", CreateCommand(NUMBER.value, "contested", "other"))
    assert calls.record(call_at(clock())) is Outcome.CONTESTED
    assert [change for _, change in world.store.claims] == [None]


CONTESTABLE = replace(
    POLICY,
    purposes={"contested": Purpose("contested", on_concurrent=OnConcurrent.CONTEST)},
    clients={name: Client(name, frozenset({"contested"})) for name in ("web", "app")},
)


def test_no_call_verifies_a_blocked_number_even_while_its_record_is_pending(
    world: World, clock: FakeClock
) -> None:
    verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    world.lists.put(
        replace(entry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value), expires_at=clock() + seconds(60)),
        clock(),
    )
    assert calls.record(call_at(clock())) is Outcome.UNMATCHED
    assert verifications.get("web", made.id).status is Status.CANCELED


# Records


@pytest.mark.parametrize("client", ["app", "nobody"])
def test_another_clients_record_is_not_found(world: World, clock: FakeClock, client: str) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    records = Records(world.store, RecordingObserver(), effects_of())
    with pytest.raises(NotFound):
        records.found(client, made.id, clock())
    assert records.found("web", made.id, clock()).verification == made


def test_a_record_that_is_still_being_ordered_is_not_shown(world: World, clock: FakeClock) -> None:
    provider = FakeProvider()
    verifications, _ = use_cases(world, provider, RecordingObserver(), clock)
    seen: list[Exception] = []

    def look() -> None:
        stored = world.store.latest_of(NUMBER.value)
        assert stored is not None
        try:
            verifications.get("web", stored.verification.id)
        except NotFound as error:
            seen.append(error)

    provider.during = look
    verifications.start("web", CreateCommand(NUMBER.value, "login", "flow"))
    assert len(seen) == 1


def test_a_transition_that_changes_nothing_is_not_written(world: World, clock: FakeClock) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    records = Records(world.store, RecordingObserver(), effects_of())
    stored = world.store.get(made.id)
    assert stored is not None
    assert records.changed(stored, lambda record: record, clock()) == made
    assert world.store.get(made.id) == stored
    records.changed(stored, lambda record: record, clock(), anew=True)
    assert world.store.get(made.id) != stored


def test_each_change_is_counted_once() -> None:
    contesting = Purpose("login", on_concurrent=OnConcurrent.CONTEST)
    waiting = pending(rules=contesting)
    contested = waiting.contest(NOW)
    told = RecordingObserver()
    for before, after in ((waiting, contested), (contested, contested), (waiting, waiting)):
        announce(told, before, after)
    assert told.counts == {("contested",): 1}


# Consume


class Looking(MemoryStore):
    """Store that changes the record and blocks its number just after both were read."""

    def get_with_lists(self, verification_id: str) -> Any:
        stored, directory = super().get_with_lists(verification_id)
        assert stored is not None
        after = replace(stored.verification, metadata={"changed": "meanwhile"})
        self.commit(Change(stored, after), NOW)
        self._lists.put(replace(entry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value), expires_at=None), NOW)
        return stored, directory


def test_a_consume_that_is_run_again_reads_the_lists_again(world: World, clock: FakeClock) -> None:
    verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    calls.record(call_at(clock()))
    store = Looking(world.limits, world.conversions, world.lists, world.audit)
    store._records, store._latest = world.store._records, world.store._latest
    records = Records(store, RecordingObserver(), effects_of())
    consuming = ConsumeVerification(store, records, admission(world, RecordingObserver()), PAGES, clock)
    with pytest.raises(Blocked):
        consuming.consume("web", made.id, Proof("login", "flow"))


# Create


@pytest.mark.parametrize(
    ("asked", "is_allowed"),
    [(SHORTEST_WINDOW_SECONDS - 1, False), (SHORTEST_WINDOW_SECONDS, True), (900, True), (901, False)],
)
def test_a_window_is_between_the_shortest_and_the_longest_of_its_purpose(
    world: World, clock: FakeClock, asked: int, is_allowed: bool
) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    ask = CreateCommand(NUMBER.value, "login", "flow", window_seconds=asked)
    if is_allowed:
        assert verifications.start("web", ask).verification.window_seconds == asked
        return
    with pytest.raises(ValidationFailed):
        verifications.start("web", ask)


def test_a_number_whose_record_cannot_be_read_is_taken(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)

    def unreadable(*_: Any) -> Any:
        raise RecordUnreadable(retry_after=7)

    monkeypatch.setattr(world.store, "creation_context", unreadable)
    with pytest.raises(VerificationInProgress) as taken:
        verifications.start("web", CreateCommand(NUMBER.value, "login", "flow"))
    assert taken.value.retry_after == 7


def test_without_a_captcha_rule_no_captcha_is_demanded(world: World, clock: FakeClock) -> None:
    coded = replace(
        POLICY,
        purposes={"code": Purpose("code", channels=(Channel.CODE, Channel.CALL))},
        clients={"web": Client("web", frozenset({"code"}))},
        code_texts={"en": "{code}"},
    )
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock, coded, FakeSender())
    ask = CreateCommand(NUMBER.value, "code", "flow", risk=Risk.HIGH)
    assert verifications.start("web", ask).verification.channel is Channel.CODE


def test_a_person_without_a_language_gets_the_first_text() -> None:
    texts = {"ru": "Код {code}", "en": "{code} is your code."}
    assert text_for(None, texts) == texts["ru"]
    assert text_for("en-GB", texts) == texts["en"]
    assert text_for("sr", texts) == texts["ru"]


# Dead letters


class Letters:
    def __init__(self) -> None:
        self.replayed: list[tuple[str, str]] = []

    def dead(self) -> Any:
        return iter([delivery("evt_1", "web/main"), delivery("evt_2", "web/other")])

    def replay(self, event_id: str, endpoint: str) -> bool:
        self.replayed.append((event_id, endpoint))
        return True


def delivery(event_id: str, endpoint: str, attempt: int = MOST_ATTEMPTS) -> Delivery:
    return Delivery(event_id, endpoint, "{}", attempt)


@pytest.mark.parametrize(
    ("asked", "details"),
    [
        ({}, {"endpoint": "every"}),
        ({"endpoint": "web/main"}, {"endpoint": "web/main"}),
        ({"event_id": "evt_2"}, {"endpoint": "every", "event_id": "evt_2"}),
    ],
)
def test_a_replay_is_audited_with_what_it_replays(
    world: World, clock: FakeClock, asked: dict[str, str], details: dict[str, str]
) -> None:
    DeadLetters(Letters(), world.audit, clock).replay("ann", "why", **asked)
    assert world.audit.entries[-1].details == {"reason": "why"} | details


# Pages


def pages(world: World, clock: FakeClock, rest: Any = lambda: None) -> Pages:
    return Pages(
        store=world.store,
        reading=reading_of(world, RecordingObserver(), clock),
        seals=PAGES,
        limits=world.limits,
        clock=clock,
        public_url="https://verify.example.org",
        max_waiting=1,
        rest=rest,
    )


def test_a_read_of_a_page_that_gets_no_slot_is_told_when_to_ask_again(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def take(_: Slots, patience: float = 0) -> bool:
        asked.append(patience)
        return False

    hosted = pages(world, clock)
    monkeypatch.setattr(Slots, "take", take)
    with pytest.raises(StoreUnavailable) as busy:
        hosted.look("token", ADDRESS)
    assert (busy.value.retry_after, asked) == (1, [PATIENCE_SECONDS])


def test_each_read_of_a_page_rests_before_the_next_begins(world: World, clock: FakeClock) -> None:
    rests, reading = [], threading.Lock()

    def rest() -> None:
        rests.append(reading.acquire(blocking=False))
        reading.release()

    hosted = pages(world, clock, rest)
    for result in together(5, lambda _: hosted.look("nothing", ADDRESS)):
        assert isinstance(result, NotFound)
    assert rests == [True] * 5


def test_a_poll_gives_its_place_back(world: World, clock: FakeClock) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock, HOSTING)
    made = verifications.start(
        "web", CreateCommand(NUMBER.value, "login", "flow", return_url="https://login.example.org/done")
    ).verification
    hosted = pages(world, clock)
    token = str(hosted.url_of(made)).rpartition("/")[2]
    waits: list[int] = []

    def read(client: str, verification_id: str, wait_seconds: int, seen: Any) -> Verification:
        waits.append(wait_seconds)
        return made

    hosted._reading = type("Reads", (), {"look": staticmethod(read)})()
    for address in (ADDRESS, None, ADDRESS):
        hosted.look(token, address, 25)
    assert waits == [25, 25, 25]


HOSTING = replace(
    POLICY,
    clients={
        "web": Client("web", frozenset({"login"}), return_origins=frozenset({"https://login.example.org"}))
    },
)


# Webhooks


class Outbox:
    def __init__(self) -> None:
        self.ended: list[str] = []

    def wake(self, _: Any) -> int:
        return 0

    def take(self, *_: Any) -> list[Taken]:
        return []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.ended.append(name)


class Sends:
    def __init__(self, outcome: DeliveryOutcome) -> None:
        self.outcome = outcome

    def send(self, *_: Any) -> DeliveryOutcome:
        return self.outcome


class Told:
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def delivered(self, _: Delivery, outcome: DeliveryOutcome, *, dead: bool) -> None:
        self.told.append((outcome.value, dead))


@pytest.mark.parametrize(
    ("outcome", "attempt", "ended", "dead"),
    [
        (DeliveryOutcome.ACCEPTED, MOST_ATTEMPTS - 1, "arrived", False),
        (DeliveryOutcome.REFUSED, MOST_ATTEMPTS - 1, "bury", True),
        (DeliveryOutcome.REFUSED, MOST_ATTEMPTS - 2, "defer", False),
        (DeliveryOutcome.GONE, 0, "bury", True),
    ],
)
def test_a_delivery_is_dead_after_its_last_attempt_unless_it_arrived(
    clock: FakeClock, outcome: DeliveryOutcome, attempt: int, ended: str, dead: bool
) -> None:
    outbox, delivery_metrics = Outbox(), Told()
    endpoint = Endpoint("web/main", "https://web.example.org/hook", frozenset())
    policy = replace(POLICY, clients={"web": replace(POLICY.clients["web"], webhooks=(endpoint,))})
    push = Push(
        outbox=outbox,
        sender=Sends(outcome),
        delivery_metrics=delivery_metrics,
        clock=clock,
        policy=policy,
        consumer="one",
    )
    push.deliver(Taken(delivery("evt_1", "web/main", attempt), ("1", "1")))
    push.close()
    assert (outbox.ended, delivery_metrics.told) == ([ended], [(outcome.value, dead)])
    with pytest.raises(RuntimeError):
        push._threads.submit(print)
