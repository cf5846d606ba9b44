"""The page's texts: one TOML file per language, and which language a person gets."""

import logging
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter

from service.adapters.http.languages import Nearest, is_tag

FIRST = "en"

_log = logging.getLogger(__name__)

Texts = Mapping[str, str]


class CatalogueMistake(Exception):
    """A file that is no catalogue; says which, and why."""


class Catalogues:
    """Language → texts. Each has every text; what a file leaves out is English."""

    def __init__(self, directories: Iterable[Path]) -> None:
        """
        Args:
            directories: of ``TAG.toml`` files; a later one's win.

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
        """Tag and own name of each."""
        return [(tag, texts["language"]) for tag, texts in self._texts.items()]

    def choose(self, wishes: Iterable[str | None]) -> tuple[str, Texts]:
        """The language of the first wish that can be met; English where none can."""
        for wish in wishes:
            tag = self._nearest.to(wish) if wish else None
            if tag is not None:
                return tag, self._texts[tag]
        return FIRST, self._texts[FIRST]


def _read(path: Path, english: Texts | None) -> dict[str, str]:
    if not is_tag(path.stem):
        raise CatalogueMistake(f"{path.name}: named by no BCP 47 tag.")
    try:
        texts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueMistake(f"{path.name}: cannot be read: {error}.") from error
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            raise CatalogueMistake(f"{path.name}: {name} is no text.")
        if english is not None and name not in english:
            raise CatalogueMistake(f"{path.name}: {name} is no text of the page.")
        if english is not None and _filled_in(text, path) - _filled_in(english[name], path):
            raise CatalogueMistake(f"{path.name}: {name} holds braces that nothing fills.")
    if english is not None and english.keys() - texts.keys():
        _log.warning("texts missing", extra={"catalogue": path.name, "count": len(english) - len(texts)})
    return texts


def _filled_in(text: str, path: Path) -> set[str]:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise CatalogueMistake(f"{path.name}: a brace too many in {text[:20]!r}.") from error
    if any(form or conversion for _, _, form, conversion in pieces):
        raise CatalogueMistake(f"{path.name}: braces hold a name, and nothing else.")
    return {name for _, name, _, _ in pieces if name is not None}
