"""Comparison of the provider's report with our audit stream: which messages are in one of them, in both, or refused."""

from decimal import Decimal

import pytest

from waitcall.application.reconcile_report import REFUSED, SENT, ReportUnreadable, Row, read_report, reconcile


@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
def test_a_report_is_read_whatever_its_separator_and_encoding(separator: str, encoding: str) -> None:
    lines = [["id", "страна", "Цена"], ["7", "Россия", "2.50"], ["8", "Казахстан", "3.00"]]
    text = "\r\n".join(separator.join(line) for line in lines)
    assert read_report(text.encode(encoding)) == [
        Row("7", Decimal("2.50"), "Россия"),
        Row("8", Decimal("3.00"), "Казахстан"),
    ]


def test_a_cost_may_have_a_comma_and_empty_cells_mean_zero_and_unknown() -> None:
    content = b"sms_id; cost ;country\n 7 ; 2,50 ;RU\n\n8;;\n"
    assert read_report(content) == [
        Row("7", Decimal("2.5"), "RU"),
        Row("8", Decimal(0), "unknown"),
    ]


def test_a_line_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    content = b"cost;country;id\n" + b"1;RU;7\n" * 30 + b"2\n"
    assert read_report(content)[-1] == Row("", Decimal(2), "unknown")


def test_a_column_may_be_named_by_the_caller() -> None:
    content = b"Number;cost;ID\n7;1;other\n8;2;other\n"
    assert [each.message_id for each in read_report(content, {"id": "NUMBER"})] == ["7", "8"]
    assert [each.message_id for each in read_report(content, {"cost": "cost"})] == ["other", "other"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a CSV"),
        (b"one word", "not a CSV"),
        (b"a;b\n1;2\n", "a, b"),
        (b"id;cost\n1;dear\n2;1\n", "'dear'"),
    ],
)
def test_a_report_that_cannot_be_read_is_refused_with_a_reason(content: bytes, said: str) -> None:
    with pytest.raises(ReportUnreadable, match=said):
        read_report(content)


def test_both_sides_are_compared_and_the_cost_is_summed_by_country() -> None:
    rows = [
        Row("both", Decimal(1), "RU"),
        Row("theirs", Decimal(2), "KZ"),
        Row("denied", Decimal(4), "RU"),
        Row("theirs too", Decimal(8), "KZ"),
    ]
    entries = [
        {"event": SENT, "message_id": "both"},
        {"event": SENT, "message_id": "ours"},
        {"event": REFUSED, "message_id": "denied"},
        {"event": SENT, "message_id": "refused at last"},
        {"event": REFUSED, "message_id": "refused at last"},
    ]
    compared = reconcile(rows, entries)
    assert compared.matched == 1
    assert compared.unknown == ("denied", "theirs", "theirs too")
    assert compared.unsent == ("ours",)
    assert compared.refused_but_sent == ("denied",)
    assert list(compared.cost.items()) == [("KZ", Decimal(10)), ("RU", Decimal(5))]
