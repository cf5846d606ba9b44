"""Processes of the stack, and signals that are to end it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from development import processes as module
from development.processes import Processes, note_signals

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr(module, "signals", [])
    before = {each: signal.getsignal(each) for each in STOPPING}
    note_signals()
    processes = Processes(tmp_path)
    processes.start("sleep", ["sleep", "600"])
    yield processes
    processes.stop()
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("sent", STOPPING)
def test_a_signal_interrupts_the_start_of_a_process_however_long_ago_it_came(
    running: Processes, sent: signal.Signals
) -> None:
    running.wait_until("sleep", lambda: True)
    signal.raise_signal(sent)

    with pytest.raises(KeyboardInterrupt):
        running.wait_until("sleep", lambda: True)


def test_further_signals_do_not_interrupt_the_clean_up(running: Processes) -> None:
    """A stopped make sends one, in addition to that of its group."""
    pid = running.pid("sleep")
    for each in STOPPING:
        signal.raise_signal(each)

    running.stop()

    assert not Path(f"/proc/{pid}").exists()
