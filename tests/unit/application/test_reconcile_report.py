"""Comparison of the provider's report with our audit stream: which messages are in one of them, in both, or refused."""

from decimal import Decimal

from waitcall.application.read_report import Row
from waitcall.application.reconcile_report import REFUSED, SENT, reconcile


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
