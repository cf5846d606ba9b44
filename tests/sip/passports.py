"""Authorities, certificates and signed caller IDs (RFC 8224, RFC 8588), and the site that certificates are fetched from."""

import base64
import datetime as dt
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from tests.sip.proxy import CALLER, POOL

DAY = dt.timedelta(days=1)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """Authority that issues certificates, or a holder of one of them."""

    def __init__(
        self, name: str, issuer: "Authority | None" = None, *, from_day: int = -1, to_day: int = 1, ca: bool = True
    ) -> None:  # fmt: skip
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer, now = issuer or self, dt.datetime.now(dt.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + from_day * DAY)
            .not_valid_after(now + to_day * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(signer.key, hashes.SHA256())
        )

    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass
class Site:
    """HTTPS site with certificates by their path. A path without content keeps its visitors waiting."""

    files: dict[str, bytes | None] = field(default_factory=dict)
    port: int = 0
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"


@contextmanager
def serving(site: Site, tls: trustme.CA) -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            content = site.files.get(self.path, b"")
            if content is None:
                site.ended.wait()
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.issue_cert("127.0.0.1").configure_cert(context)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.socket = context.wrap_socket(server.socket, server_side=True)
        site.port = server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield site
        finally:
            site.ended.set()
            server.shutdown()


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def token(key: ec.EllipticCurvePrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a JWT. Members that are None are left out."""
    parts = ({name: value for name, value in each.items() if value is not None} for each in (header, claims))
    signed = ".".join(encoded(json.dumps(each, separators=(",", ":")).encode()) for each in parts)
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass
class Signer:
    """Carrier that signs calls, with its certificate on the site."""

    site: Site
    key: ec.EllipticCurvePrivateKey
    path: str

    def identity(
        self,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        parameters: str = ";info=<{}>;alg=ES256;ppt=shaken",
        **changes: Any,
    ) -> str:
        """Return the value of an honest Identity header with these changes of the JWT's header and claims."""
        url = self.site.url(self.path)
        signed = token(
            changes.get("key", self.key),
            {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": url} | (header or {}),
            {
                "attest": "A",
                "dest": {"tn": [POOL[1:]]},
                "iat": int(time.time()),
                "orig": {"tn": CALLER[1:]},
                "origid": "1e5bd2b4-4f4a-4a3a-8d1f-0f9b5f1d2c11",
            }
            | (claims or {}),
        )
        return signed + parameters.format(changes.get("info", url))


def write(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)
