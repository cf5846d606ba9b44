"""Relay TLS connections to the provider simulator next to it, because the service takes a provider elsewhere only by HTTPS.

A pod of the tests runs it with the certificate's directory as its argument.
"""

import asyncio
import ssl
import sys
from pathlib import Path

LISTEN, SIMULATOR = 8443, 8082


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    finally:
        target.close()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", SIMULATOR)
    await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer), return_exceptions=True)


async def main(directory: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    server = await asyncio.start_server(_relay, port=LISTEN, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
