"""Last good settings and number of reloads, which gunicorn's master shares with the workers that it forks.

Workers do not read the environment, the files of secrets or the policy themselves. So a worker that replaces a dead one
has the same settings as the other workers, even if the files have changed meanwhile.
"""

from mmap import mmap

from waitcall.configuration.settings import Settings

# _reloads is shared memory of the master and all workers. _own is copied at a fork, so it keeps the value of that time,
# and a worker that is still loading while the master reloads counts as replaced, too.
_reloads = mmap(-1, 1)
_own = [0]
_checked: list[Settings] = []


def keep_settings(settings: Settings) -> None:
    """Keep the settings for all workers that are forked from now on."""
    _checked[:] = [settings]


def kept_settings() -> Settings | None:
    """Return the last good settings; None while the master starts, and in a process without such a master."""
    return _checked[0] if _checked else None


def announce_reload() -> None:
    """Tell the running workers that new workers replace them."""
    _own[0] = _reloads[0] = (_reloads[0] + 1) % 256


def is_replaced() -> bool:
    """Tell whether the master has reloaded since this worker was forked.

    If it has not, and the worker is told to stop, then the whole replica stops.
    """
    return _own[0] != _reloads[0]
