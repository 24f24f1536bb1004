"""Every ``hanse`` command line in the documentation and in the command's own help is one that it accepts."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from hanse.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HELP_EXAMPLE = re.compile(r"\[bold\](hanse .*?)\[/\]", re.DOTALL)

COMMAND = typer.main.get_command(app)


def command_lines(page: Path) -> Iterator[str]:
    """Whole command lines: those in shell blocks."""
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.strip().removeprefix("$ ").removesuffix("&").strip()
            if command.startswith("hanse "):
                yield command


def mentions(page: Path) -> Iterator[str]:
    """Commands named in prose; they may leave out their arguments."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    yield from re.findall(r"`(hanse [^`\n]+)`", text)


def leaves(command: click.Command, path: tuple[str, ...] = ("hanse",)) -> Iterator[tuple[str, click.Command]]:
    """Every command with its path."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield " ".join(path), command


def split(line: str) -> tuple[click.Command, list[str]]:
    """The command that a line calls, and its arguments."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = COMMAND
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{line}: there is no {words[0]}"
        command = command.commands[words.pop(0)]
    return command, words


def check(line: str, *, whole: bool) -> None:
    """Fails unless the command takes these options and arguments, and all that it needs where it is whole."""
    command, words = split(line)
    if words == ["--help"]:
        return
    given, extra, _ = command.make_parser(click.Context(command)).parse_args(args=words)
    assert not extra, f"{line}: {extra} is too much"
    if whole:
        assert not isinstance(command, click.Group), f"{line} is not a whole command"
        for parameter in command.params:
            there = given.get(parameter.name or "")
            missing = not isinstance(there, str | tuple | list) and there is not True
            assert not (parameter.required and missing), f"{line}: {parameter.name} is missing"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_are_accepted(page: Path) -> None:
    for line in command_lines(page):
        check(line, whole=True)
    for line in mentions(page):
        check(line, whole=False)


def test_documentation_has_command_lines() -> None:
    assert sum(1 for page in PAGES for _ in command_lines(page)) > 3


@pytest.mark.parametrize(("path", "command"), list(leaves(COMMAND)), ids=str)
def test_help_has_an_example_that_is_accepted(path: str, command: click.Command) -> None:
    examples = HELP_EXAMPLE.findall(command.help or "")
    assert any(example.startswith(path) for example in examples), f"{path} --help shows no example"
    for example in examples:
        check(example, whole=True)


@pytest.mark.parametrize(
    "line",
    ["hanse nothing", "hanse audit verify --nothing", "hanse audit verify too much", "hanse agreement check"],
)
def test_wrong_command_lines_are_found(line: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        check(line, whole=True)
