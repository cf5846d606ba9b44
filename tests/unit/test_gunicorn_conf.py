"""Values of gunicorn's configuration, run as gunicorn runs it: from the package, and from config/."""

import subprocess
import sys
from pathlib import Path

import pytest

from waitcall.cli import CONFIGURATION
from waitcall.configuration.settings import LONGEST_SMSC_TIMEOUT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
SOUND = {
    "WAITCALL_REDIS_URL": "redis://127.0.0.1:6379/0",
    "WAITCALL_SMSC_APIKEY": "an-api-key",
    "WAITCALL_CALLBACK_SECRETS": "a-secret-of-sixteen",
    "WAITCALL_API_KEYS": f"web={'0' * 64}",
    "WAITCALL_KEY_PEPPER": "p" * 32,
}
READ = "import runpy, sys; print(runpy.run_path(sys.argv[1])['graceful_timeout'])"


@pytest.mark.parametrize("drain", [0, 20])
@pytest.mark.parametrize("configuration", [CONFIGURATION, ROOT / "config/gunicorn.conf.py"])
def test_an_order_that_begins_while_a_replica_drains_has_time_to_end(
    drain: int, configuration: Path, tmp_path: Path
) -> None:
    environ = SOUND | {"WAITCALL_DRAIN_SECONDS": str(drain), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", READ, str(configuration)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ran.stdout) > drain + LONGEST_SMSC_TIMEOUT_SECONDS


def test_a_file_in_the_current_directory_hides_no_installed_module(tmp_path: Path) -> None:
    for name in ("redis.py", "waitcall.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    ran = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", "-c", str(CONFIGURATION), "waitcall.wsgi:app"],
        cwd=tmp_path,
        env=SOUND | {"PYTHONSAFEPATH": "1", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
