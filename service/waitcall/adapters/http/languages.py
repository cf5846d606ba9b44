"""BCP 47 language tags in requests.

langcodes caches every tag that it is asked about and never forgets one. So it is asked about a limited number of tags;
real ones are a few hundred.
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
"""Greatest distance of a match, as langcodes measures it: ``ru-KZ`` matches ``ru``, but ``sr`` does not."""

_valid: dict[str, bool] = {}


def is_tag(text: str) -> bool:
    """Tell whether ``text`` is a valid tag. After too many different tags only its syntax is checked."""
    if not _is_written(text):
        return False
    if text not in _valid and len(_valid) < MOST_TAGS:
        _valid[text] = tag_is_valid(text)
    return _valid.get(text, True)


def _is_written(text: str) -> bool:
    if len(text) > LONGEST_TAG:
        return False
    try:
        parse_tag(text)  # type: ignore[no-untyped-call]  # langcodes has no types here
    except LanguageTagError:
        return False
    return True


def wishes_in(accept_language: str) -> Iterator[str]:
    """Return the first ten tags of an ``Accept-Language`` header, the most preferred first."""
    first = accept_language[:_LONGEST_HEADER].split(",", MOST_WISHES)[:MOST_WISHES]
    return parse_accept_header(",".join(first), LanguageAccept).values()


class Nearest:
    """Finder of the nearest available language for a tag."""

    def __init__(self, languages: Collection[str]) -> None:
        self._languages = list(languages)
        self._found: dict[str, str] = {}

    def to(self, tag: str) -> str | None:
        """Return the nearest language; None if none is near. After too many different tags the first subtag decides."""
        if not _is_written(tag):
            return None
        if tag not in self._found and len(self._found) < MOST_TAGS:
            valid = tag_is_valid(tag)
            self._found[tag] = closest_match(tag, self._languages, max_distance=_FARTHEST)[0] if valid else ""
        found = self._found.get(tag, tag.partition("-")[0].lower())
        return found if found in self._languages else None
