"""Secrets of a running release, changed as docs/operations.md says: the Secret, then a signal to each pod that serves."""

import base64
import hashlib
import json

from tests.cluster import processes
from tests.cluster.releases import Release
from tests.redis_servers import wait_for

SECONDS = 180


def rotate(release: Release, components: tuple[str, ...], **secrets: str) -> None:
    """Write keys of the Secret (``_`` for ``-``), and let the pods of these components read them."""
    texts = {name.replace("_", "-"): text for name, text in secrets.items()}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    release.kubectl("patch", "secret", "waitcall", "--patch", json.dumps({"data": data}))
    mark = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    for pod in (each for component in components for each in release.pods(component)):
        name = pod["metadata"]["name"]
        inside = ("exec", name, "--container=waitcall", "--")
        # The kubelet updates the files of a changed pod at once.
        release.kubectl("annotate", "--overwrite", "pod", name, f"secrets={mark}")
        for key, text in texts.items():
            read = (*inside, "cat", f"/run/waitcall/secrets/{key}")
            wait_for(lambda read=read, text=text: release.printed(*read) == text, seconds=SECONDS)
        master = processes.first(pod, "waitcall")
        old = set(processes.children(master))
        release.kubectl(*inside, "sh", "-c", "kill -HUP 1")
        wait_for(lambda master=master, old=old: _replaced(old, processes.children(master)), seconds=SECONDS)


def _replaced(old: set[int], now: list[int]) -> bool:
    return len(now) == len(old) and not old & set(now)
