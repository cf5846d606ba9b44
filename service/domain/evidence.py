"""The table of docs/adr/0032 as code: how much each witness of a call may prove."""

from dataclasses import dataclass

from service.domain.assurance import Assurance
from service.domain.call import InboundCall, Witness
from service.domain.numbers import E164


@dataclass(frozen=True, slots=True)
class InboxTrust:
    """The operator's trust in the provider's inbox.

    Attributes:
        text_numbers: our numbers that receive texts. Nothing that reached one of them is taken for a call.
        at_most: the most that a record can prove. ``NETWORK`` leaves what the caller's region gives.
    """

    text_numbers: frozenset[E164] = frozenset()
    at_most: Assurance = Assurance.ASSERTED


def skeleton(text: str) -> str:
    """Reduce a text to its ASCII letters and digits in lower case, which no charset on its way to us changes."""
    return "".join(each for each in text if each.isascii() and each.isalnum()).lower()


def proven_by(
    call: InboundCall, shown: E164 | None, assurance: Assurance, trust: InboxTrust
) -> Assurance | None:
    """Return the assurance that a call gives to the verification that showed ``shown``; None if it proves nothing.

    ``assurance`` is the most that a call from this number proves, by its region.
    """
    match call.witness:
        case Witness.CALLBACK:
            return assurance
        case Witness.INBOX:
            # Anybody can forge the sender of a text, and a text can begin like a record of a call.
            if call.texted or shown is None or call.dialled != shown.value or shown in trust.text_numbers:
                return None
            return assurance.at_most(trust.at_most)
