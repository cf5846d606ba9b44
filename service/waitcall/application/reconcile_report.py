"""Comparison of the provider's report of sent messages with our audit stream, to find messages that we did not send."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from waitcall.application.read_report import Row

SENT, REFUSED = "code_sent", "code_refused"
"""Events of the audit stream that carry a message's id."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Result of the comparison.

    Attributes:
        matched: number of messages that are in the report and in our audit stream.
        unknown: ids of messages that are only in the report: the provider sent them, but not for us.
        unsent: ids of messages that are only in our audit stream: the provider did not send them.
        refused_but_sent: ids of messages that were sent although our client was told otherwise, because the provider's
            answer was lost.
        cost: total cost of the report's messages by country.
    """

    matched: int
    unknown: tuple[str, ...] = field(repr=False)
    unsent: tuple[str, ...] = field(repr=False)
    refused_but_sent: tuple[str, ...] = field(repr=False)
    cost: Mapping[str, Decimal]


def reconcile(rows: Iterable[Row], entries: Iterable[Mapping[str, str]]) -> Reconciled:
    """Compare the rows of a report with the audit entries of the same period."""
    known: set[str] = set()
    refused: set[str] = set()
    for entry in entries:
        (refused if entry["event"] == REFUSED else known).add(entry.get("message_id", ""))
    cost: dict[str, Decimal] = {}
    sent: set[str] = set()
    for row in rows:
        sent.add(row.message_id)
        cost[row.country] = cost.get(row.country, Decimal(0)) + row.cost
    return Reconciled(
        matched=len(sent & known),
        unknown=tuple(sorted(sent - known)),
        unsent=tuple(sorted(known - refused - sent)),
        refused_but_sent=tuple(sorted(refused & sent)),
        cost=dict(sorted(cost.items())),
    )
