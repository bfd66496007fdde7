"""``run``: a callback over a folder of scans, on this machine, without a server."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from dcm_processor_service.cli.console import (
    error_console,
    output_console,
    print_left_out,
    progress_bar,
    result_channel,
    sentences,
    styled,
)
from dcm_processor_service.cli.network import parse_peer
from dcm_processor_service.disk import exists
from dcm_processor_service.errors import EXIT_DONE, CallbackFailedError, ConfigurationError
from dcm_processor_service.local.run_report import write_run_report
from dcm_processor_service.local.workspace import LocalRun, Workspace, counted, describe, sample_folder
from dcm_processor_service.models import JobEvent
from dcm_processor_service.runtime.execution.callbacks import find_callback, inspect_callback
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED
from dcm_processor_service.runtime.execution.params import unknown_params
from dcm_processor_service.runtime.execution.results import json_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from dcm_processor_service.local.ingest import Filed
    from dcm_processor_service.models import Patient, Peer, SeriesRecord, Study
    from dcm_processor_service.runtime.execution.callbacks import Callback, CallbackFunction

__all__ = ["run"]

_SHOWN_CHARACTERS = 60


def run(
    callback: Annotated[
        str, typer.Argument(help="path/to/file.py:FUNCTION or MODULE:FUNCTION; FUNCTION is run if left out")
    ],
    dicom: Annotated[
        list[Path] | None, typer.Option(help="Folder of DICOM files, at any depth; may be repeated")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Use a real CT series that comes with pydicom")] = False,
    event: Annotated[
        JobEvent, typer.Option(help="Run once for each series, study or patient")
    ] = JobEvent.STABLE_SERIES,
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for the job's params; VALUE may be JSON")] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help="NAME=AET@HOST:PORT: a DICOM node; the first one is the sender")
    ] = None,
    workspace: Annotated[Path, typer.Option(help="Folder for the store and the results")] = Path("dcm-workspace"),
    job_name: Annotated[str, typer.Option(help="Name of the job, by which later jobs read its output")] = "",
    preview: Annotated[bool, typer.Option(help="Draw a contact sheet of each NIfTI file, or of the series")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each job")] = False,
    show_files: Annotated[
        bool, typer.Option("--show-files", help="Name every file that was left out, not ten of each kind")
    ] = False,
    show_patient: Annotated[
        bool, typer.Option("--show-patient", help="Show name, id, birth date and sex of the patient in report.html")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show all frames of an error, not those of your own code alone")
    ] = False,
) -> None:
    """Run a callback over a folder of scans, on this machine, without a server.

    Each result is printed as its subject ends. The workspace then holds report.html, one page with all of them that
    needs no network, and run.json, the same for programs. With --json, what the callback itself prints goes to the
    standard error. A --param that the callback's model does not know is refused.
    """
    emit = result_channel() if as_json else None
    with sentences():
        function = find_callback(callback)
        params = parse_params(param or [])
        _refuse_unknown(params, inspect_callback(function))  # before anything is read
        peers = [parse_peer(text) for text in peer or []]
        place = Workspace(workspace)
        for known in peers:
            place.add_peer(known)
        filed = _ingest(place, _sources(dicom, sample=sample), show_files=show_files)
        name = job_name or default_job_name(callback)
        print_one = partial(_print_run, show_patient=show_patient, every_frame=traceback)
        runs = _run_all(
            *(place, function, _subjects(filed, event), filed, name, params, peers),
            preview=preview,
            on_end=print_one if emit is None else lambda one: emit(_as_json(one)),
        )
        page = write_run_report(place.folder, runs, show_patient=show_patient)
        error_console().print(f"The report is in {page}.", soft_wrap=True)
    raise typer.Exit(max((one.outcome.exit_code for one in runs), default=EXIT_DONE))


def default_job_name(callback: str) -> str:
    """Returns the job's name when none is given: the callback's file or module without its folders.

    Example:
        >>> default_job_name("services/segment.py:run"), default_job_name("services.segment:run")
        ('segment', 'segment')
    """
    place = callback.rpartition(":")[0] or callback
    return Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]


def parse_params(texts: Sequence[str]) -> dict[str, Any]:
    """Reads ``NAME=VALUE`` pairs; a value that is JSON is read as JSON, any other is text.

    Example:
        >>> parse_params(["threshold=0.5", "label=liver"])
        {'threshold': 0.5, 'label': 'liver'}
    """
    params: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{text!r} is no param; give NAME=VALUE, for example threshold=0.5")
        try:
            params[name] = json.loads(value)
        except (ValueError, RecursionError):
            params[name] = value
    return params


def _refuse_unknown(params: dict[str, Any], callback: Callback) -> None:
    """Refuses a param that no model of the callback knows: given by hand, it is meant."""
    unknown = unknown_params(callback.params_models, params)
    if unknown:
        raise ConfigurationError(f"--param: {'; '.join(unknown)}")


def _sources(dicom: list[Path] | None, *, sample: bool) -> list[Path]:
    sources = [*(dicom or []), *([sample_folder()] if sample else [])]
    if not sources:
        raise ConfigurationError("no scans were given; give a folder, --dicom DIR, or try --sample")
    for source in sources:
        if not exists(source):
            raise ConfigurationError(f"there is no folder {str(source)!r}; give one that holds DICOM files")
    return sources


def _ingest(place: Workspace, sources: list[Path], *, show_files: bool) -> Filed:
    console = error_console()
    with progress_bar(console) as progress:
        task = progress.add_task("reading headers", total=None)
        filed, catalogue = place.ingest(sources, lambda total: progress.update(task, total=total, advance=1))
    _print_filed(filed, console)
    print_left_out(catalogue.left_out, every_file=show_files)
    if not filed.instance_count:
        raise ConfigurationError("no DICOM file was found; give a folder that holds some, or try --sample")
    return filed


def _print_filed(filed: Filed, console: Console) -> None:
    console.print(
        f"{counted(filed.instance_count, 'instance')}: {len(filed.series)} series, "
        f"{counted(len(filed.studies), 'study', 'studies')}, {counted(len(filed.patients), 'patient')}"
    )
    if len(filed.patients) > 1:
        console.print("Several patients: each one has a session of its own.")


def _subjects(filed: Filed, event: JobEvent) -> Sequence[Patient | Study | SeriesRecord]:
    if event is JobEvent.STABLE_SERIES:
        return filed.series
    return filed.studies if event is JobEvent.STABLE_STUDY else filed.patients


def _run_all(
    place: Workspace,
    function: CallbackFunction,
    subjects: Sequence[Patient | Study | SeriesRecord],
    filed: Filed,
    job_name: str,
    params: dict[str, Any],
    peers: list[Peer],
    *,
    preview: bool,
    on_end: Callable[[LocalRun], None],
) -> list[LocalRun]:
    runs = []
    with progress_bar(error_console()) as progress:
        task = progress.add_task("running", total=len(subjects))
        for subject in subjects:
            progress.update(task, description=f"running {job_name} on {describe(subject)}")
            sender = peers[0] if peers else None
            runs.append(
                place.run(
                    function, subject, filed=filed, job_name=job_name, params=params, peer=sender, preview=preview
                )
            )
            progress.advance(task)
            on_end(runs[-1])
            if runs[-1].outcome.exit_code == EXIT_CANCELLED:  # the others are not begun
                break
    return runs


def _print_run(one: LocalRun, *, show_patient: bool, every_frame: bool) -> None:
    console = output_console()
    state = ("done", "green") if one.outcome.ok else ("failed", "bold red")
    table = Table(title=f"{one.job.name}: {one.subject_label}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("status", styled(state, f", exit code {one.outcome.exit_code}, {one.outcome.duration_s:.2f} s"))
    table.add_row("subject", f"{one.subject_label} ({one.job.subject.id if one.job.subject else ''})")
    for word, fact in one.report.patient.items() if show_patient else ():
        table.add_row(word, fact)
    for name, value in one.data:
        table.add_row(f"data  {name}", _shown(value))
    for stored in one.files:
        table.add_row(f"file  {stored.name}", f"{stored.size_bytes:,} bytes, {stored.content_type}")
    for sheet in one.sheets:
        table.add_row("picture", str(sheet.relative_to(one.folder)))
    if one.files or one.sheets:
        table.add_row("files in", str(one.folder))
    if one.outcome.result is not None:
        table.add_row("returned", _shown(one.outcome.result))
    console.print(table)
    if one.outcome.error is not None:
        if isinstance(one.outcome.error, CallbackFailedError):  # any other is a sentence about what to set
            error_console().print(_trace(one, every_frame=every_frame), soft_wrap=True)
        error_console().print(f"error: {one.outcome.error}", style="bold red", soft_wrap=True)


def _trace(one: LocalRun, *, every_frame: bool) -> str:
    """Returns the traceback of an error: the user's own frames, unless all are asked for."""
    own, whole = one.outcome.own_frames_text.rstrip(), one.outcome.as_json()["error"]["traceback"].rstrip()
    return whole if every_frame or not own else f"{own}\nAll frames: --traceback"


def _shown(value: Any) -> str:
    text = json.dumps(json_safe(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}… ({len(text)} characters)"


def _as_json(one: LocalRun) -> dict[str, Any]:
    subject = one.job.subject
    return {
        "job": {"id": one.job.id, "name": one.job.name, "session_id": one.job.session_id},
        "subject": {"level": subject.level, "id": subject.id} if subject else None,
        "exit_code": one.outcome.exit_code,
        "duration_s": round(one.outcome.duration_s, 3),
        "data": json_safe(dict(one.data)),
        "files": [
            {
                "name": stored.name,
                "size_bytes": stored.size_bytes,
                "content_type": stored.content_type,
                "path": str(one.folder / stored.name),
            }
            for stored in one.files
        ],
        "pictures": [str(sheet) for sheet in one.sheets],
        **one.outcome.as_json(),
    }
