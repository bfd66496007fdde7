"""The commands by name, each with its module, which is loaded only when the command is called."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

__all__ = ["COMMANDS", "Command", "Commands", "example"]


class Command(NamedTuple):
    """A command that is not loaded yet."""

    place: str
    """``module:name``: a module of this folder, and its function or its group of commands."""

    summary: str
    """The command's line in the list of commands: the first sentences of the command's help."""

    example: str = ""
    """The example at the end of the command's help; empty for a group, whose module has the example."""


def example(arguments: str) -> str:
    """Returns the last line of a command's help: an example to copy.

    Example:
        >>> example("echo ORTHANC@127.0.0.1:4242")
        'Example: dcm-processor-service echo ORTHANC@127.0.0.1:4242'
    """
    return f"Example: dcm-processor-service {arguments}"


COMMANDS = {
    "run": Command(
        "run:run",
        "Run a callback, or a whole service, over a folder of scans, on this machine, without a server.",
        "run segment.py --dicom scans --param threshold=0.5",
    ),
    "new": Command(
        "service:new",
        "Make a service that runs: manifest, registry, callback, params, a test with fakes, README and AGENTS.md.",
        "new lung --template segmentation",
    ),
    "check": Command(
        "service:check",
        "Check a service before it is deployed, for all that the platform would drop, refuse or fail at.",
        "check lung --schema",
    ),
    "describe": Command(
        "describe:describe",
        "List the commands, what a callback can use, and the jobs and params of a service.",
        "describe lung --json",
    ),
    "shell": Command(
        "shell:shell",
        "Open Python on a session of a workspace, with the ctx and session that a callback of the job gets.",
        "shell --workspace dcm-workspace --job segment",
    ),
    "exec": Command(
        "execute:execute",
        "Run a callback as the job that the environment names, and print its result as one line of JSON.",
        "exec their_service.segment:run",
    ),
    "inspect": Command(
        "images:inspect",
        "Describe every series under a folder; writes a page with contact sheets, which opens without a network.",
        "inspect scans --html inspection.html",
    ),
    "convert": Command(
        "images:convert",
        "Convert every series under a folder to NIfTI; exits with 1 when some were refused.",
        "convert scans niftis --policy largest",
    ),
    "derive": Command(
        "objects:derive",
        "Turn a NIfTI file into DICOM, with the geometry of a series.",
        "derive mask.nii.gz --like scans/ct --out results --kind seg --segment liver=1",
    ),
    "pdf": Command(
        "objects:pdf",
        "Wrap a PDF as DICOM, with the identity of a series.",
        'pdf report.pdf --like scans/ct --out results --title "Liver volume"',
    ),
    "send": Command(
        "network.sending:send",
        "Send DICOM files to a peer by C-STORE, or by STOW-RS to a URL, and report on each.",
        "send results --to ORTHANC@127.0.0.1:4242 --associations 4",
    ),
    "commitment": Command(
        "network.commitments:commitment",
        "Wait for the answer to the storage commitment of send --commit-later, and write it to the same file.",
        "commitment kept.json --listen-port 11112",
    ),
    "find": Command(
        "network.retrieval:find",
        "List what a peer holds, by C-FIND or QIDO-RS; --json also prints the patient of each item.",
        "find ORTHANC@127.0.0.1:4242 --patient-id 4711 --study-date 20240101-",
    ),
    "fetch": Command(
        "network.retrieval:fetch",
        "Fetch studies as files, or some of their series with --modality or --series, and report on each instance.",
        "fetch ORTHANC@127.0.0.1:4242 --patient-id 4711 --modality CT --out priors",
    ),
    "echo": Command(
        "network.sending:echo",
        "Ask a peer whether it answers (C-ECHO).",
        "echo ORTHANC@127.0.0.1:4242",
    ),
    "probe": Command(
        "network.sending:probe",
        "Ask a peer which objects it accepts, in which transfer syntaxes, and propose values for its fields.",
        "probe ORTHANC@127.0.0.1:4242",
    ),
    "doctor": Command(
        "doctor:doctor",
        "List what this installation can do, and what to install for the rest.",
        "doctor --json",
    ),
    "pull": Command(
        "pull:pull",
        "Copy a session of the platform's database into a workspace, without the patient, to run its jobs there.",
        "pull 65f0c0ffee65f0c0ffee65f0 --from mongodb://localhost:27017/dcm-processor --workspace night",
    ),
    "sessions": Command("sessions:sessions", "List, explain, retry and sweep the platform's sessions that do not end."),
    "peers": Command("network.peers:peers", "List, ask and probe the DICOM peers that a store knows by name."),
}


class Commands(TyperGroup):
    """The group of all commands: its help shows their summaries, and a call loads only the command that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._unloaded = dict(COMMANDS)
        self._lists_all = False
        for name, command in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=command.summary)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns a command; loads its module first, unless the help lists all commands."""
        if cmd_name in self._unloaded and not self._lists_all:
            self.commands[cmd_name] = _loaded(cmd_name, self._unloaded.pop(cmd_name))
        return super().get_command(ctx, cmd_name)

    @override
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the list of all commands, without loading their modules."""
        self._lists_all = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._lists_all = False


def _loaded(name: str, command: Command) -> TyperCommand | TyperGroup:
    module, _, attribute = command.place.partition(":")
    found: Any = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
    made: Any
    if isinstance(found, typer.Typer):
        made = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name, epilog=example(command.example))(found)
        made = typer.main.get_command(alone)
    made.name = name
    return made  # type: ignore[no-any-return]
