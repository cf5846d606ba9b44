"""A worker counts as replaced after a reload that came after its fork, not after an earlier one."""

import os
import sys

import pytest

from waitcall.configuration import last_good


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn forks its workers")
def test_a_worker_knows_a_reload_from_the_moment_of_its_fork() -> None:
    """The master may reload while a worker is still importing and has not read the count of reloads."""
    before, tell = forked()
    last_good.announce_reload()
    after, tell_after = forked()
    assert (asked(before, tell), asked(after, tell_after)) == (True, False)
    last_good.announce_reload()
    assert last_good.is_replaced() is False


def forked() -> tuple[int, int]:
    """Fork a child that answers with its exit status as soon as something is written to the pipe."""
    read, write = os.pipe()
    sys.stdout.flush()
    if pid := os.fork():
        os.close(read)
        return pid, write
    os.read(read, 1)
    os._exit(int(last_good.is_replaced()))


def asked(pid: int, pipe: int) -> bool:
    os.write(pipe, b"?")
    os.close(pipe)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
