"""Run the script of ``helm test`` against a real service."""

import os
import subprocess
import sys

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import KEY, ROOT, Service

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("simulated", [True, False])
def test_the_script_of_helm_test_passes(service: Service, simulator: Simulator, simulated: bool) -> None:
    told = {
        "API": service.api,
        "SIMULATOR": simulator.control_url if simulated else "",
        "API_KEY": KEY,
        "PHONE_NUMBER": "+79991239101" if simulated else "+79991239102",
        "PURPOSE": "login",
    }
    script = str(ROOT / "helm/waitcall/files/verification.py")
    ran = subprocess.run(
        [sys.executable, script], env=os.environ | told, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ("consumed: consumed" if simulated else "created and canceled") in ran.stdout
