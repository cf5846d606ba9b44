"""The worker as it is built from the settings."""

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.unit.conftest import ONLY_SMSRU, POLICY, ROUTED, SMSRU
from waitcall import composition
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.composition import build_worker
from waitcall.configuration.settings import load_settings
from waitcall.domain.numbers import E164

TEXT_IN = '[text_in]\nnumbers = ["+79585550000"]\n'


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


@pytest.mark.parametrize(
    ("policy", "numbers"),
    [
        (POLICY + TEXT_IN, ()),
        (ROUTED + TEXT_IN, ()),
        (ONLY_SMSRU + TEXT_IN, (E164("+79585550000"),)),
    ],
)
def test_the_inbox_is_restricted_to_our_numbers_if_no_call_is_ordered_at_its_provider(
    sound: dict[str, str],
    policy_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    numbers: tuple[E164, ...],
) -> None:
    policy_path.write_text(policy)
    asked: list[object] = []
    monkeypatch.setattr(composition, "SmscAccount", lambda *given: asked.append(given[2]) or MagicMock())
    monkeypatch.setattr(composition, "BackgroundWorker", Recorder)
    monkeypatch.setattr(Metrics, "lead", lambda *_: None)
    build_worker(load_settings(sound | SMSRU))
    assert asked == [numbers]
