"""Values of config/gunicorn.conf.py, run as gunicorn runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from waitcall.configuration.settings import LONGEST_SMSC_TIMEOUT_SECONDS

ROOT = Path(__file__).resolve().parents[3]
SOUND = {
    "WAITCALL_REDIS_URL": "redis://127.0.0.1:6379/0",
    "WAITCALL_SMSC_APIKEY": "an-api-key",
    "WAITCALL_CALLBACK_SECRETS": "a-secret-of-sixteen",
    "WAITCALL_API_KEYS": f"web={'0' * 64}",
    "WAITCALL_KEY_PEPPER": "p" * 32,
}
READ = "import runpy; print(runpy.run_path('config/gunicorn.conf.py')['graceful_timeout'])"


@pytest.mark.parametrize("drain", [0, 20])
def test_an_order_that_begins_while_a_replica_drains_has_time_to_end(drain: int, tmp_path: Path) -> None:
    environ = SOUND | {"WAITCALL_DRAIN_SECONDS": str(drain), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", READ], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) > drain + LONGEST_SMSC_TIMEOUT_SECONDS
