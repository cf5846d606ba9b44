import pytest

from waitcall.domain.channel import Assurance, Attested, assurance_of_call

TABLE = {"RU": Attested(Assurance.NETWORK, "somebody's word")}


def test_a_region_without_an_entry_is_only_asserted() -> None:
    assert assurance_of_call("RU", TABLE) is Assurance.NETWORK
    assert assurance_of_call("KZ", TABLE) is Assurance.ASSERTED
    assert assurance_of_call("ZZ", {}) is Assurance.ASSERTED


@pytest.mark.parametrize(("level", "reached"), [("asserted", 1), ("network", 2), ("roundtrip", 3)])
def test_each_level_reaches_itself_and_those_below(level: str, reached: int) -> None:
    assert [Assurance(level).reaches(each) for each in Assurance] == [True] * reached + [False] * (
        3 - reached
    )
