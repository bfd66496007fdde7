"""``check`` and ``new``: checks a service's folder before it is deployed, and makes a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcm_processor_service.cli.console import error_console, output_console, print_json_line, sentences, styled
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED
from dcm_processor_service.local.checking.service_check import check_service
from dcm_processor_service.local.scaffold.new_service import Template, make_service
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from rich.console import Console

    from dcm_processor_service.local.checking.problem import ServiceProblem
    from dcm_processor_service.local.checking.service_check import CheckedJob, CheckedService

__all__ = ["check", "checked_as_json", "new"]


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of the service, which holds dcm-processor.json")],
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of each job's params")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found as one line of JSON")] = False,
) -> None:
    """Check a service before it is deployed, for all that the platform would drop, refuse or fail at.

    The service's code is imported and not called. Of requirements.txt only what can be known without a network is
    checked: whether pip can read it, markers, pins that contradict this package, and versions that are known to want a
    newer Python. Exits with 1 when there are problems; a note is not a problem.
    """
    with sentences():
        checked = check_service(folder)
    if as_json:
        print_json_line(checked_as_json(checked))
    elif schema:
        output_console().print(json.dumps(_schemas(checked), indent=2, ensure_ascii=False), soft_wrap=True)
        _print_checked(checked, error_console(), with_jobs=False)
    else:
        _print_checked(checked, output_console(), with_jobs=True)
    raise typer.Exit(EXIT_DONE if checked.ok else EXIT_FAILED)


def _print_checked(checked: CheckedService, console: Console, *, with_jobs: bool) -> None:
    for problem in checked.problems:
        console.print(_problem_line(problem), soft_wrap=True)
    if with_jobs:
        for one in checked.jobs:
            console.print(_job_line(one), soft_wrap=True)
            for line in _param_lines(one):
                console.print(f"    {line}", soft_wrap=True)
    blocking = sum(problem.blocking for problem in checked.problems)
    state = (f"{counted(blocking, 'problem')}", "bold red") if blocking else ("no problem was found", "green")
    console.print(styled(f"{checked.manifest.name} {checked.manifest.version}: ", state), soft_wrap=True)


def _problem_line(problem: ServiceProblem) -> Any:
    kind = ("problem", "bold red") if problem.blocking else ("note", "yellow")
    job = f" {problem.job}:" if problem.job else ""
    return styled(kind, f"{job} {problem.message} [{problem.code}]")


def _job_line(one: CheckedJob) -> str:
    events = ", ".join(event.value for event in one.job.events)
    after = f", after {', '.join(one.job.depends_on)}" if one.job.depends_on else ""
    return f"job {one.job.name}: {events}{after}"


def _param_lines(one: CheckedJob) -> list[str]:
    """Returns a line for each param that an operator may set, with its value in the manifest."""
    schema = one.schema
    if schema is None:
        return [f"{name} = {json.dumps(value)} (in the manifest)" for name, value in one.job.params.items()]
    parts = schema.get("allOf", [schema])
    lines = []
    for name, field in {name: field for part in parts for name, field in part.get("properties", {}).items()}.items():
        about = f": {field['description']}" if "description" in field else ""
        lines.append(f"{name} ({_kind(field)}){_value(one, name, field)}{about}")
    return lines


def _kind(field: dict[str, Any]) -> str:
    """Returns the JSON types that a param may have."""
    kinds = [str(part.get("type", "any")) for part in field.get("anyOf", [field])]
    return " or ".join(dict.fromkeys(kinds))


def _value(one: CheckedJob, name: str, field: dict[str, Any]) -> str:
    """Returns a param's value as the job gets it, with where it comes from."""
    if name in one.job.params:
        return f" = {json.dumps(one.job.params[name])} (in the manifest)"
    return f" = {json.dumps(field['default'])} (default)" if "default" in field else " (no value in the manifest)"


def _schemas(checked: CheckedService) -> dict[str, Any]:
    return {one.job.name: one.schema for one in checked.jobs}


def checked_as_json(checked: CheckedService) -> dict[str, Any]:
    """Returns the findings as JSON values, for programs."""
    return {
        "service": checked.manifest.name,
        "version": checked.manifest.version,
        "ok": checked.ok,
        "problems": [
            {"code": one.code, "job": one.job or None, "blocking": one.blocking, "message": one.message}
            for one in checked.problems
        ],
        "jobs": [
            {
                "name": one.job.name,
                "events": [event.value for event in one.job.events],
                "depends_on": list(one.job.depends_on),
                "params": one.job.params,
                "schema": one.schema,
            }
            for one in checked.jobs
        ],
    }


def new(
    name: Annotated[str, typer.Argument(help="Name of the service, and of its folder")],
    template: Annotated[Template, typer.Option(help="What the new service does at first")] = Template.SEGMENTATION,
) -> None:
    """Make a service that runs: manifest, registry, callback, params, a test with fakes, README and AGENTS.md."""
    with sentences():
        folder, files = make_service(Path(name), template)
    console = output_console()
    console.print(f"{folder}: a service of {counted(len(files), 'file')}")
    for line in ("python -m pytest", "dcm-processor-service check .", "dcm-processor-service run . --sample"):
        console.print(f"    {line}")
