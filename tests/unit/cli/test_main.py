"""Help of the commands, and the page that is made from it."""

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from waitcall.cli import main

JSON_LINES = {"audit export", "events dead"}
RUN_FOR_EVER = {"serve", "worker"}


def paths(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    yield above.strip(), group
    for name, each in group.commands.items():
        if isinstance(each, click.Group):
            yield from paths(each, f"{above} {name}")
        else:
            yield f"{above} {name}".strip(), each


COMMANDS = {path: each for path, each in paths(main) if not isinstance(each, click.Group)}
GROUPS = [path for path, each in paths(main) if isinstance(each, click.Group)]


def said(path: str) -> str:
    told = CliRunner().invoke(main, [*path.split(), "--help"], env={"COLUMNS": "80"}, terminal_width=80)
    assert told.exit_code == 0
    return told.output


@pytest.mark.parametrize("path", GROUPS)
def test_no_summary_is_cut_in_80_columns(path: str) -> None:
    assert "..." not in said(path).replace("COMMAND [ARGS]...", "")


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_examples_that_the_command_understands(path: str) -> None:
    """A mistake in an option's name is told before anything is done, so only the parsing is tried."""
    lines = said(path).split("Examples:\n")[1].splitlines()

    assert lines
    for line in lines:
        assert len(line) <= 80
        words = shlex.split(line.split("<")[0].split(">")[0])
        words = words[words.index("waitcall") + 1 :]
        if "|" in words:
            words = words[: words.index("|")]
        depth = len(path.split())
        assert words[:depth] == path.split()
        arguments = [each.replace("report-42.csv", __file__) for each in words[depth:]]
        COMMANDS[path].make_context(path, arguments)


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - JSON_LINES - RUN_FOR_EVER))
def test_every_command_that_prints_data_takes_json(path: str) -> None:
    assert "--json" in said(path)
