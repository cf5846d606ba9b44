"""Reader of the provider's report of sent messages, a CSV file whose layout and charset are not documented.

A line that cannot be read is named by its number, so that no message is lost silently.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import chain

COLUMNS = {
    "id": ("id", "sms_id", "message_id", "id sms", "id сообщения"),
    "cost": ("cost", "price", "стоимость", "цена"),
    "country": ("country", "страна"),
}
"""Possible names of each column, without a unit such as ``, RUB``."""
TOTALS = (
    "итог",
    "всего",
    "total",
    "grand total",
    "subtotal",
    "sum",
    "сумма",
    "разом",
    "усього",
    "всього",
    "барлы",
)
"""Words with which a line of totals begins."""

_SEPARATORS = (";", ",", "\t", "|")
_ZEROS_OF_UTF_16 = 8
"""A file with more than one zero byte in so many bytes is UTF-16."""
_MOST_LINES = 20
"""Lines of one message text. A quote that is not closed within them was never closed."""
# Spreadsheets write ="77" or '77 to keep a number from being rounded.
_ID = re.compile(r"=?['\"]?([0-9]{1,20})\"?", re.ASCII)
_TOTAL = re.compile(rf"(?:{'|'.join(TOTALS)})\w*[\s:.=]*")
_UNIT = re.compile(r"[,(:].*")
# A small Cyrillic letter before a capital one.
_SWAPPED_CASE = re.compile("[\u0430-\u044f\u0451][\u0410-\u042f\u0401]")
_MINUS_SIGNS = str.maketrans("\u2212\u2013", "--")
_MONEY = re.compile(r"[^0-9]*?(-?[0-9][0-9.,]*)[^0-9]*", re.ASCII)


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
class Unread:
    """A line of a report that could not be read, or only in part.

    Attributes:
        line: number of the line in the file, from 1.
        reason: what is wrong with it.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """Content of a report.

    Attributes:
        rows: the messages.
        unread: the lines that could not be read completely. A row is among ``rows`` if only its cost is unreadable.
        charset: name of the file's charset.
        totals: every amount in the report's lines of totals, which count for nothing else.
        priced: False if no column has costs, so that each counts as 0.
    """

    rows: list[Row]
    unread: list[Unread]
    charset: str
    totals: list[Decimal]
    priced: bool

    @property
    def adds_up(self) -> bool:
        """Tell whether the sum of the rows' costs is among the totals, if there are any."""
        return not self.totals or sum(each.cost for each in self.rows) in self.totals


def read_report(content: bytes, names: Mapping[str, str] | None = None) -> Report:
    """Read a report.

    Args:
        content: content of the file.
        names: name in this file of each column whose name is not in ``COLUMNS``.

    Raises:
        ReportUnreadable
    """
    text, charset = decode(content)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    begin = next((at for at, line in enumerate(lines) if line.strip() and not _told_separator(line)), -1)
    told = "".join(_told_separator(line) for line in lines[:begin])
    separator, head = _head(lines[begin], told or _SEPARATORS, names or {})
    places = {column: _place(column, head, names or {}) for column in COLUMNS}
    report = Report([], [], charset, [], priced=places["cost"] is not None)
    without_id: list[tuple[int, Decimal | None]] = []
    for number, cells in _records(lines, begin + 1, separator, len(head), report.unread):
        given = {
            column: cells[at] if at is not None and at < len(cells) else "" for column, at in places.items()
        }
        message_id = _ID.fullmatch(given["id"])
        if [_name(cell) for cell in cells] == head:
            continue  # Two reports in one file have two heads.
        if _is_total(cells, has_id=message_id is not None):
            report.totals.extend(amount for cell in cells if cell and (amount := _amount(cell)) is not None)
        elif message_id is None:
            without_id.append((number, _amount(given["cost"])))
        elif len(cells) < len(head) or any(cells[len(head) :]):
            report.unread.append(Unread(number, f"It has {len(cells)} columns instead of {len(head)}."))
        else:
            cost = _amount(given["cost"] or "0")
            if cost is None:
                report.unread.append(Unread(number, "Its cost is not a number, and counts as 0."))
            report.rows.append(Row(message_id[1], cost or Decimal(0), given["country"] or "unknown"))
    spent = sum(row.cost for row in report.rows)
    for number, amount in without_id:
        # A total without a word is recognised by its amount.
        if amount and amount == spent:
            report.totals.append(amount)
        else:
            report.unread.append(Unread(number, "It has no message id."))
    report.unread.sort(key=lambda each: each.line)
    return report


