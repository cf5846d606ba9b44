"""The provider's simulator on this machine, which the pods reach with TLS, as they reach the real one."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import trustme

from development.cluster import node, places
from development.ports import free_port
from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.cluster.releases import Release

APIKEY = "sim-apikey"
"""The one that the simulator takes."""


@dataclass(frozen=True)
class Provider:
    """A running simulator. ``authority``: certificate (PEM) of the authority that the service must trust."""

    simulator: Simulator
    url: str
    authority: str

    def values(self) -> dict[str, Any]:
        """Return values of the chart's ``settings`` and ``networkPolicy`` that let pods reach it."""
        return {
            "settings": {"smscUrls": [self.url]},
            # This machine has an address of a private network.
            "networkPolicy": {"privateNetworks": []},
        }


def front(release: Release) -> str:
    """Make a Service in front of a release's callbacks before it is installed. Return its URL, which providers are told."""
    labels = {"app.kubernetes.io/instance": release.name, "waitcall.dev/callback": "true"}
    name = f"{release.name}-front"
    metadata = {"name": name, "namespace": release.namespace}
    spec = {"selector": labels, "ports": [{"port": 80, "targetPort": "callback"}]}
    node.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    return f"http://{release.read('service', name)['spec']['clusterIP']}"


@contextmanager
def provider(callback: str, secret: str, **options: Any) -> Iterator[Provider]:
    """Run the simulator and its TLS. ``callback``: URL of the callbacks, which ``secret`` signs."""
    handler = Handler(f"{callback}/callbacks/smsc", secret)
    authority = trustme.CA()
    with Simulator(Options(handler, calm=True, **options)) as simulator:
        inner = int(simulator.base_url.split(":")[2].partition("/")[0])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(places.OUTSIDE).configure_cert(context)
        with forwarded(inner, context) as port:
            pem = authority.cert_pem.bytes().decode()
            yield Provider(simulator, f"https://{places.OUTSIDE}:{port}/sys", pem)


@contextmanager
def forwarded(inner: int, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Forward connections of pods to a port of loopback. Yield the port that takes them, with TLS if there is a context."""
    loop, port = asyncio.new_event_loop(), free_port()
    stopped = asyncio.Event()
    writers: set[asyncio.StreamWriter] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_connection("127.0.0.1", inner)
        writers.update({writer, outside})
        await asyncio.gather(copy(reader, outside), copy(inside, writer))
        writers.difference_update({writer, outside})

    async def until_stopped() -> None:
        await stopped.wait()
        server.close()
        for each in writers:
            each.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(forward, places.OUTSIDE, port, ssl=context))
    thread = threading.Thread(target=loop.run_until_complete, args=(until_stopped(),))
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()
