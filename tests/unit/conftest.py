"""Settings that are sound, with a policy file that a test may rewrite."""

import hashlib
from pathlib import Path

import pytest

from waitcall.configuration.settings import SettingsMistakes, load_settings

KEY_HASH = hashlib.sha256(b"key").hexdigest()
POLICY = """
dial_regions = ["RU"]
[purposes.login]
[clients.web]
purposes = ["login"]
"""


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def sound(policy_path: Path) -> dict[str, str]:
    return {
        "WAITCALL_REDIS_URL": "redis://127.0.0.1:6379/0",
        "WAITCALL_SMSC_APIKEY": "an-api-key",
        "WAITCALL_CALLBACK_SECRETS": "current-secret-00,previous-secret-0",
        "WAITCALL_API_KEYS": f"web={KEY_HASH}",
        "WAITCALL_KEY_PEPPER": "p" * 32,
        "WAITCALL_POLICY": str(policy_path),
    }


def mistakes_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsMistakes) as refused:
        load_settings(environ)
    return refused.value.mistakes


ROUTED = POLICY + '[routing]\ndefault = ["smsc", "smsru"]\n'
ONLY_SMSRU = POLICY + '[routing]\ndefault = ["smsru"]\n[routing.regions]\nKZ = ["smsru"]\n'
SMSRU = {"WAITCALL_SMSRU_API_ID": "a" * 16}
