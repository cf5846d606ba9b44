"""Records of the provider's inbox, which holds both calls and texts, over every store: a text never proves a call."""

from dataclasses import replace

import pytest

from tests.contract.test_reconcile_inbox import OFFSET, OTHER_OF_THE_POOL, TERM, Net
from tests.fakes.clock import FakeClock
from tests.fakes.outside import SHOWN, RecordingObserver
from tests.making import (
    NUMBER,
    OTHER_NUMBER,
    POLICY,
    admission,
    call_at,
    messages_of,
    records_of,
    seconds,
)
from tests.worlds import OTHER_PEPPER, PEPPER, World, redis_world
from waitcall.application.reconcile_inbox import PAGE, InboxRecord
from waitcall.application.record_call import RecordInboundCall
from waitcall.application.record_text import TEXT_KEPT
from waitcall.domain.channel import Assurance, Attested
from waitcall.domain.matching import InboundText, InboxTrust, Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Client, Purpose
from waitcall.domain.status import Reason, Status

DEDICATED = E164("+79585550000")
PURPOSES = {
    "login": Purpose("login"),
    "reset": Purpose("reset", min_assurance=Assurance.NETWORK),
}
ATTESTING = replace(
    POLICY,
    purposes=PURPOSES,
    clients={"web": Client("web", frozenset(PURPOSES))},
    assurance={"RU": Attested(Assurance.NETWORK, "of the tests")},
    text_in_numbers=(DEDICATED,),
)
FORGED = "[waitcall] hello"


class Scene(Net):
    """Net in a region of assurance ``network``, whose handler gets texts too. Its inbox has been read once."""

    def __init__(
        self,
        world: World,
        clock: FakeClock,
        observer: RecordingObserver,
        limit: Assurance = Assurance.ASSERTED,
    ) -> None:
        super().__init__(world, clock, observer, policy=ATTESTING)
        trust = InboxTrust(frozenset(ATTESTING.text_in_numbers), limit)
        self.reconciliation._calls = RecordInboundCall(
            records_of(world, observer, ATTESTING),
            world.used_calls,
            admission(world, observer),
            clock,
            trust=trust,
        )
        self.messages = messages_of(world, observer, clock, ATTESTING)
        self.reconciliation.run(TERM)

    def handler_gets(self, text: str = FORGED, number: E164 = NUMBER, to: E164 = SHOWN) -> Outcome:
        return self.messages.record_text(InboundText(number.value, to.value, text, like_call=True))

    def assurance(self, verification: str) -> Assurance:
        return self.verifications.get("web", verification).assurance


@pytest.fixture
def scene(world: World, clock: FakeClock, observer: RecordingObserver) -> Scene:
    return Scene(world, clock, observer)


def test_a_call_of_the_inbox_proves_asserted_where_its_callback_proves_what_the_region_gives(
    scene: Scene,
) -> None:
    by_inbox, by_callback = scene.start(), scene.start(number=OTHER_NUMBER)
    assert scene.assurance(by_inbox) is Assurance.NETWORK
    scene.clock.advance(10)
    scene.inbox.rings(scene.clock())
    scene.calls.record(call_at(scene.clock(), OTHER_NUMBER))
    scene.poll(15)
    assert (scene.status(by_inbox), scene.status(by_callback)) == (Status.VERIFIED, Status.VERIFIED)
    assert scene.assurance(by_inbox) is Assurance.ASSERTED
    assert scene.assurance(by_callback) is Assurance.NETWORK
    assert scene.verifications.consume("web", by_inbox, "login", "flow").assurance is Assurance.ASSERTED


@pytest.mark.parametrize("dialled", [None, "+1234", OTHER_OF_THE_POOL.value, DEDICATED.value])
def test_a_record_that_does_not_name_the_number_shown_leaves_everything_as_it_was(
    scene: Scene, dialled: str | None
) -> None:
    verification = scene.start()
    scene.clock.advance(10)
    at = scene.clock()
    scene.inbox.rings(at, dialled=dialled)
    scene.poll(15)
    assert scene.status(verification) is Status.PENDING
    named = dialled in (OTHER_OF_THE_POOL.value, DEDICATED.value)
    assert scene.observer.counts["reconciled", "other" if named else "unplaced"] == 1
    # The late callback of the same call still counts.
    assert scene.calls.record(call_at(at)) is Outcome.CONFIRMED
    assert scene.assurance(verification) is Assurance.NETWORK


