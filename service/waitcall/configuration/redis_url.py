"""WAITCALL_REDIS_URL, read: standalone, TLS, socket, Sentinel or Cluster (contract, section 7)."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "rediss+sentinel", "rediss+cluster")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed Redis URL.

    Attributes:
        scheme: the form; ``redis+sentinel`` and ``redis+cluster`` also with TLS.
        nodes: host and port of each Sentinel or cluster node.
        service: the name that the Sentinels know the master by.
        tls: of a Sentinel's or a cluster's connections. Certificates are checked against the system's
            authorities, or those of ``SSL_CERT_FILE``.
    """

    scheme: str
    url: str = field(repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str = ""
    db: int = 0
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read one of the five forms of the contract's section 7.

        Raises:
            ValueError: with what is wrong; never with the URL, which may hold a password.
        """
        named, separator, rest = url.partition("://")
        # rediss+…: as the contract's two, with TLS to the sentinels and to every server.
        tls, scheme = named.startswith("rediss+"), named.replace("rediss+", "redis+")
        if named not in SCHEMES or not separator:
            raise ValueError(f"Must begin with one of {', '.join(s + '://' for s in SCHEMES)}.")
        if scheme in ("redis", "rediss", "unix"):
            _check_plain(url)
            return cls(scheme, url)
        authority, _, path = rest.partition("/")
        credentials, _, hosts = authority.rpartition("@")
        username, _, password = credentials.partition(":")
        default_port = 26379 if scheme == "redis+sentinel" else 6379
        nodes = tuple(_node(host, default_port) for host in hosts.split(","))
        service, _, db = path.partition("/")
        if scheme == "redis+sentinel" and not service:
            raise ValueError("Needs the master's name: redis+sentinel://h1,h2/name/db.")
        if scheme == "redis+cluster" and path:
            raise ValueError("A cluster has no databases: redis+cluster://h1,h2.")
        if db and not db.isdecimal():
            raise ValueError("The database must be a number.")
        return cls(
            scheme,
            url,
            nodes,
            unquote(username) or None,
            unquote(password) or None,
            service,
            int(db or 0),
            tls,
        )


def _check_plain(url: str) -> None:
    parts = _split(url)
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("Needs the socket's path: unix:///path.")
        return
    if not parts.hostname:
        raise ValueError("Needs a host.")
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("The database must be a number.")


def _node(text: str, default_port: int) -> tuple[str, int]:
    parts = _split(f"//{text}")
    if not parts.hostname:
        raise ValueError("Needs at least one host.")
    return parts.hostname, parts.port or default_port


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError when it is no port
    except ValueError:
        # Its words repeat what stands there, which is half a password where that has a slash in it.
        raise ValueError("Not a URL with a host and a port.") from None
    return parts
