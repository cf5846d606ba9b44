"""The worker as it is built from the settings."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.conftest import ONLY_SMSRU, POLICY, ROUTED, SMSRU
from waitcall import composition
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.composition import build_worker
from waitcall.configuration.settings import load_settings


class Recorder:
    """Fake worker that keeps the names of its duties."""

    fence = is_alive = None

    def __init__(self, **given: Any) -> None:
        self.duties = [each.name for each in given["duties"]]

    def serve(self, *_: object) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("policy", "duties"),
    [(POLICY, ["balance", "inbox"]), (ONLY_SMSRU, ["orders"]), (ROUTED, ["balance", "inbox", "orders"])],
)
def test_the_worker_polls_only_the_providers_in_use(
    sound: dict[str, str],
    policy_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    duties: list[str],
) -> None:
    policy_path.write_text(policy)
    monkeypatch.setattr(composition, "BackgroundWorker", Recorder)
    monkeypatch.setattr(Metrics, "lead", lambda *_: None)

    given = SMSRU if policy != POLICY else {}
    worker: Any = build_worker(load_settings(sound | given))

    assert worker.duties == duties
