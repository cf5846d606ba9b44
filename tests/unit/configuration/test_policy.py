"""Tables of the policy file: valid values are read, and each mistake is named.

At its start the service warns of each weakness in the policy. The shipped policy has none.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from marshmallow import ValidationError

from tests.unit.conftest import POLICY, mistakes_of
from waitcall.configuration.policy import SHIPPED_POLICY, default_policy, policy_weaknesses, read_policy
from waitcall.configuration.settings import load_settings, weaknesses
from waitcall.domain.channel import Assurance, Attested, Channel, Dialect, Provider
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.event import EventType
from waitcall.domain.limits import Limit, Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.numbers import E164
from waitcall.domain.policy import (
    CLIENT_PERMISSIONS,
    Audit,
    CaptchaRule,
    Endpoint,
    FixedOutcome,
    OwnNumbers,
    Permission,
    Routes,
)
from waitcall.domain.status import Status

EVERY_EVENT = frozenset(each.value for each in EventType)
BASE = """
dial_regions = ["RU"]
[purposes.login]
[clients.web]
purposes = ["login"]
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return read_policy(str(path))


def test_where_there_is_no_policy_the_shipped_one_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_policy() == str(SHIPPED_POLICY)
    assert read_policy(default_policy()).purposes
    (tmp_path / "config").write_text("a file, not a folder")
    assert default_policy() == str(SHIPPED_POLICY)


def test_a_policy_that_is_there_but_cannot_be_read_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that leads nowhere must not be replaced by another policy in silence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/policy.toml").symlink_to("nowhere.toml")

    with pytest.raises(ValidationError, match=r"config/policy\.toml cannot be read"):
        read_policy(default_policy())


def test_keys_that_are_left_out_get_safe_defaults(tmp_path: Path) -> None:
    policy = read(tmp_path, BASE)

    assert policy.clients["web"].scopes == CLIENT_PERMISSIONS
    assert (policy.conversion, policy.lists, dict(policy.assurance)) == ((), (), {})
    assert policy.audit == Audit(100_000, 90 * 86400, log=False)
    assert policy.purposes["login"].min_assurance is Assurance.ASSERTED
    assert policy.limits_of(Scope.READ, "web") == ()


