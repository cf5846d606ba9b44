"""Use cases as they are built from the settings."""

from pathlib import Path

from tests.unit.conftest import ROUTED, mistakes_of
from waitcall.composition.use_cases import order_seconds
from waitcall.configuration.settings import load_settings


def test_an_order_that_is_lost_frees_its_number_in_time(sound: dict[str, str], policy_path: Path) -> None:
    """A number is free again within 30 s, although both providers may be asked, one after the other."""
    policy_path.write_text(ROUTED)
    both = sound | {"WAITCALL_SMSRU_API_ID": "a" * 16, "WAITCALL_SMSC_TIMEOUT_SECONDS": "15"}
    settings = load_settings(both | {"WAITCALL_SMSRU_TIMEOUT_SECONDS": "10"})
    assert order_seconds(settings) == 25
    assert order_seconds(load_settings(both | {"WAITCALL_SMSC_TIMEOUT_SECONDS": "2.5"})) == 8
    (mistake,) = mistakes_of(both | {"WAITCALL_SMSRU_TIMEOUT_SECONDS": "10.5"})
    assert "at most 25" in mistake
