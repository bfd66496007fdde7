"""``sessions``: lists the platform's sessions that do not end, says why, retries and removes them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dcm_processor_service.cli.commands import example
from dcm_processor_service.cli.console import error_console, output_console, print_json_line, sentences, table_of
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models.counts import counted
from dcm_processor_service.operations import explain_session, list_sessions, retry_session, sweep_sessions

if TYPE_CHECKING:
    from dcm_processor_service.models import CleanupPolicy, HeldBytes

__all__ = ["sessions"]

SessionId = Annotated[str, typer.Argument(help="Id of the session, as sessions list shows it")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each record")]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_POLICIES = ("all", "session", "keep")
_KIBI = 1024

sessions = typer.Typer(
    no_args_is_help=True,
    help="List, explain, retry and sweep the platform's sessions that do not end.",
    epilog=example("sessions list"),
)


@sessions.command("list", epilog=example("sessions list --json"))
def list_all(as_json: AsJson = False) -> None:
    """List the sessions, each with its state, age and size, and with what it waits for."""
    with sentences():
        found = list_sessions()
    if as_json:
        for one in found:
            print_json_line({**one.model_dump(mode="json"), "held_bytes": one.held.total})
        return
    table = table_of("session", "patient", "state", "age", "idle", "jobs", "held", "waits for", on_one_line="session")
    for one in found:
        table.add_row(
            *(one.id, one.patient, one.state, _time(one.age_s), _time(one.idle_s)),
            *(f"{one.jobs_done} of {one.jobs}", _size(one.held), one.waits_for),
        )
    output_console().print(table)


@sessions.command("why", epilog=example("sessions why 65f0c0ffee65f0c0ffee65f0"))
def why(session: SessionId, as_json: AsJson = False) -> None:
    """Say why a session does not end: which job died, why, and which jobs wait for it."""
    with sentences():
        found = explain_session(session)
    if as_json:
        print_json_line(found.model_dump(mode="json"))
        return
    output_console().print(found.sentence, soft_wrap=True)
    for death in found.deaths[1:]:
        output_console().print(death.sentence, soft_wrap=True)


@sessions.command("retry", epilog=example("sessions retry 65f0c0ffee65f0c0ffee65f0 segment"))
def retry(
    session: SessionId,
    job: Annotated[str, typer.Argument(help="Name or id of a dead job; if left out, all dead jobs")] = "",
    as_json: AsJson = False,
) -> None:
    """Let the queue run dead jobs again, and then the jobs that depend on them."""
    with sentences():
        report = retry_session(session, job)
    if as_json:
        print_json_line(report.model_dump(mode="json"))
        return
    for one in report.jobs:
        output_console().print(
            f"The queue may start {one.job} ({one.job_id}) again; jobs that wait for it: {one.released}",
            soft_wrap=True,
        )


@sessions.command("sweep", epilog=example("sessions sweep --older-than 7d --dry-run"))
def sweep(
    older_than: Annotated[
        str, typer.Option(help="Sweep sessions that have been idle for at least this time: 7d, 12h, 30m")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would be removed, and remove nothing")
    ] = False,
    policy: Annotated[
        str,
        typer.Option(
            help="What to remove: all, session (data and files) or keep (nothing); the default is the setting CLEANUP"
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Clean up the sessions that no worker will ever end; never a session whose worker is alive."""
    with sentences():
        report = sweep_sessions(_duration(older_than), dry_run=dry_run, policy=_policy(policy))
    if as_json:
        print_json_line({**report.model_dump(mode="json"), "freed_bytes": report.freed_bytes})
        return
    verb = "would be swept" if dry_run else "swept"
    for one in report.swept:
        output_console().print(f"{one.session_id} {verb}: {one.state} for {_time(one.idle_s)}, {_size(one.held)}")
    for left in report.left:
        error_console().print(f"{left.session_id} is kept: {left.reason}")
    output_console().print(f"{counted(len(report.swept), 'session')} {verb}, {len(report.left)} kept.")


def _duration(text: str) -> timedelta:
    """Reads ``7d``, ``1d12h``, ``90m``.

    Raises:
        ConfigurationError: The text is not a length of time.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise ConfigurationError(
            f"--older-than {text!r} is not a length of time; give one such as 7d, 12h, 30m or 1d12h"
        )
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        return timedelta.max


def _policy(text: str) -> CleanupPolicy | None:
    if text and text not in _POLICIES:
        raise ConfigurationError(f"--policy {text!r} is not known; give one of {', '.join(_POLICIES)}")
    return cast("CleanupPolicy", text) if text else None


def _time(seconds: float) -> str:
    for unit in ("w", "d", "h", "m"):
        if seconds >= 2 * _UNITS[unit]:
            return f"{seconds / _UNITS[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(held: HeldBytes) -> str:
    size = float(held.total)
    for unit in ("B", "KiB", "MiB"):
        if size < _KIBI:
            return f"{size:.0f} {unit}"
        size /= _KIBI
    return f"{size:.1f} GiB"
