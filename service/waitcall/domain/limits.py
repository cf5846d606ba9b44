"""Rate limits, and their written form: ``5/10m`` allows five uses in any ten minutes."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_TEXT = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})?([smhd])(?: (enforce|record_only))?", re.ASCII)
_LONGEST_PERIOD = 31 * 86400
TOTAL_FACTOR = 10
"""Ratio of the default limit of a number over all addresses to its limit from one address."""


class Scope(StrEnum):
    """Subject that an action is counted against (docs/limits.md)."""

    NUMBER = "number"
    """Creates for one number from one end user's address. Without an address, those of one client are counted."""
    NUMBER_TOTAL = "number_total"
    """Creates for one number from all requesters. A verification that is canceled or expires uncalled is not counted."""
    CODE_NUMBER = "code_number"
    """Codes sent to one number for all requesters."""
    CODE_GLOBAL = "code_global"
    """Codes sent to all numbers."""
    FAILED_CHECKS = "failed_checks"
    """Wrong codes typed for one number, over all of its verifications."""
    WRONG_NUMBERS = "wrong_numbers"
    """Calls from one number to another one of our own numbers than the one shown."""
    CLIENT = "client"
    IP = "ip"
    NETWORK = "network"
    COUNTRY = "country"
    GLOBAL = "global"
    READ = "read"
    CONSUME = "consume"
    CAPTCHA = "captcha"
    """Creates that send a code. Above this limit the visitor must solve a captcha."""
    PAGE = "page"
    """Long polls of hosted pages, per page and per address. The limit is fixed in code, not in the policy."""
    PROVIDER = "provider"
    """Orders placed at the provider for one number. The limit is fixed in code, and a use is never given back."""


class Mode(StrEnum):
    """Action of a limit or a guard that is exceeded."""

    ENFORCE = "enforce"
    RECORD_ONLY = "record_only"


class Decision(StrEnum):
    """Decision of a limit or a guard about one action."""

    ALLOW = "allow"
    DENY = "deny"
    WOULD_DENY = "would_deny"
    """The limit is exceeded, but its mode is ``record_only``."""

    @classmethod
    def of(cls, mode: Mode, *, exceeded: bool) -> "Decision":
        """Return the decision for a limit or a guard with this mode."""
        if not exceeded:
            return cls.ALLOW
        return cls.DENY if mode is Mode.ENFORCE else cls.WOULD_DENY


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of ``count`` uses in any ``period_seconds``."""

    count: int
    period_seconds: int
    mode: Mode = Mode.ENFORCE

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read ``count/period``, for instance ``5/10m``, ``1000/h`` or ``5/10m record_only``.

        Raises:
            ValueError: the text has another form, or the period is over 31 days.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("Not of the form count/period, for instance 5/10m or 5/10m record_only.")
        count, number, unit, mode = match.groups()
        period = int(number or 1) * _SECONDS[unit]
        if period > _LONGEST_PERIOD:
            raise ValueError("The longest period is 31d.")
        return cls(int(count), period, Mode(mode or Mode.ENFORCE))

    @property
    def text(self) -> str:
        """The limit as ``count/period``, in the largest unit that divides the period."""
        unit = next(unit for unit, length in _SECONDS.items() if self.period_seconds % length == 0)
        number = self.period_seconds // _SECONDS[unit]
        return f"{self.count}/{number if number > 1 else ''}{unit}"


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """A limit together with the subject whose uses it counts.

    Attributes:
        subject: for instance the phone number; it never leaves the process unhashed.
        seal: the subject's keyed hash, where only the hash was stored; ``subject`` is then meaningless.
    """

    scope: Scope
    subject: str = field(repr=False)
    limit: Limit
    seal: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LimitState:
    """Current state of a limit for one subject.

    Attributes:
        used: uses inside the period.
        reset_seconds: whole seconds until the oldest use leaves the period; 0 without any use.
    """

    scope: Scope
    limit: Limit
    used: int
    reset_seconds: int

    @property
    def remaining(self) -> int:
        """Number of further uses that would be allowed now."""
        return max(self.limit.count - self.used, 0)


@dataclass(frozen=True, slots=True)
class LimitResult:
    """Result of counting one action against its limits.

    Attributes:
        states: state of each limit that was checked, in order. It includes the action, if the action was counted.
        exceeded: the limits that were used up. If one of them enforces, the action was counted nowhere.
    """

    states: tuple[LimitState, ...] = ()
    exceeded: tuple[LimitState, ...] = ()

    @property
    def refusal(self) -> LimitState | None:
        """The limit that refuses the action; None if the action is allowed."""
        return next((state for state in self.exceeded if state.limit.mode is Mode.ENFORCE), None)


def total_of(limit: Limit) -> Limit:
    """Return the default limit of a number over all addresses, for a given limit from one address."""
    return replace(limit, count=limit.count * TOTAL_FACTOR)


def address_of(address: str) -> str:
    """Return the network that one subscriber has: the IPv4 address itself, or the /64 around an IPv6 address."""
    parsed = plain_address(address)
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)


def network_of(address: str) -> str:
    """Return the network around an address: the /24 for IPv4, the /48 of a site for IPv6."""
    parsed = plain_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 48), strict=False))
    return str(IPv4Network((parsed, 24), strict=False))


def plain_address(address: str) -> IPv4Address | IPv6Address:
    """Parse an address. An IPv4-mapped IPv6 address gives the IPv4 address (RFC 4291, 2.5.5.2).

    Raises:
        ValueError: not an address, or an address with a zone, which is meaningful on one machine only.
    """
    parsed = ip_address(address.replace("%", "?"))
    return getattr(parsed, "ipv4_mapped", None) or parsed
