from dataclasses import replace

import phonenumbers
import pytest

from tests.making import NOW, NUMBER, seconds
from waitcall.domain.lists import Directory, ListAction, ListEntry, ListKind, canonical, strongest
from waitcall.domain.numbers import E164


def entry(
    kind: ListKind, subject: str, action: ListAction = ListAction.BLOCK, lasting: float | None = None
) -> ListEntry:
    until = None if lasting is None else NOW + seconds(lasting)
    return ListEntry(action, kind, subject, "a reason", expires_at=until)


def test_a_number_is_found_by_itself_and_by_each_prefix() -> None:
    entries = [
        entry(ListKind.NUMBER, "+79991234567"),
        entry(ListKind.PREFIX, "+7"),
        entry(ListKind.PREFIX, "+7999123"),
        entry(ListKind.PREFIX, "+79991234567"),
        entry(ListKind.PREFIX, "+7998"),
        entry(ListKind.NUMBER, "+79991234568"),
        entry(ListKind.NETWORK, "0.0.0.0/0"),
    ]

    found = Directory(entries).naming_number(NUMBER, NOW)

    assert {each.subject for each in found} == {"+7", "+7999123", "+79991234567"}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        ("192.0.2.0/24", "192.0.2.200", True),
        ("192.0.2.0/24", "192.0.3.1", False),
        ("192.0.2.7/32", "192.0.2.7", True),
        ("192.0.2.0/24", "::ffff:192.0.2.200", True),
        ("2001:db8::/32", "2001:db8:1::5", True),
        ("2001:db8::/32", "2001:db9::5", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.1", False),
    ],
)
def test_an_address_is_found_by_the_networks_around_it(network: str, address: str, inside: bool) -> None:
    found = Directory([entry(ListKind.NETWORK, network)]).naming_address(address, NOW)

    assert bool(found) is inside


def test_networks_of_both_kinds_stand_side_by_side() -> None:
    directory = Directory([entry(ListKind.NETWORK, "2001:db8::/48"), entry(ListKind.NETWORK, "192.0.2.0/24")])

    for address, subject in (("192.0.2.1", "192.0.2.0/24"), ("2001:db8::1", "2001:db8::/48")):
        assert [each.subject for each in directory.naming_address(address, NOW)] == [subject]


def test_an_entry_ends_at_its_expiry() -> None:
    directory = Directory([entry(ListKind.NUMBER, NUMBER.value, lasting=60)])

    assert directory.naming_number(NUMBER, NOW + seconds(59.9))
    assert not directory.naming_number(NUMBER, NOW + seconds(60))


def test_the_most_exact_entry_decides_and_a_block_breaks_a_tie() -> None:
    wide = entry(ListKind.PREFIX, "+7")
    narrow = entry(ListKind.PREFIX, "+79991234567", ListAction.ALLOW)
    exact = entry(ListKind.NUMBER, "+79991234567")

    assert strongest([narrow, wide]) is narrow
    assert strongest([exact, narrow, wide]) is exact
    assert strongest([replace(exact, action=ListAction.ALLOW), exact]) is exact
    assert strongest([exact, replace(exact, action=ListAction.ALLOW)]) is exact
    assert strongest([]) is None
    networks = [entry(ListKind.NETWORK, each) for each in ("192.0.2.0/24", "192.0.2.7/32", "10.100.0.0/16")]
    assert strongest(networks) is networks[1]
    # A number weighs more than the longest prefix.
    assert strongest([entry(ListKind.PREFIX, "+79991234567890"), exact]) is exact


@pytest.mark.parametrize(
    ("kind", "text", "written"),
    [
        (ListKind.NUMBER, "+7 999 123-45-67", "+79991234567"),
        (ListKind.PREFIX, "+7800", "+7800"),
        (ListKind.NETWORK, "192.0.2.7", "192.0.2.7/32"),
        (ListKind.NETWORK, "192.0.2.7/24", "192.0.2.0/24"),
        (ListKind.NETWORK, "2001:DB8::1/32", "2001:db8::/32"),
    ],
)
def test_a_subject_is_written_in_one_way(kind: ListKind, text: str, written: str) -> None:
    assert canonical(kind, text) == written


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ListKind.NUMBER, "79991234567"),
        (ListKind.NUMBER, "+7999"),
        (ListKind.PREFIX, "7800"),
        (ListKind.PREFIX, "+"),
        (ListKind.PREFIX, "+0"),
        (ListKind.PREFIX, "+7٨"),
        (ListKind.PREFIX, "+123456789012345"),
        (ListKind.NETWORK, "192.0.2.0/33"),
        (ListKind.NETWORK, "example.org"),
        (ListKind.NETWORK, "fe80::1%eth0"),
        (ListKind.NETWORK, "::ffff:192.0.2.0/120"),
        (ListKind.NETWORK, ""),
    ],
)
def test_an_invalid_subject_is_refused(kind: ListKind, text: str) -> None:
    with pytest.raises(ValueError):
        canonical(kind, text)


def test_no_repr_shows_a_number() -> None:
    shown = repr(entry(ListKind.NUMBER, NUMBER.value))

    assert NUMBER.digits not in shown
    assert E164(NUMBER.value).masked in shown


def test_thousands_of_numbers_are_indexed_without_parsing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change of the lists indexes them again in every process."""
    monkeypatch.setattr(phonenumbers, "parse", pytest.fail)
    entries = [ListEntry(ListAction.BLOCK, ListKind.NUMBER, f"+7999{n:07}", "tests") for n in range(10_000)]
    assert len(Directory(entries).entries) == 10_000
