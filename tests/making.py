"""Helpers that make the policies, records, calls and use cases that many tests need."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import settings

from tests.fakes.memory import MemoryOrders
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.worlds import World
from waitcall.application.admission import AdmissionControl
from waitcall.application.cancel import CancelVerification
from waitcall.application.consume import ConsumeVerification, Proof
from waitcall.application.create import CreateCommand, Created, CreateVerification
from waitcall.application.effects import Effects, TransitionEffects
from waitcall.application.open_channel import ChannelOpening, Ordering
from waitcall.application.operate import OperatorActions
from waitcall.application.own_numbers import OwnNumberProvider
from waitcall.application.ports import Change, Clock, OrderIndex, Stored, VerificationStore
from waitcall.application.read import ReadVerification
from waitcall.application.record_call import RecordInboundCall
from waitcall.application.record_text import RecordInboundText
from waitcall.application.records import Records
from waitcall.domain.channel import Channel, PlacedOrder
from waitcall.domain.code import CodeSeals
from waitcall.domain.hosted_page import PageSeals
from waitcall.domain.limits import Limit, Scope
from waitcall.domain.matching import InboundCall
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Client, OnConcurrent, Policy, Purpose
from waitcall.domain.verification import Requester, Verification

NUMBER = E164("+79991234567")
OTHER_NUMBER = E164("+79991234568")
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
LOGIN = Purpose("login")
T = TypeVar("T")


def examples(thorough: int) -> int:
    """Return how many examples a hypothesis test tries: ``thorough``, or an eighth of it in `make test`."""
    return thorough // 8 if settings.get_current_profile_name() == "everyday" else thorough


POLICY = Policy(
    dial_regions=frozenset({"RU"}),
    purposes={
        "login": LOGIN,
        "contested_login": Purpose("contested_login", on_concurrent=OnConcurrent.CONTEST),
        "reset": Purpose("reset", max_window_seconds=600, require_reference=True),
        "mobile_only": Purpose("mobile_only", regions=frozenset({"RU"}), number_types=frozenset({"mobile"})),
    },
    clients={
        "web": Client(
            "web", frozenset({"login", "contested_login", "reset", "mobile_only"}), default_region="RU"
        ),
        "app": Client("app", frozenset({"login"})),
    },
)


def with_limits(**texts: list[str]) -> Policy:
    limits = {Scope(name): tuple(Limit.parse(text) for text in each) for name, each in texts.items()}
    return replace(POLICY, limits=limits)


def opened(
    verification_id: str,
    *,
    number: E164 = NUMBER,
    now: datetime = NOW,
    rules: Purpose = LOGIN,
    client: str = "web",
    reference: str | None = "flow",
    window_seconds: int = 900,
) -> Verification:
    return Verification.open(
        verification_id=verification_id,
        requester=Requester(client, rules.name, reference),
        phone_number=number,
        rules=rules,
        window_seconds=window_seconds,
        now=now,
    )


def pending(verification_id: str = "ver_1", **made: object) -> Verification:
    record = opened(verification_id, **made)
    return record.open_window(record.created_at).show(PlacedOrder(E164("+79585551234")))


def call_at(moment: datetime, number: E164 = NUMBER) -> InboundCall:
    return InboundCall(number.value, moment.replace(microsecond=0))


PROVIDER_LIMIT = Limit(49, 90)


def effects_of(policy: Policy = POLICY) -> TransitionEffects:
    return TransitionEffects(policy)


def records_of(world: World, observer: RecordingObserver, policy: Policy = POLICY) -> Records:
    return Records(world.store, observer, effects_of(policy))


def reserve(
    store: VerificationStore, verification: Verification, over: Stored | None, now: datetime
) -> Stored | None:
    reservation = store.reserve(verification, over, now)
    return reservation.stored if reservation else None


def plan(store: VerificationStore, stored: Stored, due: datetime, now: datetime) -> None:
    """Set the deadline of a record that stays as it is."""
    assert store.commit(Change(stored, stored.verification), now, Effects(due=due)) is not None


def admission(world: World, observer: RecordingObserver, policy: Policy = POLICY) -> AdmissionControl:
    return AdmissionControl(
        limits=world.limits,
        lists=world.lists,
        observer=observer,
        policy=policy,
        provider_limit=PROVIDER_LIMIT,
    )


PAGES = PageSeals("a-pepper-of-the-tests-that-is-long-enough")
SEALS = CodeSeals("a-pepper-of-the-tests-that-is-long-enough")


def opening_of(
    provider: Ordering,
    sender: FakeSender,
    policy: Policy = POLICY,
    orders: OrderIndex | None = None,
) -> ChannelOpening:
    return ChannelOpening(provider, sender, SEALS, policy, orders or MemoryOrders())


@dataclass(frozen=True, slots=True)
class Verifications:
    """The main use cases of a client, in one place."""

    creating: CreateVerification
    reading: ReadVerification
    consuming: ConsumeVerification
    canceling: CancelVerification

    def start(self, client: str, command: CreateCommand) -> Created:
        return self.creating.create(client, command)

    def get(
        self, client: str, verification_id: str, wait_seconds: int = 0, seen: Channel | None = None
    ) -> Verification:
        return self.reading.read(client, verification_id, wait_seconds, seen)

    def consume(
        self, client: str, verification_id: str, *proof: str | None, **named: str | None
    ) -> Verification:
        return self.consuming.consume(client, verification_id, Proof(*proof, **named))

    def cancel(self, client: str, verification_id: str) -> Verification:
        return self.canceling.cancel(client, verification_id)


def reading_of(
    world: World, observer: RecordingObserver, clock: Clock, policy: Policy = POLICY
) -> ReadVerification:
    records = records_of(world, observer, policy)
    return ReadVerification(records, world.changes, admission(world, observer, policy), clock)


def use_cases(
    world: World,
    provider: FakeProvider,
    observer: RecordingObserver,
    clock: Clock,
    policy: Policy = POLICY,
    sender: FakeSender | None = None,
) -> tuple[Verifications, RecordInboundCall]:
    admitting, records = admission(world, observer, policy), records_of(world, observer, policy)
    verifications = Verifications(
        CreateVerification(
            records=records,
            admission=admitting,
            opening=opening_of(provider, sender or FakeSender(), policy),
            clock=clock,
            policy=policy,
            default_window_seconds=900,
        ),
        reading_of(world, observer, clock, policy),
        ConsumeVerification(records, admitting, PAGES, clock),
        CancelVerification(records, clock),
    )
    return verifications, RecordInboundCall(records, world.used_calls, admitting, clock)


def messages_of(
    world: World, observer: RecordingObserver, clock: Clock, policy: Policy = POLICY
) -> RecordInboundText:
    records, admitting = records_of(world, observer, policy), admission(world, observer, policy)
    return RecordInboundText(records, world.used_calls, admitting, clock)


def operating(
    world: World, observer: RecordingObserver, clock: Clock, policy: Policy = POLICY
) -> OperatorActions:
    return OperatorActions(
        records=records_of(world, observer, policy),
        admission=admission(world, observer, policy),
        limits=world.limits,
        conversions=world.conversions,
        lists=world.lists,
        audit=world.audit,
        clock=clock,
        policy=policy,
        own=OwnNumberProvider(policy.own_numbers, world.numbers, policy.dial_regions, clock),
    )


def together(count: int, act: Callable[[int], T]) -> list[T | Exception]:
    """Run ``act(0)`` to ``act(count - 1)`` in threads that are released together. Return results and errors in order."""
    barrier = threading.Barrier(count)
    results: list[T | Exception] = [RuntimeError("did not run")] * count

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = act(index)
        except Exception as error:  # noqa: BLE001  the test gets every error as a result
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
