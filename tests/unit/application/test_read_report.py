"""Reports of every layout, charset and damage: each message is read once, and each other line is named or is a total."""

from decimal import Decimal

import pytest

from waitcall.application.read_report import ReportUnreadable, Row, Unread, decode, read_report

ROWS = [Row("7", Decimal("2.50"), "Россия"), Row("8", Decimal("14.00"), "Казахстан")]
LINES = [
    ["id", "Телефон", "страна", "Статус", "Цена"],
    ["7", "79991234567", "Россия", "1", "2,50"],
    ["8", "77011234567", "Казахстан", "1", "14,00"],
]
CHARSETS = ["utf-8", "utf-8-sig", "cp1251", "koi8-r", "utf-16", "utf-16-le", "utf-16-be"]
HEAD = "id;cost;country\n"


def written(lines: list[list[str]], separator: str = ";", end: str = "\r\n") -> str:
    quoted = [[f'"{cell}"' if separator in cell else cell for cell in line] for line in lines]
    return end.join(separator.join(line) for line in quoted)


@pytest.mark.parametrize("separator", [";", ",", "\t", "|"])
@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_report_is_read_whatever_its_separator_and_charset(
    separator: str, charset: str, told: bool, end: str
) -> None:
    content = (f"sep={separator}{end}" if told else "") + written(LINES, separator, end)
    report = read_report(content.encode(charset))
    assert (report.rows, report.unread, report.totals) == (ROWS, [], [])


def test_the_mark_of_big_endian_utf_16_counts() -> None:
    assert read_report(b"\xfe\xff" + written(LINES).encode("utf-16-be")).rows == ROWS


@pytest.mark.parametrize("text", ["Доставлено", "доставлено", "ИТОГО", "id;Стоимость", "Россия, РФ; вручено"])
@pytest.mark.parametrize(
    ("codec", "name"), [("cp1251", "windows-1251"), ("koi8-r", "koi8-r"), ("utf-8", "utf-8")]
)
def test_the_charset_of_a_russian_text_is_found(text: str, codec: str, name: str) -> None:
    assert decode(text.encode(codec)) == (text, name)


def test_utf_8_that_is_damaged_in_one_place_remains_utf_8() -> None:
    content = written(LINES).encode()
    cut = content.replace("Россия".encode(), "Россия".encode()[:-1])
    report = read_report(cut)
    assert report.charset == "utf-8"
    assert report.rows == [Row("7", Decimal("2.50"), "Росси\ufffd"), ROWS[1]]


@pytest.mark.parametrize(
    "total",
    [
        "Итого:;;;;16,50;", ";;;Итого;16,50", ";Всего: 2 SMS;;;16,50 руб.", "Total;;;;16.50", "Итого: 16,50 руб.",
        "Итого:;;;;", ";;;;16,50", '"Итого:";"";"";"";"16,50"', "ИТОГО;2;;;16.50", "Grand total = 16.50", "Сумма;;;2;16,5",
        "Разом:;;;;16,50", "Барлығы:;;;;16,50",
    ],
)  # fmt: skip
@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
def test_a_total_is_no_message_and_adds_nothing(total: str, charset: str) -> None:
    report = read_report((written(LINES) + "\n" + total + "\n").encode(charset))
    assert (report.rows, report.unread, report.adds_up) == (ROWS, [], True)


def test_a_total_with_a_count_in_the_column_of_the_ids_is_no_message() -> None:
    report = read_report("Дата;id;cost\n01.11.2026;7;2,50\nИтого:;1;2,50\n".encode())
    assert (report.rows, report.unread) == ([Row("7", Decimal("2.50"), "unknown")], [])
    assert report.totals == [1, Decimal("2.50")]


def test_a_message_that_begins_like_a_total_is_a_message() -> None:
    report = read_report("text;id;cost\nИтого к оплате 5;7;2,50\nВсего доброго;8;1\n".encode())
    assert [each.message_id for each in report.rows] == ["7", "8"]
    assert report.totals == []


def test_a_total_that_differs_from_the_sum_shows_that_a_line_is_missing() -> None:
    text = written(LINES[:2]) + "\nИтого:;;;;16,50\n"
    assert not read_report(text.encode()).adds_up


def test_subtotals_beside_a_total_add_up() -> None:
    lines = written(LINES[:2]) + "\nИтого Россия:;;;;2,50\n" + written(LINES[2:]) + "\nВсего:;;;;16,50"
    report = read_report(lines.encode())
    assert (report.rows, report.unread, report.adds_up) == (ROWS, [], True)


@pytest.mark.parametrize(
    ("lines", "ids", "unread"),
    [
        ('7;1;"RU\n8;1;RU\n9;1;RU', ["8", "9"], [2]),
        ('"7";"1";"RU\n"8";"1";"RU"', ["8"], [2]),
        ('7;1;RU\n"8;1;RU', ["7"], [3]),
        ('7;"1;RU\n8;1";RU\n9;1;RU', ["8", "9"], [2]),
        ('7;1;"R"U\n8;1;RU', ["8"], [2]),
        ('7;1;"RU' + "\nx" * 100 + "\n8;1;RU", ["8"], list(range(2, 103))),
    ],
)  # fmt: skip
def test_a_quote_that_is_not_closed_costs_only_its_line(
    lines: str, ids: list[str], unread: list[int]
) -> None:
    report = read_report((HEAD + lines).encode())
    assert [each.message_id for each in report.rows if each.cost == 1] == ids
    assert [each.line for each in report.unread] == unread


