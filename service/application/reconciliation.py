"""The provider's account of what was sent against ours: who pays for what nobody asked for."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

SENT, REFUSED = "code_sent", "code_refused"
"""Events of the audit stream that name a message."""

COLUMNS = {
    "id": ("id", "sms_id", "message_id"),
    "cost": ("cost", "price", "стоимость", "цена"),
    "country": ("country", "страна"),
    "status": ("status", "статус"),
}
"""What the columns of a report may be called: its layout is not on record (smsc-api.md, section 6)."""


class ReportUnreadable(Exception):
    """Not a CSV with an id in it; says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message of a report."""

    message_id: str = field(repr=False)
    cost: Decimal
    country: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Both sides, compared.

    Attributes:
        matched: in the report and in our audit stream.
        unknown: in the report alone: sent, but not by us.
        unsent: in our audit stream alone: we count on it, and the provider did not send it.
        refused_but_sent: we told our client that it was not sent, because the answer was lost.
        cost: by country.
    """

    matched: int
    unknown: tuple[str, ...] = field(repr=False)
    unsent: tuple[str, ...] = field(repr=False)
    refused_but_sent: tuple[str, ...] = field(repr=False)
    cost: Mapping[str, Decimal]


def read_report(content: bytes, names: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a report: semicolons, commas or tabs; UTF-8 or windows-1251.

    Args:
        content: the file.
        names: columns by their name in this file, where it is none of ``COLUMNS``.

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
        raise ReportUnreadable("This is no CSV.") from error
    lines = csv.reader(io.StringIO(text), dialect)
    head = [name.strip().casefold() for name in next(lines, [])]
    places = {column: _place(column, head, (names or {}).get(column)) for column in COLUMNS}
    if places["id"] is None:
        raise ReportUnreadable(f"No column is the message's id; there are {', '.join(head)}.")
    return [_row(line, places) for line in lines if any(line)]


def reconcile(rows: Iterable[Row], entries: Iterable[Mapping[str, str]]) -> Reconciled:
    """Compare a report with the audit stream of its time."""
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
        raise ReportUnreadable(f"{value('cost')!r} is no cost.") from error
    return Row(value("id"), cost, value("country") or "unknown")
