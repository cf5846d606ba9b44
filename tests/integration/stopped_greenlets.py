"""Stop greenlets under gevent while Redis is paused. The arguments are the URL and the process id of Redis."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402  after the patch
import signal  # noqa: E402  after the patch
import sys  # noqa: E402  after the patch
from collections.abc import Callable  # noqa: E402  after the patch

import gevent  # noqa: E402  after the patch

from waitcall.adapters.redis.connection import Connection  # noqa: E402  after the patch
from waitcall.adapters.redis.topology import topology_of  # noqa: E402  after the patch
from waitcall.configuration.redis_url import Address  # noqa: E402  after the patch

URL, PROCESS = sys.argv[1], int(sys.argv[2])
connection = Connection(topology_of(Address.parse(URL), 1), lambda _: None, max_steps=1)


def get(key: str) -> object:
    with connection.using("get") as client:
        return client.get(key)


def several(key: str) -> object:
    with connection.using("get") as client:
        return client.pipeline(transaction=False).get(key).get(key).execute()


def stopped(ask: Callable[[str], object]) -> object:
    """Print the answer to the next command after one greenlet ran out of time and another was killed."""
    os.kill(PROCESS, signal.SIGSTOP)
    with gevent.Timeout(0.1, False):
        ask("left")
        raise AssertionError("A server that is stopped has answered.")
    killed = gevent.spawn(ask, "left")
    # The command must be on its way before the greenlet is killed.
    killed.join(0.1)
    killed.kill()
    following = gevent.spawn(get, "asked")
    following.join(0.1)
    os.kill(PROCESS, signal.SIGCONT)
    return following.get()


with connection.using("set") as first:
    first.mset({"left": "left", "asked": "asked"})
sys.stdout.write(f"{stopped(get)} {stopped(several)} {get('asked')}")
connection.close()
