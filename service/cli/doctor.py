"""``waitcall doctor``: everything that can be checked from here, in one table."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click
import urllib3

from service.bootstrap.desk import Desk, build_desk
from service.cli.environment import running
from service.cli.tables import as_json, show_rows
from service.domain.errors import ServiceError, StoreUnavailable
from service.domain.policy import Provider
from service.settings import weaknesses

_MOST_SKEW_SECONDS = 2.0
"""Clocks of replicas must agree that well (README.md, Deploy)."""
_SECONDS = 10.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``state``: ok, warning or failure."""

    check: str
    state: str
    found: str


@click.command()
@click.option("--url", help="The handler as the provider reaches it: https://your.host/callbacks/smsc.")
@as_json
def doctor(*, url: str | None, json_wanted: bool) -> None:
    """Check settings, Redis and its clock, the provider's credentials, the handler. Exit 1 where one fails."""
    with running(build_desk) as desk:
        findings = list(_findings(desk, url))
    show_rows([asdict(each) for each in findings], ("check", "state", "found"), json_wanted=json_wanted)
    if any(each.state == "failure" for each in findings):
        raise click.exceptions.Exit(1)


def _findings(desk: Desk, url: str | None) -> Iterator[Finding]:
    settings = desk.settings
    weak = list(weaknesses(settings))
    yield Finding("settings", "warning" if weak else "ok", "; ".join(weak) or "sound")
    yield from _guarded("redis", lambda: _redis(desk))
    if Provider.SMSC in settings.policy.providers:
        yield from _guarded("provider", lambda: _provider(desk))
    if desk.smsru is not None:
        yield from _guarded("smsru", lambda: _smsru(desk))
    yield from _guarded("numbers", lambda: _numbers(desk))
    local = f"http://{settings.callback_bind}/callbacks/smsc"
    yield _handler("handler", local, b"OK")
    if url:
        yield _handler("handler, from outside", url, b"OK")
    where = url or "https://YOUR.HOST/callbacks/smsc"
    # The secret itself is not for a terminal's history.
    address = f"{where}?charset=utf-8&{settings.callback_hash}=SECRET"
    yield Finding("address to register", "ok", f"{address} (SECRET: the first of WAITCALL_CALLBACK_SECRETS)")
    if desk.smsru is not None:
        yield _handler("handler for smsru", local.replace("/smsc", "/smsru"), b"100")
        yield Finding(
            "address to register at smsru", "ok", where.replace("/callbacks/smsc", "/callbacks/smsru")
        )


def _guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except StoreUnavailable as error:
        yield Finding(check, "failure", f"{error.code}: {error.cause or error.detail}")
    except ServiceError as error:
        yield Finding(check, "failure", f"{error.code}: {error.detail}")


def _redis(desk: Desk) -> Iterator[Finding]:
    examined = desk.examine()
    version = examined.version or "not told to us"
    try:
        desk.core.store.ping()
    except StoreUnavailable as error:
        yield Finding("redis", "failure", f"reached, version {version}, takes no write: {error.cause}")
    else:
        yield Finding("redis", "ok", f"reached, version {version}, takes writes")
    skew = examined.ahead_seconds
    state = "ok" if abs(skew) <= _MOST_SKEW_SECONDS else "failure"
    yield Finding("clock", state, f"Redis' is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} ours")
    if examined.eviction not in ("", "noeviction"):
        yield Finding("eviction", "failure", f"maxmemory-policy is {examined.eviction}: records may vanish")


def _provider(desk: Desk) -> Iterator[Finding]:
    money, low = desk.balance.balance(), desk.settings.low_balance
    yield Finding("provider", "ok", "our credentials are taken")
    yield Finding("balance", "warning" if money < low else "ok", f"{money}, low below {low}")


def _smsru(desk: Desk) -> Iterator[Finding]:
    if desk.smsru is not None:
        money = desk.smsru.balance()
        able = ", ".join(sorted(desk.smsru.capabilities))
        yield Finding("smsru", "ok", f"our api_id is taken; balance {money}; {able}")


def _numbers(desk: Desk) -> Iterator[Finding]:
    for each in desk.account.numbers("doctor") if desk.core.policy.text_in_numbers else ():
        if each.number in desk.core.policy.text_in_numbers:
            state = "ok" if each.state == "rented" else "failure"
            yield Finding("dedicated number", state, f"{each.number.display}: {each.state.value}")


def _handler(check: str, url: str, expected: bytes) -> Finding:
    try:
        # The provider's own reachability check: a bare GET.
        answer = urllib3.request("GET", url, timeout=_SECONDS, retries=False, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        return Finding(check, "failure", f"{url}: {type(error).__name__}")
    well = answer.status == 200 and answer.data.strip() == expected  # noqa: PLR2004  HTTP OK
    return Finding(check, "ok" if well else "failure", f"{url}: {answer.status}")
