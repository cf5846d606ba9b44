"""``waitcall doctor``: check the settings, Redis, the providers and the handlers, and show one table."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

import click
import urllib3

from waitcall.application.reconcile_inbox import LikeACall, like_calls
from waitcall.cli.console import ExitCode, as_json, examples, running, show_rows
from waitcall.composition.own_callbacks import sample_reports
from waitcall.composition.use_cases import CliContext
from waitcall.configuration.settings import weaknesses
from waitcall.domain.channel import Assurance, Dialect, Provider
from waitcall.domain.errors import RateLimited, ServiceError, StoreUnavailable
from waitcall.domain.numbers import may_be_dialled

_MOST_SKEW_SECONDS = 2.0
"""Greatest allowed difference between the clocks of replicas, in seconds (docs/deploy.md)."""
_SECONDS = 10.0
_REFUSED = 403
_MOST_RECORDS = 5
_CHECKS = (
    "run `waitcall verify YOUR-NUMBER`, call the number shown, then run `waitcall doctor`: the call must be listed with that number",
    "send the text `[waitcall] 1` to a number that was shown, and `[waitcall] 2` to each number of text_in",
    "a minute later run `waitcall doctor`: each of these texts must be absent, or be listed as a text that our handler got",
    "if all of this holds, set WAITCALL_INBOX_ASSURANCE=network: then a record of the inbox proves as much as a callback",
)


@dataclass(frozen=True)
class Finding:
    """Result of one check. ``state``: ok, warning or failure; ``note`` for something to do or to know."""

    check: str
    state: str
    found: str = field(repr=False)


@click.command(
    epilog=examples("waitcall doctor", "waitcall doctor --url https://your.host/callbacks/smsc --json")
)
@click.option(
    "--url",
    help="URL of the handler from outside: https://your.host/callbacks/smsc. The handlers of your own numbers (sip, twilio, "
    "telnyx) are checked too.",
)
@as_json
def doctor(*, url: str | None, json_wanted: bool) -> None:
    """Check settings, Redis, the provider and the handler. Exit 1 if one check fails.

    It also looks at the clock of Redis, and at SMSC's inbox and your dedicated numbers there. It sends a test report to the
    handler of each dialect of your own numbers. It prints the addresses to register.
    """
    with running() as context:
        findings = list(_findings(context, url))
    show_rows([asdict(each) for each in findings], ("check", "state", "found"), json_wanted=json_wanted)
    if any(each.state == "failure" for each in findings):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _findings(context: CliContext, url: str | None) -> Iterator[Finding]:
    settings = context.settings
    weak = [Finding("settings", "warning", each) for each in weaknesses(settings)]
    yield from weak or [Finding("settings", "ok", "sound")]
    yield from _guarded("redis", _redis(context))
    uses_smsc = Provider.SMSC in settings.policy.providers
    if uses_smsc:
        yield from _guarded("provider", _provider(context))
    if context.smsru is not None:
        yield from _guarded("smsru", _smsru(context))
    yield from _guarded("numbers", _numbers(context))
    if uses_smsc:
        yield from _guarded("inbox", _inbox(context), "warning")
    local = settings.local_callback_url if "callback" in settings.surfaces else None
    if local and uses_smsc:
        yield _handler("handler", local, b"OK")
    elif not url and not local:
        yield Finding("handler", "warning", "other processes serve callbacks: name the handler by --url")
    if url and uses_smsc:
        yield _handler("handler, from outside", url, b"OK")
    where = url or "https://YOUR.HOST/callbacks/smsc"
    # The secret itself must not appear in a terminal's history.
    address = f"{where}?charset=utf-8&{settings.callback_hash}=SECRET"
    if uses_smsc:
        yield Finding(
            "address to register", "note", f"{address} (SECRET: the first value of WAITCALL_CALLBACK_SECRETS)"
        )
    yield from _own_numbers(context, url or local)
    if context.smsru is not None:
        if local:
            yield _handler("handler for smsru", local.replace("/smsc", "/smsru"), b"100")
        yield Finding(
            "address to register at smsru", "note", where.replace("/callbacks/smsc", "/callbacks/smsru")
        )


def _own_numbers(context: CliContext, handler: str | None) -> Iterator[Finding]:
    """Send a report of a withheld call to each route of our own numbers. ``handler``: URL of a handler next to them."""
    for report in sample_reports(context.settings, context.core.clock()) if handler else ():
        url = f"{handler.rpartition('/')[0]}/{report.dialect}" if handler else ""
        check = f"handler for {report.dialect}"
        try:
            answer = urllib3.request(
                "POST",
                url,
                body=report.body,
                headers=report.headers,
                timeout=_SECONDS,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            yield Finding(check, "failure", f"{url}: {type(error).__name__}")
            continue
        expected = "refuses what is unsigned" if report.status == _REFUSED else "accepts our signature"
        state = "ok" if answer.status == report.status else "failure"
        yield Finding(check, state, f"{url}: {answer.status}{f', {expected}' if state == 'ok' else ''}")
    if Dialect.TWILIO in context.settings.policy.own_numbers.dialects.values():
        yield Finding("address to register at twilio", "note", context.settings.twilio_url)


def _guarded(check: str, findings: Iterator[Finding], state: str = "failure") -> Iterator[Finding]:
    try:
        yield from findings
    except StoreUnavailable as error:
        yield Finding(check, "failure", f"{error.code}: {error.cause or error.detail}")
    except RateLimited as error:
        # An earlier run within a minute asked the same, which says nothing about the provider.
        yield Finding(check, "warning", f"not checked; try again in {error.retry_after} s: {error.detail}")
    except ServiceError as error:
        yield Finding(check, state, f"{error.code}: {error.detail}")


def _redis(context: CliContext) -> Iterator[Finding]:
    examined = context.core.probe.examine()
    version = examined.version or "unknown"
    try:
        context.core.probe.ping()
    except StoreUnavailable as error:
        yield Finding("redis", "failure", f"reached, version {version}, refuses writes: {error.cause}")
    else:
        yield Finding("redis", "ok", f"reached, version {version}, accepts writes")
    skew = examined.ahead_seconds
    state = "ok" if abs(skew) <= _MOST_SKEW_SECONDS else "failure"
    yield Finding("clock", state, f"Redis' is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} ours")
    if examined.eviction not in ("", "noeviction"):
        yield Finding("eviction", "failure", f"maxmemory-policy is {examined.eviction}: records may vanish")


def _provider(context: CliContext) -> Iterator[Finding]:
    money, low = context.smsc.balance(), context.settings.low_balance
    yield Finding("provider", "ok", "our credentials are accepted")
    yield Finding("balance", "warning" if money < low else "ok", f"{money}, warning below {low}")


def _smsru(context: CliContext) -> Iterator[Finding]:
    if context.smsru is not None:
        money = context.smsru.balance()
        able = ", ".join(sorted(context.smsru.capabilities))
        yield Finding("smsru", "ok", f"our api_id is accepted; balance {money}; {able}")


def _numbers(context: CliContext) -> Iterator[Finding]:
    for each in context.account.numbers("doctor") if context.core.policy.text_in_numbers else ():
        if each.number in context.core.policy.text_in_numbers:
            state = "ok" if each.state == "rented" else "failure"
            yield Finding("dedicated number", state, f"{each.number.display}: {each.state.value}")


def _inbox(context: CliContext) -> Iterator[Finding]:
    policy = context.core.policy
    records = context.smsc.after(None)
    calls = like_calls(
        records,
        partial(may_be_dialled, dial_regions=policy.dial_regions),
        policy.text_in_numbers,
        context.core.used_calls.was_texted_by,
    )
    named = sum(each.may_be_shown for each in calls)
    texts = sum(each.is_text for each in calls)
    found = (
        f"records of the last hour: {len(records)}; that look like calls: {len(calls)}; of these, with a number that may be "
        f"shown: {named}; without: {len(calls) - named}; texts that our handler got: {texts}"
    )
    state = "warning" if calls and not named else "ok"
    yield Finding("inbox", state, "; ".join([found, *map(_told, calls[-_MOST_RECORDS:])]))
    limit = context.settings.inbox_assurance
    yield Finding("inbox proves", "ok", f"a call to the number shown, at most {limit}")
    if limit is Assurance.ASSERTED:
        for number, step in enumerate(_CHECKS, 1):
            yield Finding(f"to let it prove more, {number}", "note", step)


def _told(record: LikeACall) -> str:
    kind = "a text" if record.is_text else "no text known"
    return f"{record.caller} to {record.dialled or 'no number'} ({kind})"


def _handler(check: str, url: str, expected: bytes) -> Finding:
    try:
        # The provider checks the handler in the same way: by a GET without parameters.
        answer = urllib3.request("GET", url, timeout=_SECONDS, retries=False, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        return Finding(check, "failure", f"{url}: {type(error).__name__}")
    well = answer.status == 200 and answer.data.strip() == expected  # noqa: PLR2004  HTTP OK
    return Finding(check, "ok" if well else "failure", f"{url}: {answer.status}")
