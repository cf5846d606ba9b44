"""Pieces of Markdown that the writers of docs/reference share."""

from collections.abc import Iterable, Mapping


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("  ", " ") for line in lines)


def entry(name: str, meaning: str, facts: Mapping[str, str], level: int = 3) -> str:
    """Entry of a reference page: a heading, which has an anchor and is found by search, the meaning, and the facts.

    Empty facts are left out.
    """
    told = " · ".join(f"**{fact}** {value}" for fact, value in facts.items() if value)
    return "\n\n".join(filter(None, (f"{'#' * level} `{name}`", meaning, told)))


def codes(words: Iterable[str]) -> str:
    """Words as code, separated by commas."""
    return ", ".join(f"`{each}`" for each in words)


def unit(name: str) -> str:
    """Unit of a value, by its name; empty where the name has none."""
    if name.endswith("_timestamp_seconds"):
        return "seconds since 1970"
    return "seconds" if name.endswith("_seconds") else ""
