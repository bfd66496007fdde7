"""``pull``: copies a session of the platform's database into a workspace, without the patient's identity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import unquote, urlsplit

import typer

from dcm_processor_service.cli.console import (
    error_console,
    output_console,
    print_json_line,
    progress_bar,
    sentences,
)
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from dcm_processor_service.local.pulling.pull import PullOptions, pull_session
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.models.counts import counted
from dcm_processor_service.models.platform_ids import NO_ID
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from dcm_processor_service.local.pulling.confidentiality_profile import Kept
    from dcm_processor_service.local.pulling.report import PullReport

__all__ = ["pull"]

_KEPT = ("characteristics", "descriptions")


def pull(
    session: Annotated[str, typer.Argument(help="Id of the session, as sessions list shows it")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="mongodb://HOST:PORT/DATABASE of the platform; if left out, the environment names it. The list "
            "of processes shows a password in this option: set DCM_PROCESSOR_SERVICE_DB_URL instead, or "
            "DCM_PROCESSOR_SERVICE_DB_URL_FILE to a file that holds the URL",
        ),
    ] = "",
    workspace: Annotated[Path, typer.Option(help="Folder that the session is copied into: new, or empty")] = Path(
        "dcm-workspace"
    ),
    only_headers: Annotated[bool, typer.Option("--only-headers", help="Copy no pixels")] = False,
    with_files: Annotated[
        bool,
        typer.Option("--with-files", help="Also copy files that are neither text nor DICOM, unchanged"),
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Keep characteristics (age, sex, size, weight) or descriptions (cleaned); may be repeated"),
    ] = None,
    identified: Annotated[
        bool, typer.Option("--identified", help="Copy everything as it is, with the patient's identity")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON")] = False,
) -> None:
    """Copy a session of the platform's database into a workspace, without the patient, to run its jobs there.

    Headers are cleaned by the Basic Application Confidentiality Profile of DICOM, PS3.15 annex E; each UID is
    replaced by the same new UID everywhere, all dates are moved by the same number of days. Pixels stay as they are,
    with any text in them: the command lists the series whose pictures may show text. It only reads the platform's
    database. After that, the command "run CODE --workspace FOLDER", without --dicom, runs a job as the platform did.
    """
    with sentences("--from" if source else ""):
        options = PullOptions(identified, only_headers, with_files, _parse_kept(keep or []))
        settings = _settings(source)
        with progress_bar(error_console()) as progress:
            task = progress.add_task("bringing instances", total=None)
            report = pull_session(
                session,
                Workspace(workspace),
                settings,
                options,
                lambda total: progress.update(task, total=total, advance=1),
            )
    if as_json:
        print_json_line(report.model_dump(mode="json"))
    else:
        _print(report)
    _warn(report)
    raise typer.Exit(EXIT_FAILED if report.faulty else EXIT_DONE)


def _parse_kept(words: list[str]) -> tuple[Kept, ...]:
    for word in words:
        if word not in _KEPT:
            raise ConfigurationError(f"--keep {word!r} is not known; give one of {', '.join(_KEPT)}")
    return cast("tuple[Kept, ...]", tuple(dict.fromkeys(words)))


def _settings(url: str) -> RuntimeSettings:
    """Returns the settings that name the platform's database.

    Raises:
        ConfigurationError: The URL names no MongoDB or no database, or the environment names no MongoDB.
    """
    if not url:
        settings = RuntimeSettings(session_id=NO_ID, job_id=NO_ID)
        if settings.backend_name != "mongodb":
            raise ConfigurationError(
                "the environment names no MongoDB; give the platform's: --from mongodb://HOST/NAME"
            )
        return settings
    parts = urlsplit(url)
    name = unquote(parts.path.strip("/"))
    if parts.scheme not in {"mongodb", "mongodb+srv"} or not name or "/" in name:
        raise ConfigurationError(
            "--from names the platform's database, such as mongodb://localhost:27017/dcm-processor; it has to begin "
            "with mongodb:// and end with the database's name"
        )
    return RuntimeSettings.without_environment(
        db_provider="mongodb", db_url=url, db_name=name, session_id=NO_ID, job_id=NO_ID
    )


def _print(report: PullReport) -> None:
    console = output_console()
    counts = (
        counted(report.instances, "instance"),
        f"{report.series} series",
        counted(report.studies, "study", "studies"),
        counted(len(report.jobs), "job"),
        counted(report.data, "value"),
        counted(report.files, "file"),
    )
    behind = f"; left behind: {len(report.left_behind)}, each named below" if report.left_behind else ""
    console.print(f"Brought into {report.workspace}: {', '.join(counts)}{behind}.", soft_wrap=True)
    if report.jobs:
        names = ", ".join(dict.fromkeys(report.jobs))
        console.print(
            f"Jobs: {names}. Run one: run CODE --workspace {report.workspace} --job-name NAME", soft_wrap=True
        )


def _warn(report: PullReport) -> None:
    """Prints to the standard error what was left behind, and where the patient may still be recognised."""
    say = error_console().print
    for one in report.left_behind:
        say(f"left behind: {one.what}: {one.reason}", soft_wrap=True)
    if not report.deidentified:
        say("warning: everything was copied as it is, with the patient's identity", style="bold red", soft_wrap=True)
    elif not report.only_headers:
        say(
            "The pixels are unchanged: a face can be rebuilt from the scan of a head, and pictures may show text.",
            soft_wrap=True,
        )
    for uid in report.burned_in:
        say(
            f"warning: the pictures of series {uid} may show text of the patient; look at them before you pass them on",
            style="bold red",
            soft_wrap=True,
        )
