"""How often something may be started, written as text: ``5/10m`` is five in ten minutes."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network, ip_address

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TEXT = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})?([smhd])", re.ASCII)
_LONGEST_PERIOD = 31 * 86400


class Scope(StrEnum):
    """Whose creates a limit counts."""

    NUMBER = "number"
    CLIENT = "client"
    IP = "ip"
    COUNTRY = "country"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` in any ``period_seconds``."""

    count: int
    period_seconds: int

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read ``count/period``, for instance ``5/10m`` or ``1000/h``.

        Raises:
            ValueError: another form, or a period over 31 days.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("Not of the form count/period, for instance 5/10m.")
        count, number, unit = match.groups()
        period = int(number or 1) * _SECONDS[unit]
        if period > _LONGEST_PERIOD:
            raise ValueError("Periods end at 31d.")
        return cls(int(count), period)


@dataclass(frozen=True, slots=True)
class Spending:
    """One limit, and on whose account a create counts against it.

    Attributes:
        subject: what is counted, for instance the number; never leaves the process unhashed.
    """

    scope: Scope
    subject: str
    limit: Limit


def network_of(address: str) -> str:
    """What one subscriber of a network has: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, 64), strict=False))
