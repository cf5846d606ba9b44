"""URLs of Redis in the settings, the settings that belong to it, and the files of certificates."""

from pathlib import Path

import pytest
import trustme

from tests.unit.conftest import mistakes_of
from waitcall.configuration.settings import in_effect, load_settings

URL = "WAITCALL_REDIS_URL"


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("redis://127.0.0.1:6379/0", "redis"),
        ("redis://[::1]:6379/0", "redis"),
        ("redis://[2001:db8::1]", "redis"),
        ("redis://redis.example.org", "redis"),
        ("rediss://user:p%40ss@host:6380/1", "rediss"),
        ("rediss://host?ssl_ca_certs=/run/ca.pem&db=2", "rediss"),
        ("unix:///run/redis.sock?db=1", "unix"),
        ("unix://user:pass@/run/@redis.sock", "unix"),
        ("redis+sentinel://h1:26379,h2/mymaster/0", "redis+sentinel"),
        ("redis+sentinel://user:pass@h1,h2/mymaster", "redis+sentinel"),
        ("redis+cluster://h1,h2:7001", "redis+cluster"),
        ("redis+cluster://h1,h2:7001/0", "redis+cluster"),
        ("redis+cluster://[::1]:7000,[::1]:7001", "redis+cluster"),
    ],
)
def test_the_five_forms_of_redis_urls(sound: dict[str, str], url: str, scheme: str) -> None:
    assert load_settings(sound | {URL: url}).redis_url.scheme == scheme


def test_hosts_are_names_or_addresses_with_default_ports(sound: dict[str, str]) -> None:
    url = "redis+sentinel://s-1.example.org, [2001:db8::1]:7000,[::1],10.0.0.1/mymaster"
    assert load_settings(sound | {URL: url}).redis_url.nodes == (
        ("s-1.example.org", 26379),
        ("2001:db8::1", 7000),
        ("::1", 26379),
        ("10.0.0.1", 26379),
    )


@pytest.mark.parametrize("scheme", ["rediss+sentinel", "rediss+cluster"])
def test_tls_goes_with_sentinel_and_cluster_too(sound: dict[str, str], scheme: str) -> None:
    name = "/mymaster/0" if "sentinel" in scheme else ""
    address = load_settings(sound | {URL: f"{scheme}://h1,h2:7000{name}"}).redis_url
    assert (address.scheme, address.tls) == (scheme.replace("rediss", "redis"), True)
    plain = f"{scheme.replace('rediss', 'redis')}://h1{name}"
    assert not load_settings(sound | {URL: plain}).redis_url.tls


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("host:6379", "Must begin with one of"),
        ("redis:/host", "Must begin with one of"),
        ("redis://", "Needs at least one host."),
        ("redis:///0", "Needs at least one host."),
        ("redis://:6379", "Needs a host."),
        ("redis://host:", "The port is missing after the colon."),
        ("redis://host:/0", "The port is missing after the colon."),
        ("redis+cluster://h1:,h2", "The port is missing after the colon."),
        ("redis+sentinel://h1,h2:/mymaster", "The port is missing after the colon."),
        ("redis+cluster://h1,,h2", "Needs at least one host."),
        ("redis://host:port", "a port from 1 to 65535"),
        ("redis://host:0", "a port from 1 to 65535"),
        ("redis://host:65536", "a port from 1 to 65535"),
        ("redis+sentinel://h1:99999/mymaster", "a port from 1 to 65535"),
        ("redis://::1:6379", "IPv6 in brackets"),
        ("redis+cluster://2001:db8::1", "IPv6 in brackets"),
        ("redis://[::1", "IPv6 in brackets"),
        ("redis://h1:6379,h2:6379", "Several hosts are"),
        ("redis://h1,h2/0", "Several hosts are"),
        ("redis://host/mymaster", "The database must be a number."),
        ("redis://host/0/1", "The database must be a number."),
        ("redis+sentinel://h1,h2", "Needs the master's name"),
        ("redis+sentinel://h1,h2/", "Needs the master's name"),
        ("redis+sentinel://h1,h2//0", "Needs the master's name"),
        ("redis+sentinel://h1/mymaster/first", "The database must be a number."),
        ("redis+cluster://h1/1", "A cluster has no databases"),
        ("redis+cluster://h1/mymaster", "A cluster has no databases"),
        ("redis+cluster://h1?db=1", "Options after ? are for"),
        ("redis+sentinel://h1/mymaster/0?ssl_ca_certs=/ca.pem", "Options after ? are for"),
        ("redis://host?socket_timeout=60", "Options after ? may be username"),
        ("redis://host?ssl_ca_certs=/ca.pem", "Options of TLS are for rediss:// only."),
        ("unix:///run/redis.sock?ssl_cert_reqs=none", "Options of TLS are for rediss:// only."),
        ("redis://host?db=first", "The database must be a number."),
        ("redis://host?hush=1", "Options after ? may be username"),
        ("redis://user:hush/hush@host", "must be percent-encoded"),
        ("redis://user:hush#hush@host", "must be percent-encoded"),
        ("redis://user:hush?hush@host/0", "must be percent-encoded"),
        ("redis+sentinel://user:hush/hush@h1/mymaster", "must be percent-encoded"),
        ("unix://", "Needs the socket's path"),
    ],
)
def test_a_mistake_in_a_url_is_named_in_words(sound: dict[str, str], url: str, told: str) -> None:
    (mistake,) = mistakes_of(sound | {URL: url})

    assert mistake.startswith(f"{URL}: ")
    assert told in mistake
    assert "hush" not in mistake