@pytest.mark.parametrize("words", [FORGED, " [WAITCALL]", "\u200b[waitcall] \u2603", "[waitcall]"])
def test_a_text_that_the_handler_got_is_no_call_whatever_its_words(scene: Scene, words: str) -> None:
    verification = scene.start()
    scene.clock.advance(10)
    at = scene.clock()
    scene.handler_gets(words)
    scene.inbox.rings(at)
    scene.poll(15)
    assert scene.status(verification) is Status.PENDING
    assert scene.observer.counts["reconciled", "other"] == 1
    # The text has not used up a call of the same second.
    assert scene.calls.record(call_at(at)) is Outcome.CONFIRMED


def test_a_late_record_of_a_text_does_not_say_that_a_call_came_too_late(scene: Scene) -> None:
    verification = scene.start()
    scene.clock.advance(890)
    scene.handler_gets()
    scene.inbox.rings(scene.clock())
    scene.poll(25)
    assert scene.verifications.get("web", verification).reason is Reason.NO_CALL


def test_a_text_of_another_number_and_an_ordinary_text_do_not_spoil_a_call(scene: Scene) -> None:
    verification = scene.start()
    scene.clock.advance(10)
    scene.handler_gets(number=OTHER_NUMBER)
    scene.messages.record_text(InboundText(NUMBER.value, SHOWN.value, "hello"))
    scene.inbox.rings(scene.clock())
    scene.poll(15)
    assert scene.status(verification) is Status.VERIFIED


def test_a_text_whose_message_comes_after_its_record_is_waited_for(scene: Scene) -> None:
    verification = scene.start()
    scene.clock.advance(21)
    scene.inbox.rings(scene.clock())
    # The record is four seconds old, so the next poll looks at it again.
    scene.poll(4)
    assert scene.observer.counts["reconciled", "other"] == 0
    assert scene.progress.progress.after_id is None
    scene.handler_gets()
    scene.poll()
    assert scene.status(verification) is Status.PENDING
    assert scene.observer.counts["reconciled", "other"] == 1
    assert scene.progress.progress.after_id == 1


def test_the_time_at_which_a_text_says_it_was_sent_does_not_shorten_the_wait(scene: Scene) -> None:
    verification = scene.start()
    scene.clock.advance(21)
    scene.inbox.rings(scene.clock() - seconds(15))
    received = (scene.clock() + seconds(OFFSET)).replace(tzinfo=None)
    scene.inbox.records = [replace(each, received=received) for each in scene.inbox.records]
    scene.poll(4)
    assert scene.progress.progress.after_id is None
    scene.handler_gets()
    scene.poll()
    assert scene.status(verification) is Status.PENDING


@pytest.mark.parametrize("age", [1, 4, 6, 24, 84])
def test_a_lost_callback_verifies_with_the_poll_that_sees_it_or_the_next(scene: Scene, age: int) -> None:
    """A record that waits is not counted as read, because another worker may lead at the next poll."""
    verification = scene.start()
    scene.clock.advance(100 - age)
    scene.inbox.rings(scene.clock())
    scene.poll(age)
    assert (scene.status(verification) is Status.VERIFIED) == (age >= 5)
    scene.poll()
    assert scene.status(verification) is Status.VERIFIED
    assert scene.observer.counts["reconciled", "confirmed"] == 1


def test_records_behind_one_that_waits_are_read_once_and_in_order(scene: Scene) -> None:
    first, second = scene.start(), scene.start(number=OTHER_NUMBER)
    scene.clock.advance(20)
    scene.inbox.rings(scene.clock())
    scene.clock.advance(3)
    scene.inbox.rings(scene.clock(), OTHER_NUMBER)
    scene.inbox.records += [InboxRecord(3 + each, None, None, None) for each in range(PAGE)]
    scene.poll(3)
    assert (scene.status(first), scene.status(second)) == (Status.VERIFIED, Status.PENDING)
    assert scene.progress.progress.after_id == 1
    scene.poll()
    assert scene.status(second) is Status.VERIFIED
    assert scene.progress.progress.after_id == 2 + PAGE
    # The scene's own poll, the poll that left the second record waiting, and two pages of the last poll.
    assert scene.inbox.asked == [None, None, 1, 1 + PAGE]
    assert scene.observer.counts["reconciled", "confirmed"] == 2


