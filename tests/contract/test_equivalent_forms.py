"""Equivalent forms of a number are one number: for creates, callbacks, limits, lists, lookups, and records of an older version."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NOW, POLICY, call_at, messages_of, operating, seconds, use_cases, with_limits
from tests.worlds import PEPPER, World
from waitcall.adapters.redis.keys import Keys
from waitcall.application.create import CreateCommand
from waitcall.application.operate import Subject
from waitcall.domain.channel import Channel
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.errors import Blocked, RateLimited, VerificationInProgress
from waitcall.domain.limits import Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.matching import InboundCall, InboundText, Outcome, Witness
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Policy
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

FORMS = {
    "Mexico": ("+52 55 1234 5678", "5215512345678"),
    "Mexico, the old form created": ("+52 1 55 1234 5678", "525512345678"),
    "Argentina": ("+54 9 11 5555-1234", "541155551234"),
    "Argentina, without the 9": ("+54 11 5555-1234", "5491155551234"),
    "Argentina, with the 15": ("+54 11 15 5555-1234", "541155551234"),
    "Russia": ("+7 999 123-45-67", "89991234567"),
    "Kazakhstan": ("+7 701 123 45 67", "87011234567"),
}
Acting = Callable[..., "Stage"]


class Stage:
    def __init__(
        self,
        world: World,
        provider: FakeProvider,
        observer: RecordingObserver,
        clock: FakeClock,
        policy: Policy = POLICY,
    ) -> None:
        self.world, self.clock, self.provider = world, clock, provider
        self.verifications, self.calls = use_cases(world, provider, observer, clock, policy)
        self.messages = messages_of(world, observer, clock, policy)
        self.operator = operating(world, observer, clock, policy)

    def start(self, text: str, reference: str = "flow", **more: object) -> Verification:
        return self.verifications.start("web", CreateCommand(text, "login", reference, **more)).verification

    def call(self, digits: str, **more: object) -> Outcome:
        return self.calls.record(InboundCall(f"+{digits}", self.clock().replace(microsecond=0), **more))

    def status(self, record: Verification) -> Status:
        return self.verifications.get("web", record.id).status


@pytest.fixture
def acting(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> Acting:
    return lambda policy=POLICY: Stage(world, provider, observer, clock, policy)


@pytest.fixture
def stage(acting: Acting) -> Stage:
    return acting()


@pytest.mark.parametrize(("created", "caller"), FORMS.values(), ids=FORMS)
def test_a_call_reported_in_another_form_verifies(stage: Stage, created: str, caller: str) -> None:
    made = stage.start(created)
    assert stage.call(caller) is Outcome.CONFIRMED
    assert stage.status(made) is Status.VERIFIED


@pytest.mark.parametrize(("created", "caller"), FORMS.values(), ids=FORMS)
def test_a_call_is_used_once_in_whatever_form_it_is_reported(stage: Stage, created: str, caller: str) -> None:
    stage.call(caller)
    made = stage.start(created)
    assert stage.call(caller) is Outcome.REPEATED
    assert stage.call(made.phone_number.digits) is Outcome.REPEATED
    assert stage.status(made) is Status.PENDING


@pytest.mark.parametrize(("created", "caller"), FORMS.values(), ids=FORMS)
def test_the_inbox_finds_a_call_in_another_form_once(stage: Stage, created: str, caller: str) -> None:
    made = stage.start(created)
    dialled = made.call_number and made.call_number.value
    at = stage.clock().replace(microsecond=0)
    found = InboundCall(f"+{caller}", at, dialled, Witness.INBOX)
    assert stage.calls.reconcile(found) is Outcome.CONFIRMED
    assert stage.calls.reconcile(replace(found, cli=made.phone_number.value)) is Outcome.REPEATED


@pytest.mark.parametrize(("created", "caller"), FORMS.values(), ids=FORMS)
def test_a_text_that_looks_like_a_call_is_remembered_in_every_form(
    stage: Stage, created: str, caller: str
) -> None:
    made = stage.start(created)
    text = InboundText(f"+{caller}", "+79585550000", "[waitcall] 1", like_call=True)
    stage.messages.record_text(text)
    dialled = made.call_number and made.call_number.value
    found = InboundCall(made.phone_number.value, stage.clock().replace(microsecond=0), dialled)
    assert stage.calls.reconcile(found) is Outcome.OTHER
    assert stage.status(made) is Status.PENDING


def test_a_text_from_another_form_verifies(acting: Acting) -> None:
    texted = replace(POLICY.purposes["login"], channels=(Channel.TEXT_IN,))
    ours = E164("+79585550000")
    policy = replace(POLICY, purposes=POLICY.purposes | {"login": texted}, text_in_numbers=(ours,))
    stage = acting(policy)
    made = stage.start("+54 9 11 5555-1234")
    assert made.text_in is not None
    message = InboundText("+541155551234", "+89585550000", made.text_in.text)
    assert stage.messages.record_text(message) is Outcome.CONFIRMED


def test_a_delivery_report_on_another_form_is_kept(acting: Acting) -> None:
    coded = replace(POLICY.purposes["login"], channels=(Channel.CODE,))
    policy = replace(
        POLICY, purposes=POLICY.purposes | {"login": coded}, code_texts={"en": "{code} is your code."}
    )
    stage = acting(policy)
    made = stage.start("+54 9 11 5555-1234")
    assert made.code is not None
    report = DeliveryReport(made.code.message_id, "+541155551234", CodeDelivery.DELIVERED)
    stage.messages.record_report(report)
    read = stage.verifications.get("web", made.id)
    assert read.code is not None
    assert read.code.delivery is CodeDelivery.DELIVERED


def test_two_forms_are_held_by_one_verification(stage: Stage) -> None:
    made = stage.start("+54 9 11 5555-1234")
    assert stage.start("+54 11 5555-1234").id == made.id
    with pytest.raises(VerificationInProgress):
        stage.start("+54 11 5555-1234", "another")
    # The answer shows the number as the first create gave it.
    assert made.phone_number.value == "+5491155551234"


def test_two_forms_have_one_limit(acting: Acting) -> None:
    stage = acting(with_limits(number=["2/h"]))
    for text in ("+54 9 11 5555-1234", "+54 11 5555-1234"):
        stage.verifications.cancel("web", stage.start(text).id)
    with pytest.raises(RateLimited):
        stage.start("+54 11 15 5555-1234")
    (state,) = [
        each
        for each in stage.operator.explain("ops", Subject("+541155551234", client="web")).limits
        if each.scope is Scope.NUMBER
    ]
    assert state.used == 2
    stage.operator.unblock("ops", Subject("+541155551234"), "tests")
    stage.start("+54 9 11 5555-1234")


@pytest.mark.parametrize("blocked", ["+541155551234", "+5491155551234"])
def test_a_block_names_every_form(stage: Stage, blocked: str) -> None:
    made = stage.start("+54 9 11 5555-1234")
    stage.operator.put(
        "ops",
        action=ListAction.BLOCK,
        kind=ListKind.NUMBER,
        subject=blocked,
        reason="tests",
        expires_in=60,
    )
    assert stage.status(made) is Status.CANCELED
    for text in ("+54 9 11 5555-1234", "+54 11 5555-1234"):
        with pytest.raises(Blocked):
            stage.start(text)
    undone = stage.operator.unblock("ops", Subject("+541155551234"), "tests")
    assert len(undone.lists) == 1
    stage.start("+54 11 5555-1234")


@pytest.mark.parametrize("subject", ["+541155551234", "+5491155551234"])
def test_an_entry_of_an_older_version_names_every_form_and_can_be_removed(stage: Stage, subject: str) -> None:
    expires_at = stage.clock() + seconds(60)
    stage.world.lists.put(
        ListEntry(ListAction.BLOCK, ListKind.NUMBER, subject, "tests", expires_at=expires_at), NOW
    )
    for text in ("+54 9 11 5555-1234", "+54 11 5555-1234"):
        with pytest.raises(Blocked):
            stage.start(text)
    stage.operator.remove("ops", ListKind.NUMBER, "+54 11 5555-1234", "tests")
    stage.start("+54 11 5555-1234")


@pytest.mark.parametrize("prefix", ["+5411", "+54911"])
def test_a_blocked_prefix_names_every_form(acting: Acting, prefix: str) -> None:
    entry = ListEntry(ListAction.BLOCK, ListKind.PREFIX, prefix, "tests")
    stage = acting(replace(POLICY, lists=(entry,)))
    for text in ("+54 9 11 5555-1234", "+54 11 5555-1234"):
        with pytest.raises(Blocked):
            stage.start(text)


def test_an_operator_finds_a_number_and_its_entries_in_every_form(stage: Stage) -> None:
    made = stage.start("+54 11 5555-1234")
    assert stage.operator.find("ops", "+54 9 11 5555-1234").id == made.id
    first, last = stage.clock() - seconds(10**8), stage.clock() + seconds(10**8)
    entries = list(stage.world.audit.read(first, last, "+5491155551234"))
    assert {each["event"] for each in entries} == {"started", "find"}


@pytest.mark.parametrize("text", ["+54 11 5555-1234", "+54 9 11 5555-1234"])
def test_records_of_an_older_version_still_match(
    real_world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock, text: str
) -> None:
    """That version stored each form apart, so the record lies under the tag of its own form."""
    stage = Stage(real_world, provider, observer, clock)
    form = E164.parse(text).value
    own = Keys(PEPPER).hash_of("number", form)
    old_id = f"ver_{own}{'0' * 40}"
    made = _as_written_before(stage, text, old_id)

    with pytest.raises(VerificationInProgress):
        stage.start("+54 9 11 5555-1234", "another")
    assert stage.start("+54 11 5555-1234").id == old_id
    assert stage.operator.find("ops", "+54 9 11 5555-1234").id == old_id
    assert stage.call("5491155551234") is Outcome.CONFIRMED
    assert stage.call("541155551234") is Outcome.REPEATED
    assert stage.status(made) is Status.VERIFIED


def test_a_call_that_an_older_version_used_is_not_used_again(
    real_world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock
) -> None:
    stage = Stage(real_world, provider, observer, clock)
    call = replace(call_at(clock()), cli="+89991234567")
    keys = Keys(PEPPER)
    with real_world.client() as client:
        client.set(keys.call(keys.hash_of("number", call.cli), call), "used", px=60_000)
    made = stage.start("+7 999 123-45-67")
    assert stage.calls.record(call) is Outcome.REPEATED
    assert stage.status(made) is Status.PENDING


def _as_written_before(stage: Stage, text: str, old_id: str) -> Verification:
    """Start a verification, and move it to where an older version would have stored it."""
    made = stage.start(text)
    with stage.world.client() as client:
        new, old = made.id[4:28], old_id[4:28]
        document = client.get(f"waitcall:{{{new}}}:v:{made.id[28:]}")
        client.delete(f"waitcall:{{{new}}}:v:{made.id[28:]}", f"waitcall:{{{new}}}:latest")
        moved = document.replace(made.id.encode(), old_id.encode())
        client.set(f"waitcall:{{{old}}}:v:{old_id[28:]}", moved, px=60_000)
        client.set(f"waitcall:{{{old}}}:latest", old_id, px=60_000)
    return replace(made, id=old_id)
