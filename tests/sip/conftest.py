from collections.abc import Iterator

import pytest

from tests.sip.proxy import Caller, Proxy, Receiver, receiving


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    started = Proxy(tmp_path_factory.mktemp("proxy"), receiver.url, WAITCALL_SIP_CALLS_PER_MINUTE="1000")
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.fixture
def caller(proxy: Proxy) -> Iterator[Caller]:
    with Caller(proxy.port) as each:
        yield each
