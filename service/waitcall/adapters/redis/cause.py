"""Words for operators about a failed step: what Redis said, and what to change if the settings are at fault."""

import re
from collections.abc import Iterator
from socket import gaierror

from redis.exceptions import RedisClusterException

from waitcall.adapters.redis.topology import NoMasterFound
from waitcall.configuration.redis_url import Address

_MOST_WORDS = 16
_TELLING = re.compile(r"[0-9]{3}|[:{}@/*]")
"""Pattern of words that may be part of a key, a value, an address or a hash."""

_NO_TLS = "the port does not answer by TLS; without TLS, WAITCALL_REDIS_URL begins with redis, not rediss"
_WHERE = "; it stands in WAITCALL_REDIS_URL, or in WAITCALL_REDIS_USERNAME and WAITCALL_REDIS_PASSWORD"
_ENDED = ("Connection reset by peer", "Connection closed by server", "Broken pipe")
_REFUSED_HANDSHAKE = "the server ended the connection; it may demand a client certificate, or refuse that of WAITCALL_REDIS_CERT"
_SIGNS = (
    (
        "CERTIFICATE_REQUIRED",
        "the server demands a client certificate: set WAITCALL_REDIS_CERT and WAITCALL_REDIS_KEY",
    ),
    ("ALERT_UNKNOWN_CA", "the server does not know the authority of WAITCALL_REDIS_CERT"),
    ("ALERT_CERTIFICATE_EXPIRED", "the server says that WAITCALL_REDIS_CERT has expired"),
    (
        "certificate is not valid for",
        "the server's certificate is not for the host that we connect to, which the URL, a sentinel or the cluster names",
    ),
    ("certificate has expired", "the server's certificate has expired"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the server's certificate is not from a known authority: set WAITCALL_REDIS_CA",
    ),
    ("EOF occurred in violation of protocol", _REFUSED_HANDSHAKE),
    ("handshake operation timed out", _NO_TLS),
    ("WRONG_VERSION_NUMBER", _NO_TLS),
    ("RECORD_LAYER_FAILURE", _NO_TLS),
    (
        "without any password configured",
        "the server's default user has no password; leave the password out, or name a user",
    ),
    (
        "invalid username-password pair",
        f"the user or the password of the Redis server is wrong{_WHERE}",
    ),
    ("Authentication required", f"the Redis server demands a password{_WHERE}"),
    ("unauthenticated", f"the Redis server demands a password{_WHERE}"),
    ("DB index is out of range", "the server has no database of the number in WAITCALL_REDIS_URL"),
    (
        "unknown command 'SENTINEL'",
        "WAITCALL_REDIS_URL names a Redis server as a sentinel; a sentinel's port is usually 26379",
    ),
    (
        "unknown command",
        "the server lacks a command; if it is a sentinel, WAITCALL_REDIS_URL begins with redis+sentinel",
    ),
    (
        "Cluster mode is not enabled",
        "the server is not part of a cluster; WAITCALL_REDIS_URL begins with redis:// then",
    ),
    ("Connection refused", "nothing listens at this host and port"),
    (
        "Timeout connecting to server",
        "the host does not answer: its address, a firewall or a network policy is wrong, or it is down",
    ),
    # Only TLS gets here. In TLS 1.3 the server refuses a certificate when the handshake is over for the client.
    *((sign, _REFUSED_HANDSHAKE) for sign in _ENDED),
)
_SENTINELS = (
    (
        "invalid username-password pair",
        "the sentinels refuse WAITCALL_REDIS_SENTINEL_USERNAME or WAITCALL_REDIS_SENTINEL_PASSWORD",
    ),
    ("Authentication required", "the sentinels demand a password: set WAITCALL_REDIS_SENTINEL_PASSWORD"),
    (
        "without any password configured",
        "the sentinels have no password: leave WAITCALL_REDIS_SENTINEL_PASSWORD out",
    ),
    *_SIGNS,
)
_IN_CLUSTER = ("MovedError", "Keys in request don't hash", "SELECT is not allowed in cluster")


def cause_of(error: BaseException, address: Address) -> str:
    """Return what a step failed with, and what to change if a sign of wrong settings is in it."""
    said = words_of(error)
    if isinstance(error, NoMasterFound | RedisClusterException) and error.__cause__:
        # It reports another failure, which says more.
        said = f"{type(error).__name__}: {words_of(error.__cause__)}"
    advice = _advice(error, address)
    return f"{said}; {advice}" if advice else said


def words_of(error: BaseException) -> str:
    """Return the type of an error and the first words of its message, without keys, values and addresses."""
    code = getattr(error, "status_code", None)
    text = f"{code} {error}" if code else str(error)
    words = ["…" if _TELLING.search(word) else word for word in text.split()[:_MOST_WORDS]]
    return " ".join((f"{type(error).__name__}:", *words)).strip(": ")


def _advice(error: BaseException, address: Address) -> str:
    chain = list(_chain(error))
    text = " ".join(f"{type(each).__name__} {each}" for each in chain)
    if any(isinstance(each, gaierror) for each in chain):
        host = text.partition(" connecting to ")[2].partition(" ")[0].rpartition(":")[0]
        return f"the name {host} cannot be resolved" if host else "a host's name cannot be resolved"
    if address.scheme != "redis+cluster" and any(sign in text for sign in _IN_CLUSTER):
        return "the server is part of a cluster; WAITCALL_REDIS_URL begins with redis+cluster then"
    if not address.tls and any(sign in text for sign in _ENDED):
        return (
            "the server ended the connection; if it accepts only TLS, WAITCALL_REDIS_URL begins with rediss"
        )
    signs = _SENTINELS if isinstance(error, NoMasterFound) else _SIGNS
    return next((told for sign, told in signs if sign in text), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
