"""Compare the simulator's ledger with every answer that the service gave."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

from tests.chaos.crowd import Journey

PROVEN = ("verified", "consumed")


@dataclass(frozen=True)
class Tally:
    """Result of a run. Every count is a number of verifications."""

    started: int
    refused: int
    """Creates that got a final refusal."""
    never_started: int
    """Creates that never got an answer."""
    calls_made: int
    """Calls in the provider's ledger."""
    callbacks_lost: int
    """Calls whose callback never reached a handler that answered 200."""
    verified: int
    verified_by_own_numbers: int
    """Verifications among these that were shown one of our own numbers."""
    consumed: int
    lost: int
    """Verifications with a call that were never seen as verified."""
    never_consumed: int
    """Verified verifications that no request could consume."""
    falsely_verified: int
    """Verifications that an answer called verified or consumed although the ledger has no call."""
    consumed_twice: int
    """Verifications that two requests consumed."""
    median_seconds: float
    """Median time from the call to the first read that returned verified."""
    longest_seconds: float

    @property
    def broken(self) -> dict[str, int]:
        """Counts of the broken promises by name. Empty after a good run."""
        promises = (
            *("refused", "never_started", "lost", "never_consumed"),
            *("falsely_verified", "consumed_twice"),
        )
        return {name: getattr(self, name) for name in promises if getattr(self, name)}


def tally(journeys: Sequence[Journey], ledger: Sequence[dict[str, Any]]) -> Tally:
    """Count the results of a run. The ledger alone decides who called."""
    called = {entry["cli"] for entry in ledger if entry["door"] == "phone" and entry["reported"]}
    told = {
        number
        for entry in ledger
        if entry["door"] == "callback" and entry["status"] in (200, 204)
        for number in [_number(entry)]
        if number in called
    }
    verified = [each for each in journeys if "verified" in each.statuses]
    proofs = {each.id: _proofs(each) for each in journeys}
    waited = [each.verified_at - each.called_at for each in verified if each.called_at]
    return Tally(
        started=sum(bool(each.id) for each in journeys),
        refused=sum(each.refused is not None for each in journeys),
        never_started=sum(not each.id and each.refused is None for each in journeys),
        calls_made=len(called),
        callbacks_lost=len(called - told),
        verified=len(verified),
        verified_by_own_numbers=sum(each.person.own for each in verified),
        consumed=sum(proofs[each.id] > 0 for each in journeys),
        lost=sum(each.person.number in called and "verified" not in each.statuses for each in journeys),
        never_consumed=sum(proofs[each.id] == 0 for each in verified),
        falsely_verified=sum(
            each.person.number not in called and (bool(proofs[each.id]) or bool({*PROVEN} & {*each.statuses}))
            for each in journeys
        ),
        consumed_twice=sum(count > 1 for count in proofs.values()),
        median_seconds=round(median(waited), 1) if waited else 0.0,
        longest_seconds=round(max(waited, default=0.0), 1),
    )


def table(columns: dict[str, Tally]) -> str:
    """Return a Markdown table with one column for each run."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for each in fields(Tally):
        name = each.name.replace("_", " ")
        values = (f"{getattr(tally, each.name):,}" for tally in columns.values())
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _proofs(journey: Journey) -> int:
    """Count the requests that consumed the proof."""
    return sum(each.given is not None and each.given.status == 200 for each in journey.redemptions)


def _number(entry: dict[str, Any]) -> str:
    if entry["kind"] == "sip":
        return str(json.loads(entry["body"])["caller"]).lstrip("+")
    for part in entry["body"].split("&"):
        name, _, value = part.partition("=")
        if name == "phone":
            return str(value)
    return ""
