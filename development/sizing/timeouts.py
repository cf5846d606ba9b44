"""Times after which each side gives up, from the outside to the inside, as the code has them by default."""

import ast
from importlib.resources import files

from development.sizing.model import CLIENT, setting
from waitcall.adapters.providers.guarded_calls import SOCKET_SHARE
from waitcall.adapters.redis.idempotency import LEASE_SECONDS as KEY_SECONDS
from waitcall.adapters.redis.topology import CLUSTER_TIMEOUT_SECONDS, TIMEOUT_SECONDS, TURN_SECONDS
from waitcall.domain.verification import ORDER_SLACK_SECONDS


def timeouts() -> list[tuple[str, float]]:
    """Return what gives up, and after how many seconds."""
    budget = float(setting("SMSC_TIMEOUT_SECONDS"))
    return [
        ("gunicorn: a worker process without a sign of life", _of_gunicorn("timeout")),
        ("waitcall's clients: one attempt", float(CLIENT["timeout_seconds"].default)),
        ("gunicorn: requests of a process that stops", 30.0 + float(setting("DRAIN_SECONDS"))),
        ("Idempotency-Key of a request that died", float(KEY_SECONDS)),
        ("order whose process died", budget + ORDER_SLACK_SECONDS),
        ("order at the provider, with all tries", budget),
        ("order at the provider, sockets", budget * SOCKET_SHARE),
        ("step that waits for a Redis client", TURN_SECONDS),
        ("answer of one Redis server", TIMEOUT_SECONDS),
        ("answer of a cluster's node", CLUSTER_TIMEOUT_SECONDS),
    ]


def _of_gunicorn(name: str) -> float:
    """Return a number of gunicorn's configuration, which reads the settings if it is run, so it is only parsed."""
    tree = ast.parse(files("waitcall").joinpath("gunicorn_conf.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == name
        ):
            return float(ast.literal_eval(node.value))
    raise LookupError(name)
