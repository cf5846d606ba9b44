"""Prefixes that show or hide the caller's number for one call, by the country and the kind of the number.

Sources:

- mobile networks: 3GPP TS 22.030, annex B (CLIR for a single call);
- North America: 47 CFR 64.1601(b), *67 and *82;
- Great Britain, Ireland: the operators' codes of fixed lines, 141 with 1470 and 141 with 142;
- Hong Kong: the regulator's guidelines on calling number display, 133 and 1357;
- Japan: NTT's codes of all networks, 184 and 186.

Fixed lines of other countries get no hint: in some of them ``*31#`` hides the number (Germany).
"""

from dataclasses import dataclass

from waitcall.domain.numbers import E164


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Prefixes to dial before the number."""

    show: str
    hide: str


_GSM = Prefixes("*31#", "#31#")
_ALL_NETWORKS = {"HK": Prefixes("1357", "133"), "JP": Prefixes("186", "184")}
_FIXED_LINES = {"GB": Prefixes("1470", "141"), "IE": Prefixes("142", "141")}


def prefixes_of(caller: E164) -> Prefixes | None:
    """Return the prefixes of a caller's network; None if they are unknown."""
    if caller.value.startswith("+1"):
        return Prefixes("*82", "*67")
    if caller.region in _ALL_NETWORKS:
        return _ALL_NETWORKS[caller.region]
    return _GSM if caller.number_type == "mobile" else _FIXED_LINES.get(caller.region)
