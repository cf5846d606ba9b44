"""Settings from the environment. All mistakes are reported at once, by name and without values."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from tests.unit.conftest import KEY_HASH, ONLY_SMSRU, POLICY, ROUTED, SMSRU, mistakes_of
from waitcall.composition.use_cases import order_seconds
from waitcall.configuration import settings as settings_module
from waitcall.configuration.settings import (
    SettingsMistakes,
    announce_reload,
    is_replaced,
    load_settings,
    weaknesses,
)
from waitcall.domain.channel import Assurance, Provider
from waitcall.domain.limits import Limit, Scope
from waitcall.domain.policy import OnConcurrent


def test_settings_have_the_documented_defaults(sound: dict[str, str]) -> None:
    settings = load_settings(sound)

    assert settings.smsc_urls == ("https://smsc.ru/sys", "https://www2.smsc.ru/sys")
    assert (settings.smsc_timeout_seconds, settings.callback_hash, settings.window_seconds) == (
        5,
        "sha1",
        900,
    )
    assert settings.api_bind == "127.0.0.1:8080"
    assert (settings.callback_bind, settings.ops_bind) == ("127.0.0.1:8081", "127.0.0.1:9090")
    assert settings.log_level == "info"
    login = settings.policy.purposes["login"]
    assert (login.max_window_seconds, login.on_concurrent, login.cooldown_seconds) == (
        900,
        OnConcurrent.REFUSE,
        30,
    )
    assert (login.result_seconds, login.retention_seconds, login.require_reference) == (300, 86400, False)
    assert settings.policy.limits[Scope.NUMBER] == (Limit(5, 600),)
    assert settings.policy.limits_of(Scope.CLIENT, "web") == ()


@pytest.mark.parametrize(
    ("urls", "named", "picture"),
    [
        (None, "", "https://smsc.ru/sys/imgcode.php"),
        ("https://smsc.kz/sys/,https://www2.smsc.kz/sys", "", "https://smsc.kz/sys/imgcode.php"),
        ("http://127.0.0.1:8090/sys", "", "http://127.0.0.1:8090/sys/imgcode.php"),
        ("https://smsc.kz/sys", "https://cdn.example/picture", "https://cdn.example/picture"),
    ],
)
def test_the_captchas_picture_comes_from_the_accounts_host(
    sound: dict[str, str], policy_path: Path, urls: str | None, named: str, picture: str
) -> None:
    assert load_settings(sound).policy.captcha is None
    line = f'image_url = "{named}"' if named else ""
    policy_path.write_text(f'{POLICY}\n[captcha]\nabove = ["1/h"]\n{line}\n')
    rule = load_settings(sound | ({"WAITCALL_SMSC_URLS": urls} if urls else {})).policy.captcha
    assert rule is not None
    assert rule.image_url == picture


def test_every_mistake_is_named_at_once(sound: dict[str, str], policy_path: Path) -> None:
    policy_path.write_text(
        POLICY.replace('["RU"]', '["XX"]') + 'surprise = 1\n[purposes.reset]\nresult_seconds = "5"\n'
    )
    broken = sound | {
        "WAITCALL_REDIS_URL": "http://x",
        "WAITCALL_SMSC_LOGIN": "login",
        "WAITCALL_SMSC_URLS": "http://smsc.ru/sys",
        "WAITCALL_SMSC_TIMEOUT_SECONDS": "soon",
        "WAITCALL_CALLBACK_SECRETS": "short",
        "WAITCALL_CALLBACK_HASH": "sha256",
        "WAITCALL_API_KEYS": "web=notahash",
        "WAITCALL_KEY_PEPPER": "short",
        "WAITCALL_WINDOW_SECONDS": "59",
        "WAITCALL_API_BIND": "nowhere",
        "WAITCALL_SURFACES": "everything",
        "WAITCALL_WORKERS": "0",
        "WAITCALL_LOG_LEVEL": "loud",
    }
    text = "\n".join(mistakes_of(broken))

    for name in (*broken, "dial_regions", "surprise", "purposes.reset.result_seconds"):
        if name not in ("WAITCALL_SMSC_LOGIN", "WAITCALL_SMSC_APIKEY"):
            assert name in text
    assert "WAITCALL_SMSC_APIKEY alone" in text


def test_nothing_set_names_everything_required() -> None:
    text = "\n".join(mistakes_of({}))

    for name in ("REDIS_URL", "SMSC_APIKEY", "CALLBACK_SECRETS", "API_KEYS", "KEY_PEPPER"):
        assert f"WAITCALL_{name}" in text


def test_a_secret_stands_in_no_message_and_no_repr(sound: dict[str, str]) -> None:
    values = {"WAITCALL_KEY_PEPPER": "hush", "WAITCALL_CALLBACK_SECRETS": "hush!", "WAITCALL_API_KEYS": "hush",
              "WAITCALL_REDIS_URL": "hush://user:hush@x"}  # fmt: skip
    assert "hush" not in "\n".join(mistakes_of(sound | values))
    for url in (
        "redis://user:hush/hush@127.0.0.1",
        "redis+cluster://h1,h2:hush",
        "redis://:hush℀@h",
        "https://user:hush/hush@127.0.0.1",
    ):
        refused = mistakes_of(sound | {"WAITCALL_REDIS_URL": url, "WAITCALL_SMSC_URLS": url})
        assert len(refused) == 2
        assert "hush" not in "".join(refused)
    settings = repr(load_settings(sound | {"WAITCALL_REDIS_URL": "redis://:hush-hush@127.0.0.1"}))
    for secret in ("current-secret", "previous-secret", "an-api-key", "pppp", "hush", KEY_HASH):
        assert secret not in settings


def test_there_are_as_many_workers_as_usable_cpus_unless_a_number_is_set(
    sound: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "usable_cpus", lambda: 3)
    assert load_settings(sound).workers == 3
    assert load_settings(sound | {"WAITCALL_WORKERS": "7"}).workers == 7
    # More are of no use, so a larger host is no mistake.
    monkeypatch.setattr(settings_module, "usable_cpus", lambda: 384)
    assert load_settings(sound).workers == 256


def test_a_setting_may_come_from_a_file(sound: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    file.write_text("q" * 32 + "\n")
    del sound["WAITCALL_KEY_PEPPER"]

    settings = load_settings(sound | {"WAITCALL_KEY_PEPPER_FILE": str(file)})

    assert settings.key_pepper.reveal() == "q" * 32


def test_a_setting_beside_its_file_and_a_missing_file_are_mistakes(
    sound: dict[str, str], tmp_path: Path
) -> None:
    both = mistakes_of(sound | {"WAITCALL_KEY_PEPPER_FILE": str(tmp_path / "none")})
    del sound["WAITCALL_KEY_PEPPER"]
    missing = mistakes_of(sound | {"WAITCALL_KEY_PEPPER_FILE": str(tmp_path / "none")})

    assert len(both) == len(missing) == 1
    assert "WAITCALL_KEY_PEPPER" in both[0]
    assert "WAITCALL_KEY_PEPPER_FILE" in missing[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAITCALL_CALLBACK_SECRETS", "sixteen-letters!"),
        ("WAITCALL_CALLBACK_SECRETS", "a" * 16 + "," + "b" * 15),
        ("WAITCALL_CALLBACK_SECRETS", ",".join(letter * 16 for letter in "abc")),
        ("WAITCALL_CALLBACK_SECRETS", "dev-callback-secret"),
        ("WAITCALL_KEY_PEPPER", "dev-" + "p" * 32),
        ("WAITCALL_KEY_PEPPER", "p" * 31),
        ("WAITCALL_SMSC_APIKEY", "dev-key"),
        ("WAITCALL_SMSC_PASSWORD", "both-forms"),
        ("WAITCALL_SMSC_URLS", "https://smsc.ru/sys,http://www2.smsc.ru/sys"),
        ("WAITCALL_SMSC_URLS", "https://u:p@smsc.ru/sys"),
        ("WAITCALL_SMSC_URLS", "https://smsc.ru:port/sys"),
        ("WAITCALL_SMSRU_API_ID", "short"),
        ("WAITCALL_SMSRU_API_ID", "a" * 16 + "," + "b" * 16 + "," + "c" * 16),
        ("WAITCALL_SMSRU_URL", "http://sms.ru"),
        ("WAITCALL_SMSRU_TIMEOUT_SECONDS", "26"),
        ("WAITCALL_SMSC_TIMEOUT_SECONDS", "0"),
        ("WAITCALL_SMSC_TIMEOUT_SECONDS", "nan"),
        ("WAITCALL_API_KEYS", f"nobody={KEY_HASH}"),
        ("WAITCALL_API_KEYS", f"web={KEY_HASH},web={KEY_HASH}"),
        ("WAITCALL_API_KEYS", ",".join(f"web={digit * 64}" for digit in "123")),
        ("WAITCALL_API_KEYS", "web=" + hashlib.sha256(b"dev-web-key-for-make-run-only").hexdigest()),
        ("WAITCALL_API_KEYS", "web=" + hashlib.sha256(b"dev-operator-key-for-make-run-only").hexdigest()),
        ("WAITCALL_API_BIND", "127.0.0.1:9090"),
        ("WAITCALL_API_BIND", "::1:8080"),
        ("WAITCALL_OPS_BIND", "[::1:9090"),
        ("WAITCALL_PUBLIC_URL", "https://2001:db8::1"),
        ("WAITCALL_SURFACES", "api,public"),
        ("WAITCALL_SURFACES", "api,"),
        ("WAITCALL_SURFACES", "ops"),
        ("WAITCALL_SURFACES", "page"),
        ("WAITCALL_OPS_BIND", "127.0.0.1:0"),
        ("WAITCALL_REDIS_URL", "redis+sentinel://h1,h2"),
        ("WAITCALL_REDIS_URL", "redis+cluster://"),
        ("WAITCALL_REDIS_URL", "redis://host:port"),
        ("WAITCALL_REDIS_URL", "unix://"),
        ("WAITCALL_WINDOW_SECONDS", "901"),
    ],
)
def test_one_mistake_is_one_line(sound: dict[str, str], name: str, value: str) -> None:
    mistakes = mistakes_of(sound | {name: value})

    assert len(mistakes) == 1
    assert name in mistakes[0]


def test_a_second_provider_needs_its_route_and_its_credentials(
    sound: dict[str, str], policy_path: Path
) -> None:
    policy_path.write_text(ROUTED)
    assert mistakes_of(sound) == ["WAITCALL_SMSRU_API_ID: required, the policy's routing names smsru."]

    settings = load_settings(sound | {"WAITCALL_SMSRU_API_ID": "a" * 16 + "," + "b" * 16})

    assert [each.reveal() for each in settings.smsru_api_ids] == ["a" * 16, "b" * 16]
    assert (settings.smsru_url, settings.smsru_timeout_seconds) == ("https://sms.ru", 5)
    assert "aaaa" not in repr(settings)
    (refused,) = mistakes_of(sound | {"WAITCALL_SMSRU_API_ID": "dev-smsru-api-id-1"})
    assert "development secret" in refused


TEXT_IN = '[text_in]\nnumbers = ["+79585550000"]\n'


def without_smsc(sound: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in sound.items() if not name.startswith("WAITCALL_SMSC")}


def test_a_provider_that_nothing_uses_needs_no_credentials(sound: dict[str, str], policy_path: Path) -> None:
    policy_path.write_text(ONLY_SMSRU)

    settings = load_settings(without_smsc(sound) | SMSRU)

    assert settings.smsc_credentials == {}
    assert settings.policy.providers == {Provider.SMSRU}
    # The time for an order counts only the provider in use.
    assert order_seconds(settings) == 5
    load_settings(without_smsc(sound) | SMSRU | {"WAITCALL_SMSRU_TIMEOUT_SECONDS": "25"})
    assert mistakes_of(without_smsc(sound)) == [
        "WAITCALL_SMSRU_API_ID: required, the policy's routing names smsru."
    ]
    assert (
        load_settings(without_smsc(sound) | SMSRU | {"WAITCALL_CALLBACK_SECRETS": ""}).callback_secrets == ()
    )


def test_own_numbers_alone_need_nothing_of_smsc(sound: dict[str, str], policy_path: Path) -> None:
    policy_path.write_text(POLICY + '[routing]\ndefault = ["own"]\n[own_numbers]\nsip = ["+74951234567"]\n')

    settings = load_settings(without_smsc(sound) | {"WAITCALL_CALLBACK_SECRETS": ""} | SIP)

    assert settings.policy.providers == {Provider.OWN}
    assert order_seconds(settings) == 1


OWN = POLICY + '[routing]\ndefault = ["own"]\n[own_numbers]\n'
SIP = {"WAITCALL_SIP_SECRETS": "s" * 32}
TWILIO = {
    "WAITCALL_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "WAITCALL_TWILIO_AUTH_TOKENS": "t" * 32,
    "WAITCALL_TWILIO_URL": "https://v.example/callbacks/twilio",
}
TELNYX = {"WAITCALL_TELNYX_PUBLIC_KEYS": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="}
API_KEY = {"WAITCALL_TELNYX_API_KEY": "KEY0123456789_abc-def"}
DIALECTS = [("twilio", TWILIO), ("telnyx", TELNYX), ("sip", SIP)]


@pytest.mark.parametrize(("dialect", "needed"), DIALECTS)
def test_numbers_of_a_dialect_need_its_settings_where_callbacks_are_served(
    sound: dict[str, str], policy_path: Path, dialect: str, needed: dict[str, str]
) -> None:
    policy_path.write_text(OWN + f'{dialect} = ["+74951234567"]\n')
    load_settings(sound | needed)
    for name in needed:
        assert mistakes_of(sound | needed | {name: ""}) == [
            f"{name}: required, the policy's own_numbers has numbers of the dialect {dialect}."
        ]
        assert load_settings(sound | needed | {name: "", "WAITCALL_SURFACES": "api"})


@pytest.mark.parametrize(("dialect", "needed"), DIALECTS)
def test_settings_of_a_dialect_without_numbers_are_a_mistake(
    sound: dict[str, str], dialect: str, needed: dict[str, str]
) -> None:
    for name, value in (needed | (API_KEY if dialect == "telnyx" else {})).items():
        assert mistakes_of(sound | {name: value}) == [
            f"{name}: the policy's own_numbers has no numbers of the dialect {dialect}."
        ]


def test_settings_of_dialects_are_read_and_not_shown(sound: dict[str, str], policy_path: Path) -> None:
    policy_path.write_text(
        OWN + 'twilio = ["+74951234567"]\ntelnyx = ["+74951234568"]\nsip = ["+74951234569"]\n'
    )
    rotated = {
        "WAITCALL_TWILIO_AUTH_TOKENS": "t" * 32 + "," + "u" * 32,
        "WAITCALL_TELNYX_PUBLIC_KEYS": ",".join([TELNYX["WAITCALL_TELNYX_PUBLIC_KEYS"]] * 2),
        "WAITCALL_SIP_SECRETS": "s" * 32 + "," + "r" * 40,
    }
    settings = load_settings(sound | TWILIO | API_KEY | rotated)
    assert [each.reveal() for each in settings.twilio_auth_tokens] == ["t" * 32, "u" * 32]
    assert [len(each) for each in settings.telnyx_public_keys] == [32, 32]
    assert [each.reveal() for each in settings.sip_secrets] == ["s" * 32, "r" * 40]
    assert settings.telnyx_api_url == "https://api.telnyx.com"
    assert all(secret not in repr(settings) for secret in ("tttt", "ssss", "KEY0123"))


@pytest.mark.parametrize(
    "url",
    [
        *("https://v.example/callbacks/twilio", "https://v.example:8443/a/b/", "http://127.0.0.1:8081/c"),
        *("https://[2001:db8::1]:8443/c", "https://V.example/c#rc=2&rp=5xx,ct"),
    ],
)
def test_the_webhook_url_stays_as_it_is_configured(
    sound: dict[str, str], policy_path: Path, url: str
) -> None:
    policy_path.write_text(OWN + 'twilio = ["+74951234567"]\n')
    assert load_settings(sound | TWILIO | {"WAITCALL_TWILIO_URL": url}).twilio_url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAITCALL_TWILIO_ACCOUNT_SID", "AC0"),
        ("WAITCALL_TWILIO_ACCOUNT_SID", "AC" + "A" * 32),
        ("WAITCALL_TWILIO_AUTH_TOKENS", "t" * 31),
        ("WAITCALL_TWILIO_AUTH_TOKENS", ",".join(each * 32 for each in "tuv")),
        ("WAITCALL_TWILIO_AUTH_TOKENS", "dev-" + "t" * 32),
        ("WAITCALL_TWILIO_URL", "http://v.example/callbacks/twilio"),
        ("WAITCALL_TWILIO_URL", "https://v.example/callbacks/twilio?a=1"),
        ("WAITCALL_TWILIO_URL", "https://v.example"),
        ("WAITCALL_TWILIO_URL", "https://u:p@v.example/c"),
        ("WAITCALL_TWILIO_URL", "https://v.example:99999/c"),
        ("WAITCALL_TELNYX_PUBLIC_KEYS", "A6EHv"),
        ("WAITCALL_TELNYX_PUBLIC_KEYS", ",".join([TELNYX["WAITCALL_TELNYX_PUBLIC_KEYS"]] * 3)),
        ("WAITCALL_TELNYX_API_KEY", "short"),
        ("WAITCALL_TELNYX_API_KEY", "a-key\r\nInjected: header"),
        ("WAITCALL_TELNYX_API_URL", "http://api.example"),
        ("WAITCALL_SIP_SECRETS", "s" * 31),
        ("WAITCALL_SIP_SECRETS", "dev-" + "s" * 32),
    ],
)
def test_a_wrong_setting_of_a_dialect_is_one_line(
    sound: dict[str, str], policy_path: Path, name: str, value: str
) -> None:
    policy_path.write_text(
        OWN + 'twilio = ["+74951234567"]\ntelnyx = ["+74951234568"]\nsip = ["+74951234569"]\n'
    )
    (mistake,) = mistakes_of(sound | TWILIO | TELNYX | SIP | {name: value})
    assert name in mistake
    assert value not in mistake


@pytest.mark.parametrize(
    "uses",
    [
        '[routing]\ndefault = ["smsru", "smsc"]\n',
        '[routing]\ndefault = ["smsru"]\n[routing.regions]\nKZ = ["smsc"]\n',
        '[routing]\ndefault = ["smsru"]\n[purposes.by_code]\nchannels = ["code"]\n',
        '[routing]\ndefault = ["smsru"]\n[purposes.two_steps]\nsecond_step = "code"\n',
        '[routing]\ndefault = ["smsru"]\n[purposes.by_text]\nchannels = ["text_in"]\n' + TEXT_IN,
        '[routing]\ndefault = ["smsru"]\n' + TEXT_IN,
    ],
    ids=["routing", "region", "code", "second step", "text_in", "numbers for texts"],
)
def test_smsc_credentials_are_required_if_anything_uses_smsc(
    sound: dict[str, str], policy_path: Path, uses: str
) -> None:
    policy_path.write_text(POLICY + uses)

    (mistake,) = mistakes_of(without_smsc(sound) | SMSRU)
    assert "WAITCALL_SMSC_APIKEY" in mistake
    assert Provider.SMSC in load_settings(sound | SMSRU).policy.providers


def test_credentials_that_nothing_uses_are_no_mistake(sound: dict[str, str], policy_path: Path) -> None:
    load_settings(sound | SMSRU)
    policy_path.write_text(ONLY_SMSRU)
    load_settings(sound | SMSRU)
    load_settings(without_smsc(sound) | SMSRU | {"WAITCALL_SMSC_LOGIN": "half of them"})


@pytest.mark.parametrize(
    ("given", "binds"),
    [
        ("", ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9090"]),
        ("api", ["127.0.0.1:8080", "127.0.0.1:9090"]),
        ("callback", ["127.0.0.1:8081", "127.0.0.1:9090"]),
        ("Callback, api,api", ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9090"]),
        ("callback,page", ["127.0.0.1:8081", "127.0.0.1:9090"]),
    ],
)
def test_only_the_listeners_of_the_served_surfaces_are_bound(
    sound: dict[str, str], given: str, binds: list[str]
) -> None:
    assert load_settings(sound | {"WAITCALL_SURFACES": given}).binds == binds


def test_ports_may_be_the_same_where_one_of_them_is_not_bound(sound: dict[str, str]) -> None:
    same = sound | {"WAITCALL_OPS_BIND": "127.0.0.1:8081"}
    assert load_settings(same | {"WAITCALL_SURFACES": "api"}).ops_bind == "127.0.0.1:8081"
    (mistake,) = mistakes_of(same | {"WAITCALL_SURFACES": "callback"})
    assert mistake == "WAITCALL_CALLBACK_BIND, WAITCALL_OPS_BIND: each needs its own port."


ENDPOINT = '[clients.web.webhooks.login]\nurl = "https://login.example.org/events"\n'
INNER = ("WAITCALL_API_KEYS", "WAITCALL_SMSC_APIKEY", "WAITCALL_WEBHOOK_SECRETS")


@pytest.mark.parametrize("served", ["callback", "page", "callback,page"])
def test_a_public_tree_starts_without_the_keys_and_credentials_of_the_inner_one(
    sound: dict[str, str], policy_path: Path, served: str
) -> None:
    hosted = '\nhosted = {return_origins = ["https://a.example.org"]}\n'
    policy_path.write_text(POLICY.replace("[clients.web]", f"[clients.web]{hosted}") + ENDPOINT)
    public = {name: value for name, value in sound.items() if name not in INNER}
    public |= {"WAITCALL_SURFACES": served, "WAITCALL_PUBLIC_URL": "https://a.example.org"}

    settings = load_settings(public)

    assert (settings.api_keys, settings.smsc_credentials, settings.webhook_secrets) == ({}, {}, {})
    for named in (served + ",api", "api", ""):
        text = "\n".join(mistakes_of(public | {"WAITCALL_SURFACES": named}))
        assert [name in text for name in INNER] == [True] * len(INNER)


def test_half_a_credential_is_a_mistake_even_where_none_is_required(sound: dict[str, str]) -> None:
    half = sound | {"WAITCALL_SMSC_LOGIN": "login", "WAITCALL_SURFACES": "callback"}
    (mistake,) = mistakes_of(half)
    assert mistake.startswith("WAITCALL_SMSC_LOGIN and WAITCALL_SMSC_PASSWORD")


@pytest.mark.parametrize("name", ["REDIS_URL", "CALLBACK_SECRETS", "KEY_PEPPER"])
def test_a_public_tree_needs_redis_the_callback_secrets_and_the_pepper(
    sound: dict[str, str], name: str
) -> None:
    del sound[f"WAITCALL_{name}"]

    assert mistakes_of(sound | {"WAITCALL_SURFACES": "callback"}) == [f"WAITCALL_{name}: required."]


def test_development_secrets_are_admitted_by_make_run_alone(sound: dict[str, str]) -> None:
    secrets = {"WAITCALL_CALLBACK_SECRETS": "dev-callback-secret", "WAITCALL_KEY_PEPPER": "dev-" + "p" * 32}

    assert load_settings(sound | secrets, development=True).callback_hash == "sha1"
    assert len(mistakes_of(sound | secrets)) == 2


def test_variables_that_kubernetes_sets_for_a_service_are_ignored(sound: dict[str, str]) -> None:
    load_settings(sound | {"WAITCALL_PORT": "tcp://10.0.0.1:80", "WAITCALL_SERVICE_HOST": "10.0.0.1"})


def test_no_host_and_no_proxy_is_trusted_by_default(sound: dict[str, str]) -> None:
    settings = load_settings(sound)
    assert (settings.trusted_hosts, settings.trusted_hops, settings.key_pepper_other) == ((), 0, None)

    told = load_settings(
        sound
        | {
            "WAITCALL_TRUSTED_HOSTS": "A.example, .b.example",
            "WAITCALL_TRUSTED_HOPS": "2",
            "WAITCALL_KEY_PEPPER_OTHER": "q" * 32,
        }
    )
    assert (told.trusted_hosts, told.trusted_hops) == (("a.example", ".b.example"), 2)
    assert told.key_pepper_other is not None
    assert told.key_pepper_other.reveal() == "q" * 32
    assert "q" * 32 not in repr(told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_HOSTS", "a.example:8080"),
        ("TRUSTED_HOSTS", "*"),
        ("TRUSTED_HOPS", "11"),
        ("TRUSTED_HOPS", "-1"),
        ("KEY_PEPPER_OTHER", "short"),
        ("KEY_PEPPER_OTHER", "p" * 32),
        ("KEY_PEPPER_OTHER", "dev-pepper-that-hashes-numbers-into-key-names"),
    ],
)
def test_a_wrong_host_hop_count_or_pepper_is_named(sound: dict[str, str], name: str, value: str) -> None:
    (mistake,) = mistakes_of(sound | {f"WAITCALL_{name}": value})

    assert mistake.startswith(f"WAITCALL_{name}:")


@pytest.mark.parametrize("value", ["roundtrip", "region", "yes", "1"])
def test_the_assurance_of_the_inbox_is_asserted_or_network(sound: dict[str, str], value: str) -> None:
    (mistake,) = mistakes_of(sound | {"WAITCALL_INBOX_ASSURANCE": value})
    assert mistake == "WAITCALL_INBOX_ASSURANCE: Must be one of asserted, network."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INBOX_POLL_SECONDS", "19"),
        ("INBOX_POLL_SECONDS", "301"),
        ("INBOX_POLL_SECONDS", "-1"),
        ("LOW_BALANCE", "-5"),
        ("LOW_BALANCE", "much"),
        ("WORKER_OPS_BIND", "9091"),
        ("DRAIN_SECONDS", "21"),
        ("DRAIN_SECONDS", "-1"),
        ("REDIS_MIN_REPLICAS", "6"),
        ("REDIS_MIN_REPLICAS", "one"),
    ],
)
def test_settings_of_the_processes_are_checked(sound: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(SettingsMistakes, match=f"WAITCALL_{name}: "):
        load_settings(sound | {f"WAITCALL_{name}": value})


def test_the_poll_of_the_inbox_can_be_switched_off(sound: dict[str, str]) -> None:
    assert load_settings(sound | {"WAITCALL_INBOX_POLL_SECONDS": "0"}).inbox_poll_seconds == 0


HOOK = (
    POLICY
    + """
