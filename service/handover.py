"""What gunicorn's master tells the workers that it forks: the settings it has checked, and that it ends.

No worker reads the environment, a secret's file or the policy by itself: one that replaces a dead one, at any time, runs
under the settings of its siblings, whatever the files say meanwhile.
"""

from mmap import mmap

from service.settings import Settings

# Shared with every process that is forked from here.
_ending = mmap(-1, 1)
_checked: list[Settings] = []
_fresh: list[Settings] = []


def offer(settings: Settings) -> None:
    """By SIGHUP: what the next reading of the configuration file is to use."""
    _fresh[:] = [settings]


def offered() -> Settings | None:
    """What was offered, once."""
    return _fresh.pop() if _fresh else None


def hand_over(settings: Settings) -> None:
    """What every worker from now on runs under."""
    _checked[:] = [settings]


def handed_over() -> Settings | None:
    """A worker's settings; None in a process that no such master forked."""
    return _checked[0] if _checked else None


def announce_end() -> None:
    """The master was told to end, so this replica goes; a worker that leaves for a reload says nothing about it."""
    _ending[0] = 1


def is_ending() -> bool:
    """Whether this replica goes."""
    return _ending[0] == 1
