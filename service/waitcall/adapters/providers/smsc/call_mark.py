"""The mark of a call in the provider's inbox: a word at its beginning. Any text message may begin with it, too."""

from waitcall.domain.matching import skeleton

_MARK = "[waitcall]"


def is_marked(text: str) -> bool:
    """Tell whether the text of an inbox record begins with the mark of a call."""
    return text.strip().casefold().startswith(_MARK)


def resembles_mark(text: str) -> bool:
    """Tell whether the inbox could list this text, as the handler received it, with the mark of a call.

    This check is looser than ``is_marked``, because the characters around the letters may differ between charsets.
    """
    return skeleton(_MARK) in skeleton(text)
