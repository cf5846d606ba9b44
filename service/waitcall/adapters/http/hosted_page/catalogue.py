"""Texts of the hosted page in TOML files, one for each language, and the choice of a visitor's language."""

import logging
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter

from waitcall.adapters.http.languages import Nearest, is_tag

FIRST = "en"

_log = logging.getLogger(__name__)

Texts = Mapping[str, str]


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
        self._nearest = Nearest(self._texts)

    @property
    def languages(self) -> list[tuple[str, str]]:
        """Tag and native name of each language."""
        return [(tag, texts["language"]) for tag, texts in self._texts.items()]

    def choose(self, wishes: Iterable[str | None]) -> tuple[str, Texts]:
        """Return the language, and its texts, of the first wish that is available; English if none is."""
        for wish in wishes:
            tag = self._nearest.to(wish) if wish else None
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
