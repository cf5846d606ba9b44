"""A sign that writes are taken, for whoever asks whether the store can do its work."""

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.replicated_write import ReplicatedWrite
from service.adapters.redis.script import Script

_KEPT_MS = 10_000
_READY = Script("ready")
_KINDS = ("set", "stream", "hash")


def write_sign(connection: Connection, replicated: ReplicatedWrite, keys: Keys) -> None:
    """Write the way that a create does: by a script, to as many replicas; on a cluster at each node.

    Raises:
        StoreUnavailable: with the store's words as its ``cause``.
    """
    with connection.using("ping") as client:
        for each in connection.topology.one_each(client, keys.all_ready()):
            replicated.run(client, _READY, [each, *(f"{each}:{kind}" for kind in _KINDS)], [_KEPT_MS])
