"""Metrics of several processes that share a directory, as under gunicorn."""

import os
import subprocess
import sys
from pathlib import Path

# Run in a process of its own, because prometheus-client reads the directory's name when it is imported.
COUNTED = """
import sys
from datetime import UTC, datetime
from waitcall.adapters.telemetry.metrics import Metrics, exposition
from waitcall.domain.conversion import ConversionBudget, Conversion, Group
from waitcall.domain.limits import Decision, Mode
met = Conversion(ConversionBudget(Group.COUNTRY, Mode.ENFORCE), 100, 1, True, 60)
at = datetime.fromtimestamp(int(sys.argv[2]), UTC)
Metrics("1.2.3", ["web"], ["login"]).guarded(met, "RU", Decision.DENY, at)
print(exposition(None, sys.argv[1]).decode())
"""


def test_a_gauge_is_one_series_whichever_process_set_it(tmp_path: Path) -> None:
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for at in ("200", "100"):
        ran = subprocess.run(
            [sys.executable, "-c", COUNTED, str(tmp_path), at],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
    lines = ran.stdout.splitlines()
    exceeded = "waitcall_conversion_guard_exceeded_timestamp_seconds"
    assert f'{exceeded}{{group="country",region="RU"}} 200.0' in lines
    assert 'waitcall_build_info{version="1.2.3"} 1.0' in lines
    assert not [line for line in lines if "pid=" in line]
