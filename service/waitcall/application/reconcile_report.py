"""Comparison of the provider's report of sent messages with our audit stream, to find messages that we did not send."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

SENT, REFUSED = "code_sent", "code_refused"
"""Events of the audit stream that carry a message's id."""

COLUMNS = {
    "id": ("id", "sms_id", "message_id"),
    "cost": ("cost", "price", "стоимость", "цена"),
    "country": ("country", "страна"),
    "status": ("status", "статус"),
}
"""Possible names of each column, because the layout of a report is not documented (smsc-api.md, section 6)."""


class ReportUnreadable(Exception):
    """The report is not a CSV file with message ids. The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """A message of a report.

    Attributes:
        message_id: id of the message.
        cost: price of the message in the account's currency; 0 if the report does not say.
        country: the country as the report names it; ``unknown`` if it does not.
    """

    message_id: str = field(repr=False)
    cost: Decimal
    country: str


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


def read_report(content: bytes, names: Mapping[str, str] | None = None) -> list[Row]:
    """Read the rows of a report, separated by semicolons, commas or tabs, in UTF-8 or windows-1251.

    Args:
        content: content of the file.
        names: name in this file of each column whose name is not in ``COLUMNS``.

    Raises:
        ReportUnreadable
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1251", "replace")
    try:
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=";,\t")
    except csv.Error as error:
        raise ReportUnreadable("This is not a CSV file.") from error
    lines = csv.reader(io.StringIO(text), dialect)
    head = [name.strip().casefold() for name in next(lines, [])]
    places = {column: _place(column, head, (names or {}).get(column)) for column in COLUMNS}
    if places["id"] is None:
        raise ReportUnreadable(f"No column has the message's id. The columns are: {', '.join(head)}.")
    return [_row(line, places) for line in lines if any(line)]


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


def _place(column: str, head: list[str], given: str | None) -> int | None:
    wanted = (given.casefold(),) if given else COLUMNS[column]
    return next((place for place, name in enumerate(head) if name in wanted), None)


def _row(line: list[str], places: Mapping[str, int | None]) -> Row:
    def value(column: str) -> str:
        place = places[column]
        return line[place].strip() if place is not None and place < len(line) else ""

    try:
        cost = Decimal(value("cost").replace(",", ".") or "0")
    except InvalidOperation as error:
        raise ReportUnreadable(f"{value('cost')!r} is not a cost.") from error
    return Row(value("id"), cost, value("country") or "unknown")
