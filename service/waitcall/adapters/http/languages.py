"""Languages: BCP 47 tags in requests, and the texts of the hosted page in TOML files, one for each language.

langcodes caches every tag that it is asked about and never forgets one. So it is asked about a limited number of tags;
real ones are a few hundred.
"""

import logging
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from string import Formatter

from langcodes import closest_match, tag_is_valid
from langcodes.tag_parser import LanguageTagError, parse_tag
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

FIRST = "en"
LONGEST_TAG = 100
MOST_WISHES = 10
MOST_TAGS = 2000
_LONGEST_HEADER = 1000
_FARTHEST = 25
"""Greatest distance of a match, as langcodes measures it: ``ru-KZ`` matches ``ru``, but ``sr`` does not."""

_log = logging.getLogger(__name__)
_valid: dict[str, bool] = {}

Texts = Mapping[str, str]


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


def accepted_languages(accept_language: str) -> Iterator[str]:
    """Return the first ten tags of an ``Accept-Language`` header, the most preferred first."""
    first = accept_language[:_LONGEST_HEADER].split(",", MOST_WISHES)[:MOST_WISHES]
    return parse_accept_header(",".join(first), LanguageAccept).values()


class LanguageMatcher:
    """Finder of the nearest available language for a tag."""

    def __init__(self, languages: Collection[str]) -> None:
        self._languages = list(languages)
        self._found: dict[str, str] = {}

    def match(self, tag: str) -> str | None:
        """Return the nearest language; None if none is near. After too many different tags the first subtag decides."""
        if not _is_written(tag):
            return None
        if tag not in self._found and len(self._found) < MOST_TAGS:
            valid = tag_is_valid(tag)
            self._found[tag] = closest_match(tag, self._languages, max_distance=_FARTHEST)[0] if valid else ""
        found = self._found.get(tag, tag.partition("-")[0].lower())
        return found if found in self._languages else None


class CatalogueMistake(Exception):
    """A file is not a valid catalogue. The message names the file and the mistake."""


class Catalogues:
    """Texts by language. A text that is missing in a language is replaced by the English one."""

    def __init__(self, directories: Iterable[Path]) -> None:
        """
        Args:
            directories: directories of ``TAG.toml`` files; files of a later directory replace those of an earlier one.

        Raises:
            CatalogueMistake
        """
        found = {path.stem: path for each in directories for path in sorted(each.glob("*.toml"))}
        english = _read(found[FIRST], None)
        self._texts = {FIRST: english} | {
            tag: {**english, **_read(path, english)} for tag, path in found.items() if tag != FIRST
        }
        self._matcher = LanguageMatcher(self._texts)

    @property
    def languages(self) -> list[tuple[str, str]]:
        """Tag and native name of each language."""
        return [(tag, texts["language"]) for tag, texts in self._texts.items()]

    def choose(self, wishes: Iterable[str | None]) -> tuple[str, Texts]:
        """Return the language, and its texts, of the first wish that is available; English if none is."""
        for wish in wishes:
            tag = self._matcher.match(wish) if wish else None
            if tag is not None:
                return tag, self._texts[tag]
        return FIRST, self._texts[FIRST]


def _read(path: Path, english: Texts | None) -> dict[str, str]:
    if not is_tag(path.stem):
        raise CatalogueMistake(f"{path.name}: the name is not a BCP 47 tag.")
    try:
        texts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueMistake(f"{path.name}: cannot be read: {error}.") from error
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            raise CatalogueMistake(f"{path.name}: {name} is not a text.")
        if english is not None and name not in english:
            raise CatalogueMistake(f"{path.name}: {name} is not a text of the page.")
        if english is not None and _filled_in(text, path) - _filled_in(english[name], path):
            raise CatalogueMistake(f"{path.name}: {name} has braces with an unknown name.")
    if english is not None and english.keys() - texts.keys():
        _log.warning(
            "catalogue lacks texts", extra={"catalogue": path.name, "count": len(english) - len(texts)}
        )
    return texts


def _filled_in(text: str, path: Path) -> set[str]:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise CatalogueMistake(f"{path.name}: unbalanced braces in {text[:20]!r}.") from error
    if any(form or conversion for _, _, form, conversion in pieces):
        raise CatalogueMistake(f"{path.name}: braces may hold only a name.")
    return {name for _, name, _, _ in pieces if name is not None}