def decode(content: bytes) -> tuple[str, str]:
    """Return the text of a file, and the charset in which it is written.

    UTF-16 shows by its mark or its zero bytes, UTF-8 by its sequences. Windows-1251 and KOI8-R have small letters where the
    other has capitals, so in the wrong one of them a capital follows a small letter.
    """
    for mark, charset in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            return content[len(mark) :].decode(charset, "replace"), charset
    if _ZEROS_OF_UTF_16 * content.count(0) > len(content):
        # Of an ASCII character the first byte is zero in big-endian order, and the second in little-endian order.
        charset = "utf-16-be" if content[::2].count(0) > content[1::2].count(0) else "utf-16-le"
        return content.decode(charset, "replace"), charset
    text = content.decode("utf-8", "replace")
    # A file in UTF-8 may be damaged in some places. A text in another charset is unreadable in nearly all.
    if 2 * text.count("\ufffd") <= sum(not each.isascii() for each in text):
        return text, "utf-8"
    readings = [(content.decode(charset, "replace"), charset) for charset in ("windows-1251", "koi8-r")]
    return min(readings, key=lambda each: _strangeness(each[0]))


def _strangeness(text: str) -> tuple[int, int, int]:
    """Rate a reading of a Russian text. The right charset gives the smaller value."""
    words = [word for word in (*TOTALS, *chain(*COLUMNS.values())) if not word.isascii()]
    known = sum(text.casefold().count(word) for word in words)
    return len(_SWAPPED_CASE.findall(text)), -known, sum(map(str.isupper, text))


def _told_separator(line: str) -> str:
    """Return the separator that Excel's line ``sep=;`` tells; an empty text for any other line."""
    name, _, separator = line.strip(' "').partition("=")
    return separator if name.casefold() == "sep" and len(separator) == 1 else ""


def _name(cell: str) -> str:
    """Return a column's name without its unit."""
    return _UNIT.sub("", cell).strip().casefold()


def _place(column: str, head: Sequence[str], names: Mapping[str, str]) -> int | None:
    wanted = [_name(names[column])] if column in names else COLUMNS[column]
    return next((place for place, name in enumerate(head) if name in wanted), None)


def _head(line: str, separators: Iterable[str], names: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the separator and the names of the columns. The right separator gives a column with the id, and most columns."""
    heads = [(each, [_name(cell) for cell in _cells(line, each) or ()]) for each in separators]
    separator, head = max(heads, key=lambda each: (_place("id", each[1], names) is not None, len(each[1])))
    if _place("id", head, names) is not None:
        wrong = [name for column, name in names.items() if _place(column, head, names) is None]
        if wrong:
            raise ReportUnreadable(f"No column is called {wrong[0]}. The columns are: {', '.join(head)}.")
        return separator, head
    if len(head) <= 1 or not all(map(str.isprintable, head)):
        raise ReportUnreadable("This is not a CSV file: its first line has no columns.")
    raise ReportUnreadable(f"No column has the message's id. The columns are: {', '.join(head)}.")


def _cells(record: str, separator: str) -> list[str] | None:
    """Return the cells of a record; None if a quote is not closed, or is closed inside a cell."""
    try:
        return [cell.strip() for cell in next(csv.reader([record], delimiter=separator, strict=True), [])]
    except csv.Error:
        return None


def _records(
    lines: Sequence[str], begin: int, separator: str, width: int, unread: list[Unread]
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each record. A quoted text may have several lines."""
    at = begin
    while at < len(lines):
        end = at + 1
        # A line with all columns belongs to no text: the quote before it was never closed.
        while (cells := _cells("\n".join(lines[at:end]), separator)) is None and (
            end < min(len(lines), at + _MOST_LINES) and lines[end].count(separator) + 1 < width
        ):
            end += 1
        if cells is None:
            unread.append(Unread(at + 1, "It has a quote that is not closed."))
            end = at + 1
        elif any(cells):
            yield at + 1, cells
        at = end


def _is_total(cells: Sequence[str], *, has_id: bool) -> bool:
    """Tell whether a record is a line of totals. One that has a number in the id's column begins with nothing but the word."""
    words = [cell.casefold() for cell in cells if cell]
    return _TOTAL.fullmatch(words[0]) is not None if has_id else any(_TOTAL.match(word) for word in words)


def _amount(cell: str) -> Decimal | None:
    """Read an amount with or without a unit, with a decimal point or comma; None if it is not one number."""
    found = _MONEY.fullmatch("".join(cell.split()).translate(_MINUS_SIGNS))
    if found is None:
        return None
    digits = found[1].strip(",.")
    first, *others = re.findall(r"[,.]", digits) or [""]
    # The last mark is the decimal one. The others group the digits.
    if others:
        digits = digits.replace(first, "")
    try:
        return Decimal(digits.replace(",", "."))
    except InvalidOperation:
        return None
