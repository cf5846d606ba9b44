"""Last good settings and number of reloads, which gunicorn's master shares with the workers that it forks.

No worker reads the environment, a secret's file or the policy by itself: one that replaces a dead one, at any time, runs
under the settings of its siblings, whatever the files say meanwhile.
"""

from mmap import mmap

from service.settings import Settings

# The first is shared with every process that is forked from here; of the second each has the value of its fork, so a
# worker that is still loading while the master reloads counts as replaced too.
_reloads = mmap(-1, 1)
_own = [0]
_checked: list[Settings] = []


def hand_over(settings: Settings) -> None:
    """Keep the settings that every worker from now on runs under."""
    _checked[:] = [settings]


def handed_over() -> Settings | None:
    """Return the last good settings; None in a process that no such master forked, and at the master's start."""
    return _checked[0] if _checked else None


def announce_reload() -> None:
    """Tell the workers that others take their place."""
    _own[0] = _reloads[0] = (_reloads[0] + 1) % 256


def is_replaced() -> bool:
    """Tell whether the master has reloaded since this worker was forked. A worker that leaves without it ends with its replica."""
    return _own[0] != _reloads[0]