def test_every_table_and_key_is_read(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        BASE
        + """
scopes = ["create", "read"]
limits = {client = ["3/m"], read = ["600/m"], consume = []}
[clients.ops]
purposes = []
scopes = ["operate"]
[limits]
network = ["5/h record_only", "50/d"]
read = ["10/s"]
[conversion.country]
mode = "record_only"
[conversion.prefix]
mode = "enforce"
window_seconds = 600
settle_seconds = 60
floor = 5
max_uncalled_share = 0.25
digits = 6
[[lists]]
action = "block"
prefix = "+7800"
reason = "toll-free"
[[lists]]
action = "allow"
network = "192.0.2.7"
reason = "the test rig"
expires_at = 2027-01-01T00:00:00Z
[assurance.RU]
level = "network"
source = "a law"
except_prefixes = ["+7978"]
[audit]
max_entries = 5000
retention_seconds = 86400
log = true
""",
    )

    web = policy.clients["web"]
    assert web.scopes == {Permission.CREATE, Permission.READ}
    assert policy.limits_of(Scope.CLIENT, "web") == (Limit(3, 60),)
    assert (policy.limits_of(Scope.READ, "web"), policy.limits_of(Scope.READ, "ops")) == (
        (Limit(600, 60),),
        (Limit(10, 1),),
    )
    assert policy.limits[Scope.NETWORK] == (Limit(5, 3600, Mode.RECORD_ONLY), Limit(50, 86400))
    assert policy.limits[Scope.NUMBER] == (Limit(5, 600),)
    assert policy.conversion == (
        ConversionBudget(Group.COUNTRY, Mode.RECORD_ONLY),
        ConversionBudget(Group.PREFIX, Mode.ENFORCE, 600, 60, 5, 0.25, 6),
    )
    assert policy.lists == (
        ListEntry(ListAction.BLOCK, ListKind.PREFIX, "+7800", "toll-free"),
        ListEntry(
            ListAction.ALLOW,
            ListKind.NETWORK,
            "192.0.2.7/32",
            "the test rig",
            expires_at=datetime(2027, 1, 1, tzinfo=UTC),
        ),
    )
    assert policy.assurance == {"RU": Attested(Assurance.NETWORK, "a law", ("+7978",))}
    assert policy.audit == Audit(5000, 86400, log=True)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("scopes = []", "clients.web.scopes"),
        ('scopes = ["admin"]', "clients.web.scopes"),
        ('limits = {number = ["1/m"]}', "clients.web.limits.number"),
        ("[clients.ops]\npurposes = []", "clients.ops.purposes"),
        ('[limits]\nip = ["5/h maybe"]', "limits.ip"),
        ('[conversion.prefix]\nmode = "enforce"', "conversion.prefix.digits"),
        ('[conversion.country]\nmode = "off"', "conversion.country.mode"),
        ('[conversion.country]\nmode = "enforce"\ndigits = 5', "conversion.country.digits"),
        ('[conversion.country]\nmode = "enforce"\nmax_uncalled_share = 1.5', "max_uncalled_share"),
        (
            '[conversion.country]\nmode = "enforce"\nwindow_seconds = 100\nsettle_seconds = 100',
            "conversion.country.settle_seconds",
        ),
        ('[conversion.everybody]\nmode = "enforce"', "conversion.everybody"),
        ('[[lists]]\naction = "block"\nreason = "x"', "lists"),
        ('[[lists]]\naction = "block"\nprefix = "7800"\nreason = "x"', "lists.0.prefix"),
        ('[[lists]]\naction = "block"\nprefix = "+7"\nnumber = "+79991234567"\nreason = "x"', "lists"),
        ('[[lists]]\naction = "block"\nprefix = "+7"', "lists.0.reason"),
        ('[[lists]]\naction = "block"\nprefix = "+7"\nreason = "x"\nexpires_at = "2027"', "expires_at"),
        ('[[lists]]\naction = "block"\nprefix = "+7"\nreason = "x"\nexpires_at = 2027-01-01', "expires_at"),
        ('[assurance.RU]\nlevel = "network"', "assurance.RU.source"),
        (
            '[assurance.RU]\nlevel = "network"\nsource = "x"\nexcept_prefixes = ["7940"]',
            "assurance.RU.except_prefixes.0",
        ),
        ('[assurance.RU]\nlevel = "roundtrip"\nsource = "x"', "assurance.RU.level"),
        ('[assurance.Russia]\nlevel = "network"\nsource = "x"', "assurance.Russia"),
        ("[audit]\nmax_entries = 1", "audit.max_entries"),
        ("[audit]\nretention_seconds = 60", "audit.retention_seconds"),
        ("[purposes.a]\nchannels = []", "purposes.a.channels"),
        ('[purposes.a]\nchannels = ["pigeon"]', "purposes.a.channels"),
        ('[purposes.a]\nchannels = ["code", "code"]', "Each at most once"),
        ('[purposes.a]\nchannels = ["call", "text_in"]', "[text_in]"),
        ('[purposes.a]\nsecond_step = "call"', "purposes.a.second_step"),
        ('[purposes.a]\nchannels = ["call", "code"]\nsecond_step = "code"', "it must not be in channels"),
        ("[purposes.a]\nmax_attempts = 11", "purposes.a.max_attempts"),
        ("[purposes.a]\nmax_sends = 0", "purposes.a.max_sends"),
        ("[purposes.a]\nresend_seconds = 0", "purposes.a.resend_seconds"),
        ("[text_in]\nnumbers = []", "text_in.numbers"),
        ('[text_in]\nnumbers = ["79585550000"]', "text_in.numbers.0"),
        ('[code.texts]\nen = "your code"', "Must hold {code} once"),
        ('[code.texts]\nen = "{code} {code}"', "Must hold {code} once"),
        ('[code.texts]\nen = "{code} {name}"', "Must hold {code} once"),
        ('[code.texts]\nen = "{code"', "Must hold {code} once"),
        (f'[code.texts]\nru = "{{code}} {"я" * 70}"', "70 characters"),
        (f'[code.texts]\nen = "{{code}} {"x" * 160}"', "160 characters"),
        ('[code.texts]\n"en_GB" = "{code}"', "Not a locale"),
        ('[code]\nsender = "Отправитель"', "code.sender"),
        ("[routing]\ndefault = []", "routing.default"),
        ('[routing]\ndefault = ["smsru", "smsru"]', "each at most once"),
        ('[routing]\ndefault = ["pigeon"]', "routing.default"),
        ('[routing.regions]\nRussia = ["smsc"]', "routing.regions"),
        ("[routing.regions]\nRU = []", "routing.regions"),
        ("[captcha]", "captcha.above"),
        ('[captcha]\nabove = ["often"]', "captcha.above"),
        ('[captcha]\nabove = ["1/h"]\nimage_url = "http://smsc.example/x"', "captcha.image_url"),
        (
            '[captcha]\nabove = ["1/h"]\nimage_url = "https://smsc.example:99999/x"',
            "captcha.image_url: Not a URL",
        ),
        ('[test_numbers."+12025550101"]', "test_numbers.+12025550101.outcome"),
        ('[test_numbers."+12025550101"]\noutcome = "canceled"', "test_numbers.+12025550101.outcome"),
        (
            '[test_numbers."+12025550101"]\noutcome = "failed"\ncode = "123456"',
            "test_numbers.+12025550101.code",
        ),
        (
            '[test_numbers."+12025550101"]\noutcome = "verified"\ncode = "12345"',
            "test_numbers.+12025550101.code",
        ),
        ('[test_numbers."+12025550101"]\noutcome = "verified"\ndelay_seconds = 901', "delay_seconds"),
        ('[test_numbers."12025550101"]\noutcome = "verified"', "Not a phone number in E.164 form"),
        (
            '[test_numbers]\n"+12025550101" = {outcome = "failed"}\n"+1 202 555-0101" = {outcome = "verified"}',
            "Name each number once",
        ),
        (
            '[purposes.a]\ntest_numbers = true\nchannels = ["code"]\n[test_numbers."+12025550101"]\noutcome = "verified"',
            "purposes.a sends codes: give one of 6 digits",
        ),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, wrong: str, named: str) -> None:
    with pytest.raises(ValidationError) as found:
        read(tmp_path, BASE + wrong + "\n")

    assert named in str(found.value)


