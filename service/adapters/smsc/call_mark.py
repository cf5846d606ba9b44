"""The mark of a call in the provider's inbox: a word at the beginning, which any text may begin with too."""

from service.domain.evidence import skeleton

_MARK = "[waitcall]"


def is_marked(text: str) -> bool:
    """Tell if the text of an inbox record begins with the mark of a call."""
    return text.strip().casefold().startswith(_MARK)


def resembles_mark(text: str) -> bool:
    """Tell if the inbox could list this text, as the handler received it, with the mark of a call.

    Looser than ``is_marked``: what stands around the letters may have been lost between charsets.
    """
    return skeleton(_MARK) in skeleton(text)
