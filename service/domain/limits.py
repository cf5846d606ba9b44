"""How often something may be done, written as text: ``5/10m`` is five in ten minutes."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_TEXT = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})?([smhd])(?: (enforce|record_only))?", re.ASCII)
_LONGEST_PERIOD = 31 * 86400
TOTAL_FACTOR = 10
"""How far the limit of a number alone lies above that of a number and one address."""


class Scope(StrEnum):
    """Who pays for an act (docs/limits.md)."""

    NUMBER = "number"
    """A number, as asked for from one address; by one client, where it names no address."""
    NUMBER_TOTAL = "number_total"
    """A number alone, whoever asks; what is canceled or expires uncalled is given back."""
    CODE_NUMBER = "code_number"
    """Codes sent to a number, whoever asks."""
    CODE_GLOBAL = "code_global"
    """Codes sent in all."""
    FAILED_CHECKS = "failed_checks"
    """Wrong codes typed for a number, over all of its verifications."""
    CLIENT = "client"
    IP = "ip"
    NETWORK = "network"
    COUNTRY = "country"
    GLOBAL = "global"
    READ = "read"
    CONSUME = "consume"
    CAPTCHA = "captcha"
    """Creates that send a code; beyond it a visitor must solve a picture."""
    PAGE = "page"
    """Polls of hosted pages that wait, by page and by address; set by the code, as the next."""
    PROVIDER = "provider"
    """Orders for one number; set by the code, not by the policy, and never given back."""


class Mode(StrEnum):
    """What a limit or a guard does where it is exceeded."""

    ENFORCE = "enforce"
    RECORD_ONLY = "record_only"


class Decision(StrEnum):
    """What a limit or a guard said."""

    ALLOW = "allow"
    DENY = "deny"
    WOULD_DENY = "would_deny"
    """Exceeded, but only recorded."""

    @classmethod
    def of(cls, mode: Mode, *, exceeded: bool) -> "Decision":
        """By the mode."""
        if not exceeded:
            return cls.ALLOW
        return cls.DENY if mode is Mode.ENFORCE else cls.WOULD_DENY


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` in any ``period_seconds``."""

    count: int
    period_seconds: int
    mode: Mode = Mode.ENFORCE

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read ``count/period``, for instance ``5/10m``, ``1000/h`` or ``5/10m record_only``.

        Raises:
            ValueError: another form, or a period over 31 days.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("Not of the form count/period, for instance 5/10m or 5/10m record_only.")
        count, number, unit, mode = match.groups()
        period = int(number or 1) * _SECONDS[unit]
        if period > _LONGEST_PERIOD:
            raise ValueError("Periods end at 31d.")
        return cls(int(count), period, Mode(mode or Mode.ENFORCE))

    @property
    def text(self) -> str:
        """``count/period`` in the largest unit that fits."""
        unit = next(unit for unit, length in _SECONDS.items() if self.period_seconds % length == 0)
        number = self.period_seconds // _SECONDS[unit]
        return f"{self.count}/{number if number > 1 else ''}{unit}"


@dataclass(frozen=True, slots=True)
class Spending:
    """One limit, and on whose account an act counts against it.

    Attributes:
        subject: what is counted, for instance the number; never leaves the process unhashed.
        seal: the subject's keyed hash, where only that was kept; then ``subject`` says nothing.
    """

    scope: Scope
    subject: str = field(repr=False)
    limit: Limit
    seal: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LimitState:
    """How a limit stands.

    Attributes:
        used: acts that count now.
        reset_seconds: whole seconds until the oldest of them counts no longer; 0 where there is none.
    """

    scope: Scope
    limit: Limit
    used: int
    reset_seconds: int

    @property
    def remaining(self) -> int:
        """How many more would pass now."""
        return max(self.limit.count - self.used, 0)


@dataclass(frozen=True, slots=True)
class Spent:
    """What became of counting one act.

    Attributes:
        states: of each limit that was asked, in order, the act itself included where it counted.
        exceeded: those of them that had nothing left. Where one enforces, nothing was counted.
    """

    states: tuple[LimitState, ...] = ()
    exceeded: tuple[LimitState, ...] = ()

    @property
    def refusal(self) -> LimitState | None:
        """The limit that refuses the act; None where it may go on."""
        return next((state for state in self.exceeded if state.limit.mode is Mode.ENFORCE), None)


def total_of(limit: Limit) -> Limit:
    """The limit of a number alone that follows from that of a number and one address."""
    return replace(limit, count=limit.count * TOTAL_FACTOR)


def address_of(address: str) -> str:
    """What one subscriber has: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = plain_address(address)
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)


def network_of(address: str) -> str:
    """The neighbourhood of an address: its /24, or the /48 that an IPv6 site is given."""
    parsed = plain_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 48), strict=False))
    return str(IPv4Network((parsed, 24), strict=False))


def plain_address(address: str) -> IPv4Address | IPv6Address:
    """The address itself, also where IPv6 carries an IPv4 one (RFC 4291, 2.5.5.2).

    Raises:
        ValueError: no address, or one with a zone, which means something on one machine only.
    """
    parsed = ip_address(address.replace("%", "?"))
    return getattr(parsed, "ipv4_mapped", None) or parsed