def test_channels_and_what_they_need_are_read(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        BASE
        + """
[purposes.any]
channels = ["code", "text_in", "call"]
max_attempts = 3
max_sends = 2
resend_seconds = 60
[purposes.both]
second_step = "code"
[text_in]
numbers = ["+7 958 555-00-00"]
[code]
sender = "Example"
texts = {en = "{code} is it", "ru-KZ" = "{code} - код"}
[captcha]
above = ["100/h"]
""",
    )

    every, both = policy.purposes["any"], policy.purposes["both"]
    assert every.channels == (Channel.CODE, Channel.TEXT_IN, Channel.CALL)
    assert (every.max_attempts, every.max_sends, every.resend_seconds) == (3, 2, 60)
    assert (both.channels, both.second_step) == ((Channel.CALL,), Channel.CODE)
    assert [each.value for each in policy.text_in_numbers] == ["+79585550000"]
    assert (policy.code_sender, policy.code_texts["ru-KZ"]) == ("Example", "{code} - код")
    assert policy.captcha == CaptchaRule((Limit(100, 3600, Mode.RECORD_ONLY),), "")
    left_out = read(tmp_path, BASE)
    assert (left_out.captcha, left_out.text_in_numbers, list(left_out.code_texts)) == (None, (), ["en", "ru"])


