"""``run``: runs a callback over a folder of scans, on this machine, without a server."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
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
    stops_for_questions,
    styled,
)
from dcm_processor_service.cli.network.peer_options import parse_peer
from dcm_processor_service.cli.watching import run_whenever_changed, watched_folder
from dcm_processor_service.disk import exists, is_file, is_folder
from dcm_processor_service.errors import EXIT_DONE, CallbackFailedError, ConfigurationError
from dcm_processor_service.local.chosen_store import chosen_store
from dcm_processor_service.local.pulling.pulled_session import pulled_session
from dcm_processor_service.local.run_report import write_run_report
from dcm_processor_service.local.service.manifest import manifest_path, read_manifest
from dcm_processor_service.local.service.running import CallbackSource, FolderSource, ServiceRun
from dcm_processor_service.local.workspace import (
    LocalRun,
    Workspace,
    describe,
    sample_folder,
    session_id_of,
)
from dcm_processor_service.models import JobEvent
from dcm_processor_service.models.counts import counted
from dcm_processor_service.runtime.execution.callbacks import inspect_callback
from dcm_processor_service.runtime.execution.params import unknown_params
from dcm_processor_service.runtime.execution.results import json_safe, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from rich.console import Console

    from dcm_processor_service.local.service.cluster import Cluster
    from dcm_processor_service.local.service.scheduling import JobNotCreated, SubjectPlan
    from dcm_processor_service.local.service.service_code import LoadedService
    from dcm_processor_service.session.images.catalogue import Filed

    Emit: TypeAlias = Callable[[Any], None]

__all__ = ["run"]

_SHOWN_CHARACTERS = 60


def run(
    callback: Annotated[
        str,
        typer.Argument(
            help="path/to/file.py:FUNCTION or MODULE:FUNCTION; if FUNCTION is left out, run() is called; or the folder "
            "of a service, which holds dcm-processor.json"
        ),
    ],
    dicom: Annotated[
        list[Path] | None, typer.Option(help="Folder or zip file of DICOM files, at any depth; may be repeated")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Use a real CT series that comes with pydicom")] = False,
    event: Annotated[
        JobEvent | None,
        typer.Option(
            help="Run once for each series (if left out), study or patient; for a service, only its jobs of this event"
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for the job's params; VALUE may be JSON; of a service also JOB:NAME=VALUE"),
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help="NAME=AET@HOST:PORT: a DICOM peer; the first one counts as the sender")
    ] = None,
    workspace: Annotated[Path, typer.Option(help="Folder for the store and the results")] = Path("dcm-workspace"),
    job_name: Annotated[str, typer.Option(help="Name of the job, by which later jobs read its output")] = "",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for ctx.data_dir, as the docker worker mounts its data")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="How many series, studies or patients run at a time, each in its own process")
    ] = 1,
    on: Annotated[
        str, typer.Option("--on", help="dask://HOST:PORT: run the subjects on the workers of this Dask cluster")
    ] = "",
    store: Annotated[
        str,
        typer.Option(
            help="Database that holds the workspace, so that --on can use several machines: "
            "mongodb://HOST:PORT/DATABASE, or mongodb for the one that the environment names; not the platform's"
        ),
    ] = "",
    preview: Annotated[
        bool, typer.Option(help="Draw a contact sheet of each NIfTI file, or of the series if there is none")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each job")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Run again whenever the code changes")] = False,
    show_files: Annotated[
        bool, typer.Option("--show-files", help="List every file that was left out, not only ten for each reason")
    ] = False,
    show_patient: Annotated[
        bool, typer.Option("--show-patient", help="Show name, id, birth date and sex of the patient in report.html")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show all frames of an error, not only those of your own code")
    ] = False,
) -> None:
    """Run a callback, or a whole service, over a folder of scans, on this machine, without a server.

    Each result is printed as soon as the jobs of its subject have ended. The workspace then holds report.html, one page
    with all results that needs no network, and run.json, the same results for programs. With --json, the callback's own
    output goes to the standard error. A --param that no job's model knows is refused. For a service, the command runs
    the jobs that the service's registry functions accept, in the order of the platform's scheduler. In a workspace that
    pull has filled, and without --dicom, it runs the jobs that the platform had, with the platform's params; --job-name
    then chooses one job of a service.
    """
    if watch:
        arguments = [one for one in sys.argv[1:] if one != "--watch"]
        run_whenever_changed(watched_folder(callback), arguments, without=workspace)
    emit = result_channel() if as_json else None
    with sentences("--store" if "://" in store else ""), _cluster(on, workers) as cluster:
        place = Workspace(workspace, chosen_store(store))
        if store and not (dicom or sample):
            raise ConfigurationError("--store needs scans to store in the database; give a folder: --dicom DIR")
        session = None if dicom or sample else pulled_session(workspace)
        source = service_source(callback, event, job_name, one_of_several=session is not None)
        service = source.load()
        if not any(event in {None, *one.job.events} for one in service.jobs):
            raise ConfigurationError(f"the service {service.name!r} has no job{f' of {event.value}' if event else ''}")
        chosen = params_by_job(service, param or [])  # refuses a wrong param before any scan is read
        service = service.with_params(chosen)
        peers = [parse_peer(text) for text in peer or []]
        for known in peers:
            place.add_peer(known)
        for note in service.notes:
            error_console().print(f"note: {note}", soft_wrap=True)
        sender = peers[0] if peers else None
        filed = session.filed if session else _ingest(place, _sources(dicom, sample=sample), show_files=show_files)
        pulled = session is not None
        service_run = ServiceRun(source, service, place, filed, sender, preview, workers, data_dir, pulled, cluster)
        service_run.check_cluster(dicom or ())
        levels = session.plan(_names(service, job_name), event, chosen) if session else service_run.plan(event)
        not_created = [one for plans in levels for plan in plans for one in plan.not_created]
        for missing in not_created:
            _print_not_created(missing, emit)
        print_one = partial(_print_run, show_patient=show_patient, every_frame=traceback)
        runs = _run_all(service_run, levels, print_one if emit is None else lambda one: emit(json_safe(_as_json(one))))
        page = write_run_report(place.folder, runs, show_patient=show_patient)
        error_console().print(f"The report is in {page}.", soft_wrap=True)
    codes = [*(one.outcome.exit_code for one in runs), *(one.exit_code for one in not_created)]
    raise typer.Exit(max(codes, default=EXIT_DONE))


def _cluster(url: str, workers: int) -> AbstractContextManager[Cluster | None]:
    """Connects to a cluster if one is named."""
    if not url:
        return nullcontext()
    if workers > 1:
        raise ConfigurationError("--workers is for processes of this machine, --on for those of a cluster; give one")
    from dcm_processor_service.local.service.cluster import Cluster

    return Cluster.connected(url)


def service_source(
    reference: str, event: JobEvent | None, job_name: str, *, one_of_several: bool = False
) -> FolderSource | CallbackSource:
    """Returns an object that loads the service of a folder, or a callback.

    Args:
        reference: A service's folder, or a callback.
        event: Event of the callback's job.
        job_name: Name of the callback's job.
        one_of_several: Whether the name may choose one of a service's jobs.

    Raises:
        ConfigurationError: The folder has no manifest, or an option does not apply to a service.
    """
    folder = Path(reference)
    if manifest_path(folder) is not None:
        if job_name and not one_of_several:
            raise ConfigurationError("--job-name is for a single callback; a service's manifest names its jobs")
        return FolderSource(folder)
    if is_folder(folder) and not is_file(folder / "__init__.py"):
        read_manifest(folder)  # raises an error that says what is missing
    return CallbackSource(reference, job_name or default_job_name(reference), event or JobEvent.STABLE_SERIES)


def _names(service: LoadedService, job_name: str) -> list[str]:
    """Returns the names of the jobs of a pulled session that are to run.

    Raises:
        ConfigurationError: The service has no job of the name.
    """
    known = [one.job.name for one in service.jobs]
    if job_name and job_name not in known:
        raise ConfigurationError(f"--job-name: the service has no job {job_name!r}; it has: {', '.join(known)}")
    return [job_name] if job_name else known


def default_job_name(callback: str) -> str:
    """Returns the job's name if ``--job-name`` is left out: the callback's file or module without its folders.

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
            raise ConfigurationError(f"{text!r} is not a param; give NAME=VALUE, for example threshold=0.5")
        try:
            params[name] = json.loads(value)
        except (ValueError, RecursionError):
            params[name] = value
    return params