[clients.web.webhooks.main]
url = "https://login.example.org/waitcall"
"""
)
HOOK_SECRET = "web/main=whsec_" + "QUFB" * 8


def test_a_webhook_has_one_secret_or_two_while_it_is_rotated(
    sound: dict[str, str], policy_path: Path
) -> None:
    policy_path.write_text(HOOK)
    for given, count in ((HOOK_SECRET, 1), (f"{HOOK_SECRET}, {HOOK_SECRET}", 2)):
        settings = load_settings(sound | {"WAITCALL_WEBHOOK_SECRETS": given})
        assert len(settings.webhook_secrets["web/main"]) == count
        assert "QUFB" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("", "none for the policy's webhook 'web/main'"),
        (HOOK_SECRET.replace("main", "other"), "'web/other' is no webhook"),
        ("web=whsec_" + "QUFB" * 8, "CLIENT/NAME=whsec_"),
        ("web/main=" + "QUFB" * 8, "CLIENT/NAME=whsec_"),
        ("web/main=whsec_QUFB", "24 to 64 bytes"),
        ("web/main=whsec_" + "QUFB" * 30, "24 to 64 bytes"),
        ("web/main=whsec_not base64!", "base64"),
        (",".join([HOOK_SECRET] * 3), "At most two"),
    ],
)
def test_a_wrong_webhook_secret_is_named_and_not_shown(
    sound: dict[str, str], policy_path: Path, given: str, named: str
) -> None:
    policy_path.write_text(HOOK)
    mistakes = mistakes_of(sound | {"WAITCALL_WEBHOOK_SECRETS": given})
    assert any(named in each for each in mistakes)
    assert all(each.startswith("WAITCALL_WEBHOOK_SECRETS: ") for each in mistakes)
    assert "QUFB" not in "".join(mistakes)


@pytest.mark.parametrize(
    ("bind", "reached"),
    [
        ("127.0.0.1:8081", "127.0.0.1:8081"),
        ("0.0.0.0:8081", "localhost:8081"),
        ("[::]:8081", "localhost:8081"),
        ("[::1]:8081", "[::1]:8081"),
    ],
)
def test_commands_reach_the_handler_on_this_machine(sound: dict[str, str], bind: str, reached: str) -> None:
    settings = load_settings(sound | {"WAITCALL_CALLBACK_BIND": bind})
    assert settings.local_callback_url == f"http://{reached}/callbacks/smsc"


@pytest.mark.parametrize("name", ["PUBLIC_URL", "SMSC_URLS", "SMSRU_URL"])
def test_a_url_may_have_an_ipv6_address(sound: dict[str, str], name: str) -> None:
    settings = load_settings(sound | {f"WAITCALL_{name}": "https://[2001:db8::1]:8443/sys"})
    assert "https://[2001:db8::1]:8443/sys" in str(getattr(settings, name.lower()))


def test_the_inbox_proves_asserted_unless_a_setting_says_more_which_is_a_weakness(
    sound: dict[str, str],
) -> None:
    assert load_settings(sound).inbox_assurance is Assurance.ASSERTED
    for value in ("asserted", "ASSERTED"):
        assert list(weaknesses(load_settings(sound | {"WAITCALL_INBOX_ASSURANCE": value}))) == []
    settings = load_settings(sound | {"WAITCALL_INBOX_ASSURANCE": "network"})
    assert settings.inbox_assurance is Assurance.NETWORK
    (named,) = weaknesses(settings)
    assert "WAITCALL_INBOX_ASSURANCE=network" in named
    assert "waitcall doctor" in named


def test_a_forgeable_hash_is_a_weakness(sound: dict[str, str]) -> None:
    assert list(weaknesses(load_settings(sound))) == []
    (named,) = weaknesses(load_settings(sound | {"WAITCALL_CALLBACK_HASH": "crc32"}))
    assert "crc32 is forgeable" in named


def test_calls_at_telnyx_that_nothing_refuses_are_a_weakness(
    sound: dict[str, str], policy_path: Path
) -> None:
    policy_path.write_text(OWN + 'telnyx = ["+74951234567"]\n')
    (named,) = weaknesses(load_settings(sound | TELNYX))
    assert "WAITCALL_TELNYX_API_KEY is not set" in named
    assert "keep ringing" in named
    # The API's processes are not given the key.
    assert list(weaknesses(load_settings(sound | TELNYX | {"WAITCALL_SURFACES": "api"}))) == []
    assert list(weaknesses(load_settings(sound | TELNYX | API_KEY))) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn forks its workers")
def test_a_worker_knows_a_reload_from_the_moment_of_its_fork() -> None:
    """The master may reload while a worker is still importing and has not read the count of reloads."""
    before, tell = forked()
    announce_reload()
    after, tell_after = forked()
    assert (asked(before, tell), asked(after, tell_after)) == (True, False)
    announce_reload()
    assert is_replaced() is False


def forked() -> tuple[int, int]:
    """Fork a child that answers with its exit status as soon as something is written to the pipe."""
    read, write = os.pipe()
    sys.stdout.flush()
    if pid := os.fork():
        os.close(read)
        return pid, write
    os.read(read, 1)
    os._exit(int(is_replaced()))


def asked(pid: int, pipe: int) -> bool:
    os.write(pipe, b"?")
    os.close(pipe)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
