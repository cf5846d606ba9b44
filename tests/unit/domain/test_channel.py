import pytest

from tests.making import NUMBER
from waitcall.domain.channel import Assurance, Attested, assurance_of_call
from waitcall.domain.numbers import E164

TABLE = {"RU": Attested(Assurance.NETWORK, "somebody's word")}


def test_a_region_without_an_entry_is_only_asserted() -> None:
    assert assurance_of_call(NUMBER, TABLE) is Assurance.NETWORK
    assert assurance_of_call(E164("+12025550101"), TABLE) is Assurance.ASSERTED
    assert assurance_of_call(E164("+80012345678"), {}) is Assurance.ASSERTED


@pytest.mark.parametrize(
    "value", ["+78402261234", "+79407123456", "+78501234567", "+79981234567", "+79298001234", "+77011234567"]
)
def test_numbers_in_russias_plan_that_others_serve_are_only_asserted(value: str) -> None:
    assert assurance_of_call(E164(value), TABLE) is Assurance.ASSERTED


@pytest.mark.parametrize("value", ["+79297001234", "+78412123456", "+79411234567", "+74951234567"])
def test_their_neighbours_are_russias(value: str) -> None:
    assert assurance_of_call(E164(value), TABLE) is Assurance.NETWORK


def test_the_operator_may_except_more_prefixes() -> None:
    table = {"RU": Attested(Assurance.NETWORK, "somebody's word", except_prefixes=("+7999",))}
    assert assurance_of_call(NUMBER, table) is Assurance.ASSERTED
    assert assurance_of_call(E164("+79981234567"), table) is Assurance.ASSERTED
    assert assurance_of_call(E164("+79161234567"), table) is Assurance.NETWORK


@pytest.mark.parametrize(("level", "reached"), [("asserted", 1), ("network", 2), ("roundtrip", 3)])
def test_each_level_reaches_itself_and_those_below(level: str, reached: int) -> None:
    assert [Assurance(level).reaches(each) for each in Assurance] == [True] * reached + [False] * (
        3 - reached
    )
