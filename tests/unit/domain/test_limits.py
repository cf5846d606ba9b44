import pytest

from waitcall.domain.limits import Limit, Mode, address_of, network_of


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("5/10m", Limit(5, 600)),
        ("1/s", Limit(1, 1)),
        ("1000/h", Limit(1000, 3600)),
        ("3/2d", Limit(3, 172800)),
        ("1/31d", Limit(1, 31 * 86400)),
    ],
)
def test_a_limit_is_read_from_text(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/10m", "0/m", "5/0m", "-1/m", "5/10w", "5 / 10m", "1.5/m", "1/32d"]
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Limit.parse(text)


def test_a_limit_has_a_mode() -> None:
    assert Limit.parse("20/h record_only") == Limit(20, 3600, Mode.RECORD_ONLY)
    assert Limit.parse("20/h enforce") == Limit.parse("20/h") == Limit(20, 3600, Mode.ENFORCE)


@pytest.mark.parametrize("text", ["5/10m  record_only", "5/10m Record_only", "5/10m off", "record_only"])
def test_another_mode_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Limit.parse(text)


@pytest.mark.parametrize("text", ["5/10m", "1000/h", "1/90s", "7/2d"])
def test_a_limit_is_written_as_it_was_read(text: str) -> None:
    assert Limit.parse(text).text == text


@pytest.mark.parametrize(
    ("address", "own", "around"),
    [
        ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"),
    ],
)
def test_an_address_counts_for_itself_and_for_its_network(address: str, own: str, around: str) -> None:
    assert (address_of(address), network_of(address)) == (own, around)
