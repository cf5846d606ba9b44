import pytest

from service.domain.limits import Limit


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
def test_limits_are_text(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/10m", "0/m", "5/0m", "-1/m", "5/10w", "5 / 10m", "1.5/m", "1/32d"]
)
def test_other_texts_are_mistakes(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Limit.parse(text)