def params_by_job(service: LoadedService, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Returns the given params by job; a param without a job's name goes to all jobs whose models know the param.

    Raises:
        ConfigurationError: No job knows one of the params; a param on the command line is never ignored.
    """
    chosen: dict[str, dict[str, Any]] = {one.job.name: {} for one in service.jobs}
    models = {one.job.name: inspect_callback(one.callback).params_models for one in service.jobs}
    for name, value in parse_params(texts).items():
        job_name, colon, rest = name.partition(":")
        named = bool(colon) and job_name in chosen
        key = rest if named else name
        jobs = [job_name] if named else list(chosen)
        unknown = {job: unknown_params(models[job], [key]) for job in jobs}
        if all(unknown.values()):
            problems = dict.fromkeys(sentence for found in unknown.values() for sentence in found)
            raise ConfigurationError(f"--param: {'; '.join(problems) or 'the service has no job'}")
        for job in jobs:
            if not unknown[job]:
                chosen[job][key] = value
    return chosen


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


def _run_all(
    service_run: ServiceRun, levels: list[list[SubjectPlan]], on_end: Callable[[LocalRun], None]
) -> list[LocalRun]:
    """Runs all jobs, and calls ``on_end`` with each that has ended; returns them in the order of the plan."""
    runs = []
    order = {job_id: at for at, job_id in enumerate(one for plans in levels for plan in plans for one in plan.job_ids)}
    with stops_for_questions(progress_bar(error_console())) as progress:
        total = sum(len(plan.jobs) for plans in levels for plan in plans)
        task = progress.add_task("running", total=total)
        for one in service_run.run(levels):
            progress.update(task, description=f"ran {one.job.name} on {one.subject_label}", advance=1)
            runs.append(one)
            on_end(one)
    return sorted(runs, key=lambda one: order.get(one.job.id, len(order)))


def _print_not_created(missing: JobNotCreated, emit: Emit | None) -> None:
    """Prints that the scheduler would not create a job, and why."""
    if missing.traceback_text:
        error_console().print(missing.traceback_text.rstrip(), soft_wrap=True)
    style = "bold red" if missing.faulty else ""
    label = describe(missing.subject)
    error_console().print(
        f"{missing.job_name} is not created for {label}: {missing.reason}", style=style, soft_wrap=True
    )
    if emit is not None:
        emit(
            {
                "job": {"id": None, "name": missing.job_name, "session_id": session_id_of(missing.subject)},
                "subject": {"level": missing.subject.level, "id": missing.subject.id},
                "created": False,
                "exit_code": missing.exit_code,
                "reason": missing.reason,
            }
        )


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
        table.add_row(
            f"file  {stored.name}", f"{stored.size_bytes:,} byte{'s' * (stored.size_bytes != 1)}, {stored.content_type}"
        )
    for sheet in one.sheets:
        table.add_row("picture", str(sheet.relative_to(one.folder)))
    for sent in one.report.sent:
        table.add_row("sent", str(sent))
    if one.files or one.sheets:
        table.add_row("files in", str(one.folder))
    if one.outcome.result is not None:
        table.add_row("returned", _shown(one.outcome.result))
    console.print(table)
    if one.outcome.error is not None:
        trace, message = _trace(one, every_frame=every_frame), readable(str(one.outcome.error))
        what, _, fault = message.partition(": ")
        stated = what if fault and fault in trace else message  # each error once: a traceback ends with its error
        line = f"error: {one.job.name} on {one.subject_label}: {stated}"
        error_console().print(line, style="bold red", soft_wrap=True)
        if trace:
            error_console().print(trace, soft_wrap=True)


def _trace(one: LocalRun, *, every_frame: bool) -> str:
    """Returns the traceback of an error: the user's own frames, unless all are asked for; empty if it has none."""
    if not isinstance(one.outcome.error, CallbackFailedError):
        return ""
    own, whole = one.outcome.own_frames_text.rstrip(), one.outcome.as_json()["error"]["traceback"].rstrip()
    text = whole if every_frame or not own else f"{own}\nAll frames: --traceback"
    return text if "Traceback (most recent call last)" in text else ""  # an error that nothing raised has no frames


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
