"""URLs of Redis in the settings."""

import pytest

from waitcall.configuration.settings import load_settings


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("redis://127.0.0.1:6379/0", "redis"),
        ("rediss://user:p%40ss@host:6380/1", "rediss"),
        ("unix:///run/redis.sock?db=1", "unix"),
        ("redis+sentinel://h1:26379,h2/mymaster/0", "redis+sentinel"),
        ("redis+sentinel://user:pass@h1,h2/mymaster", "redis+sentinel"),
        ("redis+cluster://h1,h2:7001", "redis+cluster"),
        ("redis+cluster://[::1]:7000,[::1]:7001", "redis+cluster"),
    ],
)
def test_the_five_forms_of_redis_urls(sound: dict[str, str], url: str, scheme: str) -> None:
    assert load_settings(sound | {"WAITCALL_REDIS_URL": url}).redis_url.scheme == scheme


@pytest.mark.parametrize("scheme", ["rediss+sentinel", "rediss+cluster"])
def test_tls_goes_with_sentinel_and_cluster_too(sound: dict[str, str], scheme: str) -> None:
    name = "/mymaster/0" if "sentinel" in scheme else ""
    address = load_settings(sound | {"WAITCALL_REDIS_URL": f"{scheme}://h1,h2:7000{name}"}).redis_url
    assert (address.scheme, address.tls) == (scheme.replace("rediss", "redis"), True)
    plain = f"{scheme.replace('rediss', 'redis')}://h1{name}"
    assert not load_settings(sound | {"WAITCALL_REDIS_URL": plain}).redis_url.tls