def test_test_numbers_are_read(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        BASE
        + """
[purposes.both]
second_step = "code"
test_numbers = true
[test_numbers]
"+1 202 555-0101" = {outcome = "verified", delay_seconds = 0, code = "000123"}
"+12025550102" = {outcome = "expired"}
""",
    )
    assert policy.test_numbers == {
        E164("+12025550101"): FixedOutcome(Status.VERIFIED, 0, "000123"),
        E164("+12025550102"): FixedOutcome(Status.EXPIRED, 5),
    }
    assert [each.test_numbers for each in policy.purposes.values()] == [False, True]


def test_routes_are_read_in_their_order(tmp_path: Path) -> None:
    text = '[routing]\ndefault = ["smsru", "smsc"]\n[routing.regions]\nKZ = ["smsc"]\n'
    routing = read(tmp_path, BASE + text).routing
    assert routing.default == (Provider.SMSRU, Provider.SMSC)
    assert routing.regions == {"KZ": (Provider.SMSC,)}
    assert read(tmp_path, BASE).routing == Routes((Provider.SMSC,), {})
    assert read(tmp_path, BASE + '[routing.regions]\nRU = ["smsru"]\n').routing.default == (Provider.SMSC,)


def test_the_shipped_policy_is_sound_and_strict() -> None:
    policy = read_policy(str(Path(__file__).resolve().parents[3] / "config/policy.toml"))

    assert policy.purposes["password_reset"].min_assurance is Assurance.NETWORK
    assert policy.assurance["RU"].assurance is Assurance.NETWORK
    assert policy.clients["operator"].scopes == {Permission.OPERATE}
    assert all(budget.mode is Mode.RECORD_ONLY for budget in policy.conversion)


