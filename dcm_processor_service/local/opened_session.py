"""Opens a session of a workspace as one of its jobs sees it: for the command ``shell``, and to look at results."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dcm_processor_service.disk import is_file
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.run_report import RECORD_NAME
from dcm_processor_service.local.workspace import Workspace, describe
from dcm_processor_service.models.counts import counted
from dcm_processor_service.models.platform_ids import is_platform_id
from dcm_processor_service.models.run_report import RunReport
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service.models import Job
    from dcm_processor_service.runtime.context import RuntimeContext

__all__ = ["banner", "jobs_of_session", "open_session", "session_of"]

_STORE = "workspace.sqlite3"
_MOST_NAMED = 10


def session_of(workspace: Path) -> str:
    """Returns the id of the only session of the last run in a workspace.

    Raises:
        ConfigurationError: Nothing ran there, or there are several sessions; the message lists them.
    """
    try:
        record = RunReport.model_validate_json((workspace / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, ValidationError):
        record = RunReport(versions={}, jobs=())
    sessions: dict[str, list[str]] = {}
    for job in record.jobs:
        sessions.setdefault(job.session_id, []).append(job.job_name)
    if len(sessions) == 1:
        return next(iter(sessions))
    if not sessions and not is_file(workspace / _STORE):
        raise ConfigurationError(_no_workspace(workspace))
    if not sessions:
        raise ConfigurationError(
            f"{workspace} holds no record of a run ({RECORD_NAME}), which would name a session; give the session's id, "
            f"or run something first: run … --workspace {workspace}"
        )
    named = "; ".join(f"{one} ({', '.join(dict.fromkeys(names))})" for one, names in [*sessions.items()][:_MOST_NAMED])
    more = f" and {len(sessions) - _MOST_NAMED} more" if len(sessions) > _MOST_NAMED else ""
    raise ConfigurationError(
        f"the last run had {len(sessions)} sessions, one for each patient; give one: {named}{more}"
    )


def jobs_of_session(place: Workspace, session_id: str) -> list[Job]:
    """Lists the jobs of a session, oldest first.

    Raises:
        ConfigurationError: The folder is not a workspace, or has no job of this session.
    """
    if not is_file(place.folder / _STORE):
        raise ConfigurationError(_no_workspace(place.folder))
    if not is_platform_id(session_id):
        raise ConfigurationError("the session's id is not well-formed: it has 24 hex digits; run.json names them")
    with opened(Container(settings=place.settings())) as container:
        jobs = run_inline(container.job_repository().list(session_id))
    if not jobs:
        raise ConfigurationError(
            f"{place.folder} has no job of the session {session_id}; its {RECORD_NAME} names those of the last run"
        )
    return jobs


def _no_workspace(folder: Path) -> str:
    if is_file(folder / RECORD_NAME):
        return (
            f"{folder} holds the results of a run with --store alone, and that database its sessions; to look at one "
            f"here, run without --store: run … --workspace {folder}"
        )
    return f"{folder} is not a workspace; run … --workspace {folder} makes one, and --workspace names another"


def _chosen(jobs: list[Job], name_or_id: str) -> Job:
    found = [one for one in jobs if name_or_id in {"", one.name, one.id}]
    if not found:
        names = ", ".join(dict.fromkeys(one.name for one in jobs))
        raise ConfigurationError(f"the session has no job {name_or_id!r}; it has {names}")
    return found[-1]


@contextmanager
def open_session(place: Workspace, session_id: str, job: str = "") -> Iterator[tuple[RuntimeContext, list[Job]]]:
    """Opens the context of a session's job, and lists the jobs of the session, oldest first.

    Args:
        place: The workspace.
        session_id: The session.
        job: Name or id of the job; the last one that was made when it is left out.

    Raises:
        ConfigurationError: The folder is not a workspace, or has no such session or job.
    """
    jobs = jobs_of_session(place, session_id)
    chosen = _chosen(jobs, job)
    values: dict[str, Any] = {"job_name": chosen.name, "job_event": chosen.event, "service_name": chosen.service_name}
    settings = place.settings(session_id=session_id, job_id=chosen.id, **values)
    with opened(Container(settings=settings)) as container:
        yield container.context(), jobs


def banner(place: Workspace, context: RuntimeContext, jobs: list[Job]) -> str:
    """Returns lines that say what is open; they hold no value of the patient."""
    job = next(one for one in jobs if one.id == context.job.id)
    others = [one for one in jobs if one.id != job.id]
    named = ", ".join(dict.fromkeys(one.name for one in others[:_MOST_NAMED]))
    return "\n".join(
        (
            f"Session {job.session_id} of the workspace {place.folder}: {counted(len(jobs), 'job')}.",
            f"ctx      the context of the job {job.name} ({job.state.value}), about {describe(job.subject)}",
            "session  ctx.session: data, files, dicom, peers, report()",
            *(
                [f"Other jobs: {named}; open one with --job NAME, or read session.data.get(…, job=NAME)."]
                if others
                else []
            ),
            "What is written here is written to the workspace.",
        )
    )
