"""Hypothesis drives the use cases against a model written from the contract, not from the code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NOW, call_at, examples, seconds, use_cases
from tests.redis_servers import all_keys
from tests.worlds import World, memory_world
from waitcall.application.create import CreateCommand
from waitcall.domain.errors import ProviderError, ServiceError

NUMBERS = ("+79991234567", "+79991234568")
CLIENTS = ("web", "app")
WINDOW, RESULT, COOLDOWN, SKEW = 900, 300, 30, 5


@dataclass
class Model:
    """Verification as the contract describes it. Times are in seconds from the start."""

    id: str
    who: tuple[str, str, str | None]
    number: str
    created: int
    status: str = "pending"
    reason: str | None = None
    verified: int | None = None
    cool: int = 0

    def pass_time(self, now: int) -> None:
        if self.status in ("pending", "contested") and now >= self.created + WINDOW:
            self.status, self.reason = "expired", "no_call"
        if self.status == "verified" and self.verified is not None and now >= self.verified + RESULT:
            self.status, self.reason = "lapsed", "not_consumed"


class Machine(RuleBasedStateMachine):
    """Machine whose rules act on the service and on the model and compare their answers."""

    world: World
    made: Any = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        if self.world.server is not None:
            with self.world.client() as client:
                client.flushall()
            world = self.world
        else:
            world = memory_world()
        self.clock, self.provider, self.observer = FakeClock(NOW), FakeProvider(), RecordingObserver()
        self.verifications, self.calls = use_cases(world, self.provider, self.observer, self.clock)
        self.models: dict[str, Model] = {}
        self.latest: dict[str, Model] = {}
        self.used: set[tuple[str, int]] = set()

    @property
    def now(self) -> int:
        return int((self.clock() - NOW).total_seconds())

    @rule(
        target=made,
        number=st.sampled_from(NUMBERS),
        client=st.sampled_from(CLIENTS),
        purpose=st.sampled_from(["login", "contested_login"]),
        reference=st.sampled_from([None, "a", "b"]),
        fails=st.booleans(),
    )
    def start(self, number: str, client: str, purpose: str, reference: str | None, fails: bool) -> str:
        who = (client, purpose, reference)
        self.provider.failures = [ProviderError()] if fails else []
        said = _said(lambda: self.verifications.start(client, CreateCommand(number, purpose, reference)))
        if client == "app" and purpose != "login":
            assert said == "purpose_not_allowed"
            return ""
        live = self.latest.get(number)
        same = live is not None and reference is not None and live.who == who
        if live is not None and live.status in ("pending", "contested"):
            if same and live.status == "pending":
                assert (said.verification.id, said.created) == (live.id, False)
                return live.id
            assert said == "verification_in_progress"
            if not same and live.who[1] == "contested_login" and live.status == "pending":
                live.status, live.reason = "contested", "concurrent_request"
            return ""
        cooling = live is not None and self.now < live.cool
        if cooling and not same:
            assert said == "verification_in_progress"
            return ""
        if fails:
            assert said == "provider_error"
            self._follow(Model("", who, number, self.now, "failed"))
            return ""
        assert said.created
        model = Model(said.verification.id, who, number, self.now)
        self.models[model.id] = self._follow(model)
        return model.id

    def _follow(self, model: Model) -> Model:
        before = self.latest.get(model.number)
        if before is not None and self.now < before.cool:
            model.cool = before.cool
        self.latest[model.number] = model
        return model

    @rule(number=st.sampled_from(NUMBERS), ago=st.integers(-20, 40) | st.sampled_from([300, 899, 900, 905]))
    def call(self, number: str, ago: int) -> None:
        at = self.now - ago
        said = str(self.calls.record(_call(number, at)))
        assert said == self._expected_outcome(number, at)
        self.used.add((number, at))

    def _expected_outcome(self, number: str, at: int) -> str:
        if (number, at) in self.used:
            return "repeated"
        live = self.latest.get(number)
        if at > self.now + SKEW:
            return "early"
        if live is None or live.status in ("canceled", "failed"):
            return "unmatched"
        if at < live.created - SKEW:
            return "early"
        if live.status == "expired":
            live.reason = "late_call"
            return "late"
        if at > live.created + WINDOW:
            return "late"
        if live.verified is not None:
            return "repeated"
        if live.status == "contested":
            return "contested"
        live.status, live.reason, live.verified = "verified", "call_matched", self.now
        live.cool = self.now + COOLDOWN
        return "confirmed"

    @rule(
        verification_id=made,
        client=st.sampled_from(CLIENTS),
        purpose=st.sampled_from(["login", "contested_login"]),
        reference=st.sampled_from([None, "a", "b"]),
        right=st.booleans(),
    )
    def consume(
        self, verification_id: str, client: str, purpose: str, reference: str | None, right: bool
    ) -> None:
        model = self.models.get(verification_id)
        if model is not None and right:
            client, purpose, reference = model.who
        said = _said(lambda: self.verifications.consume(client, verification_id, purpose, reference))
        if model is None or model.who[0] != client:
            assert said == "not_found"
        elif model.who[1] != purpose:
            assert said == "purpose_mismatch"
        elif model.who[2] != reference:
            assert said == "reference_mismatch"
        elif model.status == "verified":
            assert said.status == "consumed"
            model.status = "consumed"
        else:
            refusals = {"consumed": "already_consumed", "contested": "contested", "expired": "expired"}
            assert said == refusals.get(
                model.status, "expired" if model.status == "lapsed" else "not_verified"
            )

    @rule(verification_id=made)
    def cancel(self, verification_id: str) -> None:
        model = self.models.get(verification_id)
        said = _said(lambda: self.verifications.cancel(model.who[0] if model else "web", verification_id))
        if model is None:
            assert said == "not_found"
        elif model.status in ("verified", "consumed", "lapsed"):
            assert said == "already_verified"
        else:
            if model.status in ("pending", "contested"):
                model.status, model.reason = "canceled", "by_client"
            assert said.status == model.status

    @rule(by=st.sampled_from([1, 10, 30, 299, 300, 600, 899, 900]))
    def pass_time(self, by: int) -> None:
        self.clock.advance(by)
        for model in self.models.values():
            model.pass_time(self.now)

    @invariant()
    def every_record_reads_as_the_model_says(self) -> None:
        for model in self.models.values():
            read = self.verifications.get(model.who[0], model.id)
            assert (str(read.status), read.reason) == (model.status, model.reason)

    @invariant()
    def everything_started_is_counted_once_at_its_end(self) -> None:
        counts = self.observer.counts
        ended = [m for m in self.models.values() if m.status not in ("pending", "verified", "contested")]
        finished = sum(n for words, n in counts.items() if words[0] == "finished" and words[1] != "failed")
        assert counts["started",] == len(self.models)
        assert finished == len(ended)

    def teardown(self) -> None:
        if self.world.server is not None:
            with self.world.client() as client:
                keys = all_keys(client)
            assert [name for name, ttl in keys.items() if ttl < 0] == []
            assert not [name for name in keys for number in NUMBERS if number[1:] in name]


def _call(number: str, at: int) -> Any:
    from waitcall.domain.numbers import E164  # noqa: PLC0415

    return call_at(NOW + seconds(at), E164(number))


def _said(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except ServiceError as error:
        return error.code


@pytest.mark.parametrize("world", ["memory", "valkey", "redis-cluster"], indirect=True)
def test_no_sequence_of_acts_leaves_the_model(world: World) -> None:
    machine = type("Over" + world.name, (Machine,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(160 if world.server is None else 40),
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