def test_webhooks_are_read(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        BASE
        + """
[clients.web.webhooks.main]
url = "https://login.example.org/waitcall"
[clients.web.webhooks.inside]
url = "http://login.svc:8080/hook"
events = ["verification.verified", "verification.contested"]
allow_private = true
""",
    )
    assert {each.name: each for each in policy.clients["web"].webhooks} == {
        "web/main": Endpoint("web/main", "https://login.example.org/waitcall", EVERY_EVENT),
        "web/inside": Endpoint(
            "web/inside",
            "http://login.svc:8080/hook",
            frozenset({"verification.verified", "verification.contested"}),
            allow_private=True,
        ),
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("", "url"),
        ('url = "ftp://login.example.org/"', "Must be a URL"),
        ('url = "https:///hook"', "Must be a URL"),
        ('url = "https://login.example.org:99999/"', "Not a URL"),
        ('url = "http://login.example.org/"', "allow_private"),
        ('url = "https://user:secret@login.example.org/"', "no credentials"),
        ('url = "https://login.example.org/#x"', "no fragment"),
        ('url = "https://login.example.org/"\nevents = []', "events"),
        ('url = "https://login.example.org/"\nevents = ["verification.started"]', "is no event"),
        ('url = "https://login.example.org/"\nallow_private = "yes"', "allow_private"),
        ('url = "https://login.example.org/"\nsecret = "whsec_"', "secret"),
    ],
)
def test_a_wrong_webhook_is_named(tmp_path: Path, wrong: str, named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read(tmp_path, f"{BASE}[clients.web.webhooks.main]\n{wrong}\n")
    (mistake,) = refused.value.messages
    assert "clients.web.webhooks.main" in mistake
    assert named in mistake
    assert "secret@" not in mistake


def test_limits_that_the_policy_leaves_out_have_defaults(tmp_path: Path) -> None:
    policy = read(tmp_path, BASE)
    assert policy.limits_of(Scope.NUMBER_TOTAL, "web") == (Limit(50, 600),)
    assert policy.limits_of(Scope.CODE_NUMBER, "web") == (Limit(5, 3600), Limit(10, 86400))
    assert policy.limits_of(Scope.FAILED_CHECKS, "web") == (Limit(20, 86400),)
    assert policy.limits_of(Scope.CODE_GLOBAL, "web") == ()


def test_the_limit_of_a_number_alone_follows_that_of_a_number_and_an_address(tmp_path: Path) -> None:
    follows = read(tmp_path, BASE + '[limits]\nnumber = ["3/m", "7/d record_only"]\n')
    assert follows.limits_of(Scope.NUMBER_TOTAL, "web") == (Limit(30, 60), Limit(70, 86400, Mode.RECORD_ONLY))
    given = read(tmp_path, BASE + '[limits]\nnumber = ["3/m"]\nnumber_total = ["9/m"]\nfailed_checks = []\n')
    assert given.limits_of(Scope.NUMBER_TOTAL, "web") == (Limit(9, 60),)
    assert given.limits_of(Scope.FAILED_CHECKS, "web") == ()
    assert read(tmp_path, BASE + "[limits]\nnumber = []\n").limits_of(Scope.NUMBER_TOTAL, "web") == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense =", "is not TOML"),
        ("", "dial_regions"),
        (POLICY.replace('["RU"]', "[]"), "dial_regions"),
        (POLICY.replace('["RU"]', '"RU"'), "dial_regions"),
        (POLICY.replace('["login"]', '["logout"]'), "clients.web.purposes: 'logout'"),
        (POLICY.replace('["login"]', "[]"), "clients.web.purposes"),
        (
            POLICY.replace("[clients.web]", '[clients.web]\ndefault_region = "XX"'),
            "clients.web.default_region",
        ),
        (POLICY.replace("[clients.web]", "[clients.web]\nscopes = []"), "clients.web.scopes"),
        (
            POLICY.replace("[purposes.login]", "[purposes.login]\nmax_window_seconds = 901"),
            "max_window_seconds",
        ),
        (
            POLICY.replace("[purposes.login]", "[purposes.login]\nmax_window_seconds = 60.0"),
            "max_window_seconds",
        ),
        (POLICY.replace("[purposes.login]", "[purposes.login]\ncooldown_seconds = true"), "cooldown_seconds"),
        (
            POLICY.replace("[purposes.login]", '[purposes.login]\nrequire_reference = "yes"'),
            "require_reference",
        ),
        (POLICY.replace("[purposes.login]", '[purposes.login]\non_concurrent = "share"'), "on_concurrent"),
        (
            POLICY.replace("[purposes.login]", '[purposes.login]\nnumber_types = ["satellite"]'),
            "number_types",
        ),
        (POLICY + '[limits]\nnumber = ["5 per minute"]', "limits.number"),
        (POLICY + '[limits]\nworld = ["5/m"]', "limits.world"),
        (POLICY.replace("[purposes.login]", '[purposes."Log In"]'), "purposes"),
    ],
)
def test_every_mistake_in_the_policy_is_named(
    sound: dict[str, str], policy_path: Path, text: str, named: str
) -> None:
    policy_path.write_text(text)

    assert named in "\n".join(mistakes_of(sound))


def test_limits_can_be_set_and_switched_off(sound: dict[str, str], policy_path: Path) -> None:
    policy_path.write_text(POLICY + '[limits]\nnumber = []\nglobal = ["100/h", "1000/d"]\n')
    limits = load_settings(sound).policy.limits

    assert limits[Scope.NUMBER] == ()
    assert limits[Scope.GLOBAL] == (Limit(100, 3600), Limit(1000, 86400))


ROOT = Path(__file__).resolve().parents[3]
SHIPPED = (ROOT / "config/policy.toml").read_text()
CODES = """
dial_regions = ["RU"]
[purposes.login]
channels = ["call", "code"]
regions = ["RU"]
[clients.web]
purposes = ["login"]
[limits]
ip = ["20/h"]
global = ["1000/h"]
"""