def test_a_quoted_text_may_have_several_lines_and_separators() -> None:
    report = read_report(b'id;text;cost\r\n7;"two\r\nlines; "" and\r\n\r\nmore";2\r\n8;x;3\r\n')
    assert [(each.message_id, each.cost) for each in report.rows] == [("7", 2), ("8", 3)]
    assert report.unread == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7;1", "It has 2 columns instead of 3."), ("7;1;RU;x", "It has 4 columns instead of 3."), (";1;RU", "It has no message id."),
        ("seven;1;RU", "It has no message id."), ("7.7E+01;1;RU", "It has no message id."), (";;RU", "It has no message id."),
        ("made on 01.12.2026", "It has no message id."), ('7;1;"RU', "It has a quote that is not closed."),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_named(line: str, reason: str) -> None:
    report = read_report(f"{HEAD}1;2;RU\n{line}\n3;4;RU\n".encode())
    assert [each.message_id for each in report.rows] == ["1", "3"]
    assert report.unread == [Unread(3, reason)]


def test_a_message_whose_cost_is_unreadable_is_compared_and_named() -> None:
    report = read_report(b"id;cost\n1;dear\n2;1\n3;1 + 2\n")
    assert report.rows == [
        Row("1", Decimal(0), "unknown"),
        Row("2", Decimal(1), "unknown"),
        Row("3", Decimal(0), "unknown"),
    ]
    assert [each.line for each in report.unread] == [2, 4]


@pytest.mark.parametrize(
    ("cell", "cost"),
    [("2,50", "2.5"), ("2.50", "2.5"), ("2,50 руб.", "2.5"), ("1\u00a0234,50", "1234.5"), ("1,234.50", "1234.5"), ("1.234,50", "1234.5"),
     ("1.234.567,8", "1234567.8"), ("", "0"), ("-2.50", "-2.5"), ("\u22122,50", "-2.5"), ("\u20132,50", "-2.5"), ("$3", "3"), ("RUB 3.", "3")],
)  # fmt: skip
def test_a_cost_is_read_in_each_notation(cell: str, cost: str) -> None:
    report = read_report(f"id;cost\n7;{cell}\n".encode())
    assert (report.rows, report.unread) == ([Row("7", Decimal(cost), "unknown")], [])


@pytest.mark.parametrize("cell", ["7", " 7 ", '="7"', '"7"', "'7", '"=""7"""'])
def test_an_id_may_be_written_for_a_spreadsheet(cell: str) -> None:
    assert [each.message_id for each in read_report(f"id;cost\n{cell};1".encode()).rows] == ["7"]


def test_two_reports_in_one_file_are_both_read() -> None:
    report = read_report((HEAD + "7;1;RU\n\n" + HEAD.upper() + "8;1;RU\n").encode())
    assert ([each.message_id for each in report.rows], report.unread) == (["7", "8"], [])


def test_a_column_may_have_a_unit_and_be_named_by_the_caller() -> None:
    content = "Number;Стоимость, руб.;ID\n7;1;1001\n8;2;1002\n".encode()
    by_number = read_report(content, {"id": "NUMBER"}).rows
    assert by_number == [Row("7", Decimal(1), "unknown"), Row("8", Decimal(2), "unknown")]
    assert [each.message_id for each in read_report(content, {"cost": "стоимость, руб."}).rows] == [
        "1001",
        "1002",
    ]


@pytest.mark.parametrize("column", ["cost", "country", "id"])
def test_a_named_column_that_is_not_there_is_a_mistake(column: str) -> None:
    with pytest.raises(ReportUnreadable, match=r"id, cost, country"):
        read_report((HEAD + "7;1;RU\n").encode(), {column: "Total price"})


def test_a_report_may_have_no_message_or_only_the_ids() -> None:
    assert read_report(HEAD.encode()).rows == []
    only_ids = read_report(b"id\n7\n8")
    assert ([each.message_id for each in only_ids.rows], only_ids.priced) == (["7", "8"], False)


def test_a_report_says_whether_it_has_costs() -> None:
    unknown = "id;Сумма\n7;2,50\n".encode()
    assert not read_report(unknown).priced
    assert read_report(unknown, {"cost": "сумма"}).priced
    assert not read_report(written(LINES).encode("cp866")).priced


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "not a CSV"), (b"one word", "not a CSV"), (b"\n\n", "not a CSV"), (b"sep=;\n", "not a CSV"), (b"<html>", "not a CSV"),
     (b"a;b\n1;2\n", "a, b"), (bytes(100), "not a CSV"), (b"PK\3\4" + bytes(range(256)), "not a CSV")],
)  # fmt: skip
def test_a_report_that_cannot_be_read_is_refused_with_a_reason(content: bytes, said: str) -> None:
    with pytest.raises(ReportUnreadable, match=said):
        read_report(content)
