"""The README is short, its badges are true, and the commands and files that it names exist."""

import re
from pathlib import Path

import pytest

from development import badges

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_WORDS = 900
MOST_LINES_OF_CODE = 30
MOST_BYTES_OF_THE_PICTURE = 400_000


def test_it_has_few_words_and_one_screen_of_code() -> None:
    assert len(README.split()) <= MOST_WORDS
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert max(block.count("\n") for block in blocks) <= MOST_LINES_OF_CODE


@pytest.mark.parametrize("file", sorted(badges.badges()))
def test_a_badge_shows_what_the_code_declares(file: str) -> None:
    assert (badges.FOLDER / file).read_text() == badges.badges()[file], "make badges"
    name, value = badges.facts()[file.removesuffix(".svg")]
    assert f"![{name[0].upper()}{name[1:]}: {value}](docs/badges/{file})" in README


def test_every_badge_is_one_of_these() -> None:
    assert {path.name for path in badges.FOLDER.iterdir()} == set(badges.badges())
    assert set(re.findall(r"docs/badges/([\w.]+)", README)) == set(badges.badges())


def test_the_oldest_and_newest_python_of_the_badge_are_classified() -> None:
    """The everyday tests run on the oldest, and `make newest-python` runs them on the newest."""
    classified = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert badges.facts()["python"][1] == f"{classified[0]} to {classified[-1]}"


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= targets


def test_every_file_exists() -> None:
    files = set(re.findall(r"(?:\]\(|src(?:set)?=\")([^)\"#]+)", README))
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []


def test_the_moving_picture_is_small() -> None:
    assert (ROOT / "docs/screenshots/journey.webp").stat().st_size <= MOST_BYTES_OF_THE_PICTURE