def told(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return list(policy_weaknesses(read_policy(str(path))))


def test_the_shipped_policy_has_no_weakness(tmp_path: Path) -> None:
    assert told(tmp_path, SHIPPED) == []
    assert not any(each.sends_codes for each in read_policy(str(tmp_path / "policy.toml")).purposes.values())


def test_the_commented_lines_for_codes_in_the_shipped_policy_are_safe(tmp_path: Path) -> None:
    """With the lines that are commented out there is no warning, and codes go to Russian numbers only."""
    with_codes = (
        SHIPPED.replace('channels = ["call"]\n', "")
        .replace('# channels = ["call", "code"]', 'channels = ["call", "code"]')
        .replace('# regions = ["RU"]', 'regions = ["RU"]')
        .replace('# second_step = "code"', 'second_step = "code"')
    )

    assert told(tmp_path, with_codes) == []
    purposes = read_policy(str(tmp_path / "policy.toml")).purposes
    assert purposes["login"].channels == (Channel.CALL, Channel.CODE)
    assert {each.regions for each in purposes.values()} == {frozenset({"RU"})}


def test_the_policy_of_the_examples_has_no_weakness(tmp_path: Path) -> None:
    text = (
        (ROOT / "examples/policy.toml")
        .read_text()
        .replace("WEBHOOKS", "http://127.0.0.1:8085")
        .replace("LOGIN", "http://127.0.0.1:8085")
    )
    assert told(tmp_path, text) == []


def test_a_limit_that_is_left_out_is_no_weakness(tmp_path: Path) -> None:
    calls = 'dial_regions = ["RU"]\n[purposes.login]\n[clients.web]\npurposes = ["login"]\n'
    assert told(tmp_path, CODES) == []
    assert told(tmp_path, calls) == []


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ('regions = ["RU"]\n[clients', "[clients", "purposes.login sends codes and names no regions"),
        ('ip = ["20/h"]', "", "limits.ip or limits.network"),
        ('ip = ["20/h"]', 'ip = ["20/h record_only"]', "limits.ip or limits.network"),
        ('ip = ["20/h"]', 'ip = ["20/h record_only"]', "limits.ip only records 20/h"),
        ('global = ["1000/h"]', "", "limits.country, limits.global or limits.code_global"),
        ('global = ["1000/h"]', "global = []", "limits.country, limits.global or limits.code_global"),
        ("[limits]", "[limits]\nnumber = []", "limits.number is switched off"),
        ("[limits]", "[limits]\nfailed_checks = []", "limits.failed_checks"),
        ("[limits]", "[limits]\ncode_number = []", "limits.code_number"),
        ("[limits]", '[limits]\ncountry = ["9/h record_only"]', "limits.country only records 9/h"),
        (
            "[limits]",
            '[clients.web.limits]\nread = ["9/s record_only"]\n[limits]',
            "clients.web.limits.read only records 9/s",
        ),
        (
            "[limits]",
            '[clients.web.webhooks.in]\nurl = "http://login.svc/x"\nallow_private = true\n[limits]',
            "webhook web/in uses http://",
        ),
        ('channels = ["call", "code"]\nregions = ["RU"]', 'second_step = "code"', "names no regions"),
    ],
)
def test_each_weakness_of_a_policy_is_named(tmp_path: Path, was: str, becomes: str, named: str) -> None:
    assert was in CODES
    assert [each for each in told(tmp_path, CODES.replace(was, becomes)) if named in each] != []


def test_test_numbers_are_named_at_every_start(tmp_path: Path) -> None:
    fictitious = CODES.replace("[limits]", '[test_numbers]\n"+12025550101" = {outcome = "failed"}\n[limits]')
    (unused,) = told(tmp_path, fictitious)
    assert "no purpose takes" in unused
    taken = fictitious.replace("[purposes.login]", "[purposes.login]\ntest_numbers = true")
    (warning,) = told(tmp_path, taken)
    assert warning == "purposes.login takes 1 test numbers: they are verified without a call or a code"
    warnings = told(tmp_path, taken.replace("+12025550101", "+79991234567"))
    assert len(warnings) == 2
    assert "test_numbers.+79*******67 may be a subscriber's" in warnings[1]
    assert "+79991234567" not in "".join(warnings)