def test_a_call_that_proves_too_little_leaves_the_verification_pending_and_is_counted(scene: Scene) -> None:
    verification = scene.start(purpose="reset")
    scene.clock.advance(10)
    at = scene.clock()
    scene.inbox.rings(at)
    scene.poll(15)
    assert scene.status(verification) is Status.PENDING
    assert scene.observer.counts["reconciled", "weak"] == 1
    # The late callback of the same call proves enough.
    assert scene.calls.record(call_at(at)) is Outcome.CONFIRMED
    assert scene.assurance(verification) is Assurance.NETWORK


def test_an_operator_who_checked_his_records_lets_them_prove_what_a_callback_does(
    world: World, clock: FakeClock, observer: RecordingObserver
) -> None:
    scene = Scene(world, clock, observer, Assurance.NETWORK)
    verification, forged = scene.start(purpose="reset"), scene.start(number=OTHER_NUMBER, purpose="reset")
    scene.clock.advance(10)
    scene.inbox.rings(scene.clock())
    scene.handler_gets(number=OTHER_NUMBER)
    scene.inbox.rings(scene.clock(), OTHER_NUMBER)
    scene.poll(15)
    assert scene.status(verification) is Status.VERIFIED
    assert scene.assurance(verification) is Assurance.NETWORK
    assert scene.status(forged) is Status.PENDING


def test_a_call_that_its_callback_brought_is_repeated_in_the_inbox_whatever_the_record_names(
    scene: Scene,
) -> None:
    for number, dialled in ((NUMBER, None), (OTHER_NUMBER, OTHER_OF_THE_POOL.value)):
        verification = scene.start(number=number)
        scene.clock.advance(10)
        scene.calls.record(call_at(scene.clock(), number))
        scene.inbox.rings(scene.clock(), number, dialled)
        assert scene.assurance(verification) is Assurance.NETWORK
    scene.poll(15)
    assert scene.observer.counts["reconciled", "repeated"] == 2


def test_a_demanded_assurance_is_stored_with_the_record(real_world: World) -> None:
    """The worker judges records that another process created."""
    world = real_world
    scene = Scene(world, FakeClock(), RecordingObserver())
    verification = scene.start(purpose="reset")
    with redis_world(world.url) as other:
        stored = other.store.get(verification)
    assert stored is not None
    assert stored.verification.rules.min_assurance is Assurance.NETWORK


def test_a_text_is_remembered_longer_than_the_inbox_is_read_back_and_not_for_ever(real_world: World) -> None:
    world = real_world
    scene = Scene(world, FakeClock(), RecordingObserver())
    scene.handler_gets()
    client = world.client()
    keys = list(client.scan_iter(match="*:texted*"))
    assert len(keys) == 2
    assert all(3600 < client.ttl(each) <= TEXT_KEPT.total_seconds() + 10 for each in keys)
    assert not any(NUMBER.digits.encode() in each or b"hello" in each for each in keys)


def test_a_text_is_remembered_across_a_rotation_of_the_pepper(real_world: World) -> None:
    now = FakeClock()()
    with redis_world(real_world.url, peppers=(PEPPER,)) as before:
        before.used_calls.remember_text(NUMBER.value, FORGED, now + TEXT_KEPT, now)
    with redis_world(real_world.url, peppers=(OTHER_PEPPER, PEPPER)) as after:
        assert after.used_calls.was_texted_by(NUMBER.value)
        assert after.used_calls.was_texted_by(NUMBER.value, " [WAITCALL] HELLO ")
        assert not after.used_calls.was_texted_by(NUMBER.value, "[waitcall]")
        assert not after.used_calls.was_texted_by(OTHER_NUMBER.value)