SENTINEL = "redis+sentinel://h1/mymaster"


def test_settings_stand_beside_the_url(sound: dict[str, str]) -> None:
    given = {
        URL: "redis+sentinel://:of-the-url@h1/mymaster",
        "WAITCALL_REDIS_USERNAME": "user",
        "WAITCALL_REDIS_SENTINEL_USERNAME": "watcher",
        "WAITCALL_REDIS_SENTINEL_PASSWORD": "of-the-sentinels",
    }

    settings = load_settings(sound | given)

    redis = settings.redis
    assert (redis.username, redis.password) == ("user", "of-the-url")
    assert (redis.sentinel_username, redis.sentinel_password) == ("watcher", "of-the-sentinels")
    assert "of-the-" not in repr(settings) + repr(redis)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({URL: "redis://:hush@h", "REDIS_PASSWORD": "hush"}, "REDIS_PASSWORD: WAITCALL_REDIS_URL has it"),
        (
            {URL: "redis://h?password=hush", "REDIS_PASSWORD": "hush"},
            "REDIS_PASSWORD: WAITCALL_REDIS_URL has",
        ),
        ({URL: "redis+cluster://u:hush@h", "REDIS_USERNAME": "hush"}, "REDIS_USERNAME: WAITCALL_REDIS_URL"),
        (
            {"REDIS_SENTINEL_PASSWORD": "hush"},
            "REDIS_SENTINEL_PASSWORD: WAITCALL_REDIS_URL names no sentinels",
        ),
        ({URL: SENTINEL, "REDIS_SENTINEL_USERNAME": "hush"}, "needs WAITCALL_REDIS_SENTINEL_PASSWORD"),
    ],
)
def test_settings_that_contradict_the_url_are_mistakes(
    sound: dict[str, str], given: dict[str, str], told: str
) -> None:
    named = {name if name == URL else f"WAITCALL_{name}": value for name, value in given.items()}

    (mistake,) = mistakes_of(sound | named)

    assert told in mistake
    assert "hush" not in mistake


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of an authority's certificate, a client's certificate and key, another key, and broken files."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    mine, other = (authority.issue_cert("client.example") for _ in range(2))
    mine.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    mine.private_key_pem.write_to_path(directory / "key.pem")
    mine.private_key_and_cert_chain_pem.write_to_path(directory / "both.pem")
    other.private_key_pem.write_to_path(directory / "other-key.pem")
    (directory / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
    (directory / "empty.pem").write_text("")
    return directory


def certificates(files: Path, url: str = "rediss://h", **names: str) -> dict[str, str]:
    """Environment that names files; a name that is no file's stands for itself."""
    paths = {
        f"WAITCALL_REDIS_{each.upper()}": str(files / name) if name.endswith(".pem") else name
        for each, name in names.items()
    }
    return {URL: url} | paths


@pytest.mark.parametrize(
    "names",
    [
        {"ca": "ca.pem"},
        {"cert": "cert.pem", "key": "key.pem"},
        {"ca": "ca.pem", "cert": "both.pem"},
        {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem"},
    ],
)
def test_files_of_certificates_are_named_by_their_paths(
    sound: dict[str, str], files: Path, names: dict[str, str]
) -> None:
    environ = sound | certificates(files, **names)

    redis = load_settings(environ).redis

    expected = {each.removesuffix("_file"): str(files / name) for each, name in names.items()}
    assert {each: getattr(redis, each) for each in ("ca", "cert", "key")} == {
        "ca": "",
        "cert": "",
        "key": "",
    } | expected
    shown = {name: text for name, _, text in in_effect(environ)}
    assert all(shown[f"WAITCALL_REDIS_{each.upper()}"] == path for each, path in expected.items())


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"ca": "none.pem"}, "REDIS_CA: The file cannot be read: No such file"),
        ({"ca": "broken.pem"}, "REDIS_CA: The file has no certificate in PEM."),
        ({"ca": "empty.pem"}, "REDIS_CA: The file has no certificate in PEM."),
        ({"ca": "key.pem"}, "REDIS_CA: The file has no certificate in PEM."),
        ({"ca": "-----BEGIN CERTIFICATE-----"}, "REDIS_CA: Must be the path of a file"),
        ({"cert": "none.pem", "key": "key.pem"}, "REDIS_CERT: The file cannot be read: No such file"),
        ({"cert": "broken.pem", "key": "key.pem"}, "REDIS_CERT: The file has no certificate in PEM."),
        ({"cert": "cert.pem"}, "REDIS_CERT: The file has no private key in PEM"),
        ({"cert": "cert.pem", "key": "none.pem"}, "REDIS_KEY: The file cannot be read: No such file"),
        ({"cert": "cert.pem", "key": "empty.pem"}, "REDIS_KEY: The file has no private key in PEM"),
        ({"cert": "cert.pem", "key": "cert.pem"}, "REDIS_KEY: The file has no private key in PEM"),
        ({"cert": "cert.pem", "key": "other-key.pem"}, "REDIS_KEY: The key is not that of the certificate."),
        ({"cert": "cert.pem", "key": "-----BEGIN KEY-----"}, "REDIS_KEY: Must be the path of a file"),
        ({"key": "key.pem"}, "REDIS_KEY: needs WAITCALL_REDIS_CERT."),
        ({"key_password": "hush"}, "REDIS_KEY_PASSWORD: needs WAITCALL_REDIS_CERT."),
        ({"ca": "ca.pem", "url": "redis://h"}, "REDIS_CA: WAITCALL_REDIS_URL has no TLS"),
        ({"ca": "ca.pem", "url": SENTINEL}, "REDIS_CA: WAITCALL_REDIS_URL has no TLS"),
        (
            {"ca": "ca.pem", "url": "rediss://h?ssl_ca_certs=/ca.pem"},
            "REDIS_CA: WAITCALL_REDIS_URL has it too; use one of them.",
        ),
    ],
)
def test_a_broken_file_of_a_certificate_is_named_at_start(
    sound: dict[str, str], files: Path, names: dict[str, str], told: str
) -> None:
    (mistake,) = mistakes_of(sound | certificates(files, **names))

    assert told in mistake
    assert "hush" not in mistake
