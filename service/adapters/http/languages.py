"""BCP 47 language tags that strangers send.

langcodes never forgets a tag that it was asked about, so it is asked about so many of them and no more. The real ones are
some hundred.
"""

from collections.abc import Collection, Iterator

from langcodes import closest_match, tag_is_valid
from langcodes.tag_parser import LanguageTagError, parse_tag
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

LONGEST_TAG = 100
MOST_WISHES = 10
MOST_TAGS = 2000
_LONGEST_HEADER = 1000
_FARTHEST = 25
"""Distance as langcodes measures it: ``ru-KZ`` finds ``ru``, ``sr`` does not."""

_valid: dict[str, bool] = {}


def is_tag(text: str) -> bool:
    """Tell whether ``text`` is a valid tag; once langcodes was asked about too many, whether it is written like one."""
    if not _is_written(text):
        return False
    if text not in _valid and len(_valid) < MOST_TAGS:
        _valid[text] = tag_is_valid(text)
    return _valid.get(text, True)


def _is_written(text: str) -> bool:
    if len(text) > LONGEST_TAG:
        return False
    try:
        parse_tag(text)  # type: ignore[no-untyped-call]  # langcodes' own
    except LanguageTagError:
        return False
    return True


def wishes_in(accept_language: str) -> Iterator[str]:
    """The first ten tags of an ``Accept-Language`` header, the most wanted first."""
    first = accept_language[:_LONGEST_HEADER].split(",", MOST_WISHES)[:MOST_WISHES]
    return parse_accept_header(",".join(first), LanguageAccept).values()


class Nearest:
    """Finds which of some languages is nearest to a tag."""

    def __init__(self, languages: Collection[str]) -> None:
        self._languages = list(languages)
        self._found: dict[str, str] = {}

    def to(self, tag: str) -> str | None:
        """Find it; None where none is near. Once langcodes was asked about too many, the first subtag decides."""
        if not _is_written(tag):
            return None
        if tag not in self._found and len(self._found) < MOST_TAGS:
            valid = tag_is_valid(tag)
            self._found[tag] = closest_match(tag, self._languages, max_distance=_FARTHEST)[0] if valid else ""
        found = self._found.get(tag, tag.partition("-")[0].lower())
        return found if found in self._languages else None
