"""Loosenings: what settings and policy allow and should not. A start names each in a sentence; what is shipped has none."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from waitcall.configuration.settings import Settings
from waitcall.domain.channel import Assurance
from waitcall.domain.limits import Mode, Scope
from waitcall.domain.policy import Policy

PASSWORD_RESET = "password_reset"  # noqa: S105  # nosec B105  # a purpose, no password


def weaknesses(settings: Settings) -> Iterator[str]:
    """Name every loosening of the settings and their policy, a sentence each."""
    if settings.callback_hash == "crc32":
        yield "WAITCALL_CALLBACK_HASH=crc32 is forgeable: use sha1 or md5"
    if settings.inbox_assurance is not Assurance.ASSERTED:
        yield (
            f"WAITCALL_INBOX_ASSURANCE={settings.inbox_assurance.value}: a forged text may prove as much as a call, "
            "unless this account's records were checked (waitcall doctor)"
        )
    yield from policy_weaknesses(settings.policy)


def policy_weaknesses(policy: Policy) -> Iterator[str]:
    """Name every loosening of a policy, a sentence each."""
    yield from _weak_reset(policy)
    yield from _weak_limits(policy)
    yield from _dear_codes(policy)
    yield from _plain_webhooks(policy)


def _weak_reset(policy: Policy) -> Iterator[str]:
    reset = policy.purposes.get(PASSWORD_RESET)
    if reset is not None and not reset.min_assurance.reaches(Assurance.NETWORK):
        level = reset.min_assurance.value
        yield f"purposes.password_reset.min_assurance is {level}: whoever forges a caller ID resets a password"


def _weak_limits(policy: Policy) -> Iterator[str]:
    if not policy.limits.get(Scope.NUMBER):
        yield "limits.number is switched off: one visitor can start verifications of a number without end"
    named = {"limits": policy.limits} | {
        f"clients.{name}.limits": client.limits for name, client in policy.clients.items()
    }
    for table, limits in named.items():
        for scope, each in limits.items():
            watching = [limit.text for limit in each if limit.mode is Mode.RECORD_ONLY]
            if watching:
                yield f"{table}.{scope} only records {', '.join(watching)}: it refuses nobody"


def _dear_codes(policy: Policy) -> Iterator[str]:
    """Codes cost money, and an attacker can be paid for them."""
    sending = [purpose for purpose in policy.purposes.values() if purpose.sends_codes]
    for purpose in sending:
        if not purpose.regions:
            yield f"purposes.{purpose.name} sends codes and names no regions: messages abroad are the dearest"
    if not sending:
        return
    needed = {
        "limits.ip or limits.network": (Scope.IP, Scope.NETWORK),
        "limits.country, limits.global or limits.code_global": (
            Scope.COUNTRY,
            Scope.GLOBAL,
            Scope.CODE_GLOBAL,
        ),
        "limits.code_number": (Scope.CODE_NUMBER,),
        "limits.failed_checks": (Scope.FAILED_CHECKS,),
    }
    for names, scopes in needed.items():
        if not any(limit.mode is Mode.ENFORCE for scope in scopes for limit in policy.limits.get(scope, ())):
            yield f"codes are sent without an enforced {names}"


def _plain_webhooks(policy: Policy) -> Iterator[str]:
    for endpoint in (each for client in policy.clients.values() for each in client.webhooks):
        parts = urlsplit(endpoint.url)
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            yield f"webhook {endpoint.name} goes over http://: whoever listens on the way reads it"