@pytest.mark.parametrize(
    ("purposes", "warned"),
    [
        ("[purposes.password_reset]", True),
        ('[purposes.password_reset]\nmin_assurance = "asserted"', True),
        ('[purposes.password_reset]\nmin_assurance = "network"', False),
        ('[purposes.password_reset]\nmin_assurance = "roundtrip"', False),
        ('[purposes.signup]\nmin_assurance = "asserted"', False),
    ],
)
def test_a_loose_password_reset_is_a_weakness(
    sound: dict[str, str], policy_path: Path, purposes: str, warned: bool
) -> None:
    policy_path.write_text(POLICY + purposes)

    assert any("password_reset" in each for each in weaknesses(load_settings(sound))) is warned


OWN = '[routing]\ndefault = ["own"]\n[own_numbers]\n'


def test_own_numbers_have_their_dialects(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        BASE + OWN + 'sip = ["+74951234567"]\ntwilio = ["+7 958 555-12-34"]\ncooldown_seconds = 3600\n',
    )

    assert policy.own_numbers == OwnNumbers(
        {E164("+74951234567"): Dialect.SIP, E164("+79585551234"): Dialect.TWILIO}, cooldown_seconds=3600
    )


@pytest.mark.parametrize(
    ("tables", "mistake"),
    [
        ('[routing]\ndefault = ["own"]\n', "own_numbers: The routing names own: name its numbers."),
        (OWN, "own_numbers: The routing names own: name its numbers."),
        ('[own_numbers]\nsip = ["+74951234567"]\n', "own_numbers: No routing names own."),
        (OWN + 'sip = ["+74951234567", "+7 495 123-45-67"]\n', "own_numbers: Name each number once."),
        (OWN + 'sip = ["+74951234567"]\ntelnyx = ["+74951234567"]\n', "own_numbers: Name each number once."),
        (
            OWN + 'sip = ["+12125550123"]\n',
            "own_numbers: +12125550123 is not an ordinary number of a region in dial_regions.",
        ),
        (
            OWN + 'sip = ["+78091234567"]\n',
            "own_numbers: +78091234567 is not an ordinary number of a region in dial_regions.",
        ),
        (OWN + 'sip = ["2025550142"]\n', "own_numbers.sip.0: Not a phone number in E.164 form: 2025550142."),
        (OWN + 'sip = ["+74951234567"]\ncooldown_seconds = 60\n', "own_numbers.cooldown_seconds: Must be"),
        (OWN + 'vonage = ["+74951234567"]\n', "own_numbers.vonage: Unknown field."),
    ],
)
def test_own_numbers_that_cannot_serve_are_mistakes(tmp_path: Path, tables: str, mistake: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read(tmp_path, BASE + tables)

    (told,) = refused.value.messages
    assert mistake in told


RESET = """
dial_regions = ["RU"]
[purposes.password_reset]
min_assurance = "network"
channels = [{channels}]
[clients.web]
purposes = ["password_reset"]
[own_numbers]
sip = ["+74951234567"]
[routing]
{routes}
"""


@pytest.mark.parametrize(
    ("channels", "routes", "warned"),
    [
        ('"call"', 'default = ["own"]', True),
        ('"call"', 'regions = {RU = ["own"]}', True),
        ('"call"', 'default = ["smsc", "own"]', False),
        ('"call", "code"', 'default = ["own"]', False),
    ],
)
def test_a_purpose_that_only_signed_calls_can_finish_is_a_weakness(
    tmp_path: Path, channels: str, routes: str, *, warned: bool
) -> None:
    named = [
        each for each in told(tmp_path, RESET.format(channels=channels, routes=routes)) if "sign" in each
    ]
    assert [each.partition(" ")[0] for each in named] == ["purposes.password_reset"] * warned
