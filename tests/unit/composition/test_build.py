"""The service as it is built from the settings."""

import os
import subprocess
import sys

from development.stack import ROOT, development_settings

# Run in a process of its own, because other tests import OpenTelemetry.
BUILD = """
import os
import sys
sys.modules["opentelemetry"] = None
from waitcall.composition import build
from waitcall.configuration.settings import load_settings
build(load_settings(os.environ, development=True), multiprocess_dir=None)
"""


def test_without_tracing_the_service_is_built_without_opentelemetry() -> None:
    environ = os.environ | development_settings() | {"WAITCALL_REDIS_URL": "redis://127.0.0.1:1/0"}
    ran = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
