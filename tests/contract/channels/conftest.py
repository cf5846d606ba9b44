"""Use cases with a policy that allows every channel, over every store."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import NUMBER, SEALS, admission, messages_of, records_of, use_cases
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.fallback import ChannelSteps
from waitcall.domain.channel import Assurance, Attested, Channel
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.matching import InboundText, Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Client, OnConcurrent, Policy, Purpose
from waitcall.domain.verification import Verification

OURS = E164("+79585550000")
CALL, TEXT_IN, CODE = Channel.CALL, Channel.TEXT_IN, Channel.CODE
PURPOSES = {
    "every": Purpose("every", channels=(CALL, TEXT_IN, CODE)),
    "code": Purpose("code", channels=(CODE,), on_concurrent=OnConcurrent.CONTEST),
    "code_then_call": Purpose("code_then_call", channels=(CODE, CALL)),
    "text_in": Purpose("text_in", channels=(TEXT_IN,)),
    "contested_text": Purpose("contested_text", channels=(TEXT_IN,), on_concurrent=OnConcurrent.CONTEST),
    "two_steps": Purpose("two_steps", second_step=CODE),
    "strict": Purpose("strict", channels=(CALL, TEXT_IN, CODE), min_assurance=Assurance.NETWORK),
    "strictest": Purpose("strictest", channels=(CALL, CODE), min_assurance=Assurance.ROUNDTRIP),
}
POLICY = Policy(
    dial_regions=frozenset({"RU"}),
    purposes=PURPOSES,
    clients={"web": Client("web", frozenset(PURPOSES)), "app": Client("app", frozenset(PURPOSES))},
    assurance={"RU": Attested(Assurance.NETWORK, "of the tests")},
    text_in_numbers=(OURS,),
    code_texts={"en": "{code} is your code.", "ru": "Ваш код: {code}."},
)


@dataclass
class Stage:
    world: World
    provider: FakeProvider
    sender: FakeSender
    observer: RecordingObserver
    clock: FakeClock
    policy: Policy = POLICY

    def __post_init__(self) -> None:
        self.verifications, self.calls = use_cases(
            self.world, self.provider, self.observer, self.clock, self.policy, self.sender
        )
        self.channels = ChannelSteps(
            records=records_of(self.world, self.observer, self.policy),
            admission=admission(self.world, self.observer, self.policy),
            opening=self.verifications.creating._opening,
            seals=SEALS,
            clock=self.clock,
            policy=self.policy,
        )
        self.messages = messages_of(self.world, self.observer, self.clock, self.policy)

    def start(self, purpose: str, channel: Channel | None = None, **more: object) -> Verification:
        ask = CreateCommand(NUMBER.value, purpose, "flow", channel=channel, **more)
        return self.verifications.start("web", ask).verification

    def text(self, record: Verification, **changes: str) -> Outcome:
        asked = record.text_in
        assert asked is not None
        message = InboundText(NUMBER.value, asked.number.value, asked.text)
        return self.messages.record_text(replace(message, **changes))

    def check(self, record: Verification, code: str | None = None) -> Verification:
        return self.channels.check("web", record.id, self.sender.code if code is None else code)

    def wrong(self) -> str:
        return f"{(int(self.sender.code) + 1) % 1000000:06}"

    def now(self, record: Verification) -> Verification:
        return self.verifications.get("web", record.id)

    def reported(self, delivery: CodeDelivery, reason: str | None = None, message: int = -1) -> None:
        message_id = self.sender.sent[message][2]
        self.messages.record_report(DeliveryReport(message_id, NUMBER.value, delivery, reason))

    def audited(self) -> Counter[str]:
        # Redis names the entries by its own clock, not by the test's.
        entries = self.world.audit.read(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
        return Counter(each["event"] for each in entries)


def whole(stage: Stage) -> datetime:
    return stage.clock().replace(microsecond=0)


@pytest.fixture
def stage(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, provider, FakeSender(), observer, clock)
