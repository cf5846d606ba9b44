"""Error codes of the account's scripts, in words."""

import json
from io import BytesIO

import pytest
import urllib3

from tests.fakes.outside import RecordingObserver
from waitcall.adapters.providers.smsc.account import SmscAccount
from waitcall.adapters.providers.transport import Account
from waitcall.domain.errors import ProviderError


@pytest.fixture
def account() -> SmscAccount:
    return SmscAccount(
        Account(("http://127.0.0.1:9/sys",), {"apikey": "sim-apikey"}, 20), RecordingObserver()
    )


def answer(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Let the provider answer each request with ``body``."""

    def request(*_: object, **__: object) -> urllib3.HTTPResponse:
        return urllib3.HTTPResponse(BytesIO(body), status=200, preload_content=False)

    monkeypatch.setattr(urllib3.PoolManager, "request", request)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "error code 1: the parameters are wrong."),
        (2, "error code 2: the credentials are wrong, or our address is not in the account's allow-list."),
        (3, "error code 3: there is not enough money in the account."),
        (4, "error code 4: our address is blocked for a while after frequent errors."),
        (9, "error code 9: too many requests of this kind within a minute."),
        (77, "error code 77."),
    ],
)
def test_each_error_code_is_told_in_words(
    account: SmscAccount, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    answer(monkeypatch, json.dumps({"error": "error", "error_code": code}).encode())
    with pytest.raises(ProviderError) as told:
        account.free_numbers()
    assert told.value.detail.endswith(words)
    with pytest.raises(ProviderError) as told:
        account.file(1, 0)
    # What code 3 means for a file is not documented.
    assert told.value.detail.endswith(words if code != 3 else "error code 3.")


def test_in_the_inbox_code_3_means_that_nothing_was_found(
    account: SmscAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, b'{"error":"x","error_code":"3"}')
    with pytest.raises(ProviderError, match="nothing was found"):
        account.after(None)
