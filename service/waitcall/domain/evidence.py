"""Assurance that each witness of a call can give (the table of docs/adr/0032)."""

from dataclasses import dataclass

from waitcall.domain.assurance import Assurance
from waitcall.domain.call import InboundCall, Witness
from waitcall.domain.numbers import E164


@dataclass(frozen=True, slots=True)
class InboxTrust:
    """The operator's trust in the provider's inbox.

    Attributes:
        text_numbers: our numbers that receive texts. A record of the inbox for one of them never counts as a call.
        at_most: highest assurance that a record can give. With ``NETWORK`` the caller's region alone decides.
    """

    text_numbers: frozenset[E164] = frozenset()
    at_most: Assurance = Assurance.ASSERTED


def skeleton(text: str) -> str:
    """Reduce a text to its ASCII letters and digits in lower case. No charset changes those on the way to us."""
    return "".join(each for each in text if each.isascii() and each.isalnum()).lower()


def proven_by(
    call: InboundCall, shown: E164 | None, assurance: Assurance, trust: InboxTrust
) -> Assurance | None:
    """Return the assurance that a call gives to the verification that showed ``shown``; None if it proves nothing.

    ``assurance`` is the highest assurance that a call from the caller's region can give.
    """
    match call.witness:
        case Witness.CALLBACK:
            return assurance
        case Witness.INBOX:
            # The sender of a text is easy to forge, and a text can begin like the inbox's record of a call.
            if call.texted or shown is None or call.dialled != shown.value or shown in trust.text_numbers:
                return None
            return assurance.at_most(trust.at_most)
