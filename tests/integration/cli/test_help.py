"""The help of each command ends with an example that the command understands."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from dcm_processor_service.cli.app import app
from dcm_processor_service.cli.commands import COMMANDS as LISTED
from tests.command_line import run_here, run_process

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "dcm-processor-service"


def commands(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in tuple(group.commands):
        command = group.get_command(None, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*names, name))
        else:
            yield (*names, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_shows_an_example_that_it_understands(names: tuple[str, ...]) -> None:
    shown = " ".join(run_here(*names, "--help").stdout.split())
    (line,) = re.findall(rf"Example: ({PROGRAM} .*)$", shown)
    program, *arguments = shlex.split(line)
    assert (program, tuple(arguments[: len(names)])) == (PROGRAM, names)
    understood = COMMANDS[names].make_context(names[-1], arguments[len(names) :])
    assert any(value for value in understood.params.values())


@pytest.mark.parametrize("name", LISTED)
def test_the_help_of_all_says_of_a_command_what_its_own_help_begins_with(name: str) -> None:
    command = typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]
    assert " ".join(command.help.split("\n\n")[0].split()) == LISTED[name].summary


def test_the_help_of_pull_says_where_a_password_is_not_seen() -> None:
    (source,) = (one for one in COMMANDS["pull",].params if "--from" in one.opts)
    assert "list of processes" in source.help
    assert "DCM_PROCESSOR_SERVICE_DB_URL_FILE" in source.help


def test_every_command_of_the_readme_is_there() -> None:
    known = (
        "new check describe run shell exec inspect convert derive pdf send commitment find fetch echo probe peers pull "
        "sessions doctor"
    )
    assert {names[0] for names in COMMANDS} == {*known.split()}


def test_the_version_is_that_of_the_installation() -> None:
    ran = run_process("--version")
    assert (ran.code, ran.stdout) == (0, f"{PROGRAM} {version(PROGRAM)}\n")
