"""Where Redis is and how to get in: WAITCALL_REDIS_URL (contract, section 7), and the files of certificates for it."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "rediss+sentinel", "rediss+cluster")
CREDENTIALS = ("username", "password")
OPTIONS = (
    *(*CREDENTIALS, "db", "client_name", "socket_keepalive", "health_check_interval"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers"),
)
"""Options that a URL of a single server may have after the ?, by redis-py's names. Timeouts are not among them, because they
are part of a promise: without Redis a request is answered within five seconds."""
_NODE = (
    "Each host is a name or an address, IPv6 in brackets, optionally with a port from 1 to 65535: "
    "redis.example.org:6379, [::1]:6379."
)
_ENCODE = "A /, ?, # or @ in the user or the password must be percent-encoded, for instance %2F for /."


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed Redis URL, with what further settings say about access.

    Attributes:
        scheme: the form; ``redis+sentinel`` and ``redis+cluster`` also with TLS.
        nodes: host and port of each Sentinel or cluster node.
        given: names of the options that a single server's URL has, credentials among them.
        username: user of the Redis servers.
        password: password of the Redis servers.
        service: the name that the Sentinels know the master by.
        tls: connections to servers and Sentinels use TLS. Certificates are checked against the system's
            authorities, or those of ``SSL_CERT_FILE``, and those of ``ca``.
        sentinel_username: user of the Sentinels themselves.
        sentinel_password: password of the Sentinels themselves.
        ca: path of further authorities' certificates (PEM).
        cert: path of the client's certificate.
        key: path of the client's private key; empty if it is in the file of ``cert``.
        key_password: password of the private key.
    """

    scheme: str
    url: str = field(repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    given: frozenset[str] = frozenset()
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str = ""
    db: int = 0
    tls: bool = False
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    ca: str = ""
    cert: str = ""
    key: str = ""
    key_password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read one of the five forms of the contract's section 7.

        Raises:
            ValueError: with what is wrong; never with the URL, which may hold a password.
        """
        named, separator, rest = url.partition("://")
        # rediss+…: as the contract's two, with TLS to the sentinels and to every server.
        tls, scheme = named.startswith("rediss"), named.replace("rediss+", "redis+")
        if named not in SCHEMES or not separator:
            raise ValueError(f"Must begin with one of {', '.join(s + '://' for s in SCHEMES)}.")
        authority, _, path = rest.partition("/")
        credentials, _, hosts = authority.rpartition("@")
        # In the path of a socket an @ is as good as any other character.
        if {"?", "#"} & {*credentials} or (scheme != "unix" and "@" in path.partition("?")[0]):
            raise ValueError(_ENCODE)
        if scheme in ("redis", "rediss") and "," in hosts.partition("?")[0]:
            raise ValueError("Several hosts are redis+sentinel://h1,h2/name/db or redis+cluster://h1,h2.")
        if scheme in ("redis", "rediss", "unix"):
            return cls(scheme, url, given=_check_plain(url), tls=tls)
        username, _, password = credentials.partition(":")
        if {"?", "#"} & {*hosts, *path}:
            raise ValueError("Options after ? are for redis://, rediss:// and unix:// only.")
        default_port = 26379 if scheme == "redis+sentinel" else 6379
        nodes = tuple(_node(host.strip(), default_port) for host in hosts.split(","))
        service, _, db = path.partition("/")
        if scheme == "redis+sentinel" and not service:
            raise ValueError("Needs the master's name: redis+sentinel://h1,h2/name/db.")
        if scheme == "redis+cluster" and path not in ("", "0"):
            raise ValueError("A cluster has no databases: redis+cluster://h1,h2.")
        if db and not db.isdecimal():
            raise ValueError("The database must be a number.")
        return cls(
            scheme,
            url,
            nodes,
            frozenset(name for name, value in zip(CREDENTIALS, (username, password), strict=True) if value),
            unquote(username) or None,
            unquote(password) or None,
            unquote(service) if scheme == "redis+sentinel" else "",
            int(db or 0),
            tls,
        )


def check_authorities(path: str) -> None:
    """Check that a file has certificates in PEM.

    Raises:
        ValueError: with what is wrong.
    """
    if path.startswith("-----BEGIN"):
        raise ValueError("Must be the path of a file, not its content.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ValueError("The file has no certificate in PEM.") from error
    except OSError as error:
        raise ValueError(f"The file cannot be read: {error.strerror}.") from error


def check_client_certificate(cert: str, key: str, password: str | None) -> None:
    """Check that a private key can be read and belongs to a certificate. ``key``: empty if the file of ``cert`` has it.

    Raises:
        ValueError: with what is wrong.
    """
    if key.startswith("-----BEGIN"):
        raise ValueError("Must be the path of a file, not its content.")
    try:
        # Without a password of ours OpenSSL would ask for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key or None, lambda: password or "")
    except ssl.SSLError as error:
        wrong = (
            "The key is not that of the certificate."
            if error.reason == "KEY_VALUES_MISMATCH"
            else "The file has no private key in PEM that can be read, or the key's password is wrong or missing."
        )
        raise ValueError(wrong) from error
    except OSError as error:
        raise ValueError(f"The file cannot be read: {error.strerror}.") from error


def _check_plain(url: str) -> frozenset[str]:
    """Check the URL of a single server and return the names of its options."""
    parts = _split(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.fragment or not query.keys() <= {*OPTIONS}:
        # A name is not repeated, because it is half a password where that has a ? in it.
        raise ValueError(f"{_ENCODE} Options after ? may be {', '.join(OPTIONS)}.")
    if parts.scheme != "rediss" and any(name.startswith("ssl_") for name in query):
        raise ValueError("Options of TLS are for rediss:// only.")
    if not query.get("db", "0").isdecimal():
        raise ValueError("The database must be a number.")
    options = {*query} | {name for name in CREDENTIALS if getattr(parts, name)}
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("Needs the socket's path: unix:///path.")
        return frozenset(options)
    _node(parts.netloc.rpartition("@")[2], 6379)
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("The database must be a number.")
    return frozenset(options)


def _node(text: str, default_port: int) -> tuple[str, int]:
    parts = _split(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"Needs a host. {_NODE}" if text.startswith(":") else "Needs at least one host.")
    if text.endswith(":"):
        raise ValueError(f"The port is missing after the colon. {_NODE}")
    if parts.port == 0:
        raise ValueError(_NODE)
    return parts.hostname, parts.port or default_port


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError when it is no port
    except ValueError:
        # Its words repeat what stands there, which is half a password where that has a slash in it.
        raise ValueError(_NODE) from None
    return parts
