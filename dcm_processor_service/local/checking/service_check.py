"""Finds, without a platform, the parts of a service that the platform would drop, refuse or fail to run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from dcm_processor_service.disk import is_file, is_folder, open_to_read
from dcm_processor_service.errors import CallbackError, ConfigurationError
from dcm_processor_service.keywords import unknown_name_sentence
from dcm_processor_service.local.checking.dependency_check import ancestors, dependency_problems
from dcm_processor_service.local.checking.job_reads import ServiceSource
from dcm_processor_service.local.checking.problem import ServiceProblem
from dcm_processor_service.local.service.manifest import read_manifest
from dcm_processor_service.local.service.service_code import (
    MODULE_NAME,
    Entry,
    EntryStyle,
    bare_callback_sentence,
    import_folder,
    registry_function,
    registry_name,
    takes,
    worker_entry,
)
from dcm_processor_service.local.service.worker_arguments import ARGUMENT_NAMES, REGISTRY_ARGUMENTS
from dcm_processor_service.models import JobEvent
from dcm_processor_service.runtime.execution.callbacks import inspect_callback
from dcm_processor_service.runtime.execution.params import unknown_params, validated_params

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from pydantic import BaseModel

    from dcm_processor_service.local.checking.job_reads import JobRead
    from dcm_processor_service.local.service.manifest import Manifest, ServiceJob

__all__ = ["CheckedJob", "CheckedService", "check_service"]

_LEVELS = (JobEvent.STABLE_SERIES, JobEvent.STABLE_STUDY, JobEvent.STABLE_PATIENT)


@dataclass(frozen=True)
class CheckedJob:
    """A job of the manifest, and the models of the params that its code takes."""

    job: ServiceJob
    models: tuple[type[BaseModel], ...] = ()

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of its params; None if the code has no model of them."""
        if not self.models:
            return None
        schemas = [model.model_json_schema() for model in self.models]
        return schemas[0] if len(schemas) == 1 else {"allOf": schemas}


@dataclass
class CheckedService:
    """A service with its problems."""

    manifest: Manifest
    problems: list[ServiceProblem] = field(default_factory=list)
    jobs: list[CheckedJob] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the service has no problem that keeps it from working."""
        return not any(problem.blocking for problem in self.problems)


def check_service(folder: Path) -> CheckedService:
    """Checks the service in a folder; imports its code, and calls none of its functions.

    Raises:
        ConfigurationError: The manifest cannot be read, so nothing can be checked.
    """
    manifest = read_manifest(folder)
    checked = CheckedService(manifest)
    python, requirements, worker_problems = _worker(manifest)
    checked.problems += [*dependency_problems(manifest), *worker_problems]
    source = _source(manifest, python, checked)
    module = _imported(manifest.module, MODULE_NAME, checked)
    for job in manifest.jobs:
        if job.disabled:
            continue
        _check_registry(manifest, job, checked)
        entry = _entry(module, job, checked)
        checked.jobs.append(CheckedJob(job, _check_entry(entry, job, checked) if entry else ()))
        for read in source.reads_of(entry.function) if entry and source else ():
            checked.problems += _read_problems(manifest, job, read)
    if requirements is not None:
        from dcm_processor_service.local.checking.requirement_check import requirement_problems  # loads packaging

        checked.problems += requirement_problems(requirements, python)
    return checked


def _worker(manifest: Manifest) -> tuple[tuple[int, int], Path | None, list[ServiceProblem]]:
    """Returns the Python of the worker that comes with the service, the requirements that it installs, and problems."""
    problems = []
    python = (3, 10)
    folder = None if manifest.worker_path is None else manifest.folder / manifest.worker_path
    if folder is not None and is_file(folder / "settings.json"):
        with open_to_read(folder / "settings.json") as file:
            try:
                version = str(json.loads(file.read()).get("python_version", "3.10")).split(".")
                python = (int(version[0]), int(version[1]))
            except (ValueError, IndexError, AttributeError) as error:
                problems.append(ServiceProblem("worker-settings", f"the worker's settings.json is not usable: {error}"))
    for candidate in (folder, manifest.folder):
        if candidate is not None and is_file(candidate / "requirements.txt"):
            if candidate is not folder:
                problems.append(
                    ServiceProblem(
                        "requirements-unread",
                        "requirements.txt lies where no worker reads it: the platform installs that of the worker's "
                        "folder, which generate service --inc-worker makes",
                        blocking=False,
                    )
                )
            return python, candidate / "requirements.txt", problems
    return python, None, problems


def _source(manifest: Manifest, python: tuple[int, int], checked: CheckedService) -> ServiceSource | None:
    if not is_folder(manifest.module):
        return None
    source = ServiceSource(manifest.module, python)
    version = ".".join(map(str, python))
    checked.problems += [
        ServiceProblem(
            "python-syntax", f"{fault.place}: the worker's Python {version} cannot read this: {fault.message}"
        )
        for fault in source.faults
    ]
    checked.problems += [ServiceProblem("python-library", sentence) for sentence in source.missing]
    return source


def _imported(folder: Path, name: str, checked: CheckedService) -> ModuleType | None:
    try:
        return import_folder(folder, name)
    except CallbackError as error:
        checked.problems.append(ServiceProblem("import", str(error)))
        return None


def _check_registry(manifest: Manifest, job: ServiceJob, checked: CheckedService) -> None:
    try:
        function = registry_function(import_folder(manifest.registry, registry_name(job)), job)
    except CallbackError as error:
        found = ServiceProblem("registry", f"{error}; the scheduler takes that for a refusal", job.name)
        checked.problems.append(found)
        return
    if not takes(function, REGISTRY_ARGUMENTS):
        checked.problems.append(
            ServiceProblem(
                "registry",
                f"its registry function {job.registry_entry!r} does not take the keyword arguments "
                f"{', '.join(REGISTRY_ARGUMENTS)}; the scheduler takes that for a refusal; add **kwargs",
                job.name,
            )
        )
    if iscoroutinefunction(function):
        checked.problems.append(
            ServiceProblem(
                "registry", f"its registry function {job.registry_entry!r} is async def: write def", job.name
            )
        )


def _entry(module: ModuleType | None, job: ServiceJob, checked: CheckedService) -> Entry | None:
    if module is None:
        return None
    try:
        return worker_entry(module, job)
    except CallbackError as error:
        checked.problems.append(ServiceProblem("entry", str(error), job.name))
        return None


def _check_entry(entry: Entry, job: ServiceJob, checked: CheckedService) -> tuple[type[BaseModel], ...]:
    """Checks whether the worker can call an entry, and with the manifest's params; returns the params' models."""
    if entry.style is EntryStyle.KEYWORDS:
        checked.problems += _keyword_problems(entry, job)
        return ()
    if entry.style is EntryStyle.BARE_CALLBACK:
        checked.problems.append(ServiceProblem("entry", bare_callback_sentence(job), job.name))
    try:
        models = inspect_callback(entry.function).params_models
    except CallbackError as error:
        checked.problems.append(ServiceProblem("entry", str(error), job.name))
        return ()
    misfits = []
    for model in models:
        try:
            validated_params(model, job.params, job.name)
        except ConfigurationError as error:
            misfits.append(str(error))
    unknown = [one for one in unknown_params(models, job.params) if not any(one in misfit for misfit in misfits)]
    checked.problems += [ServiceProblem("params", sentence, job.name) for sentence in (*unknown, *misfits)]
    return models


def _keyword_problems(entry: Entry, job: ServiceJob) -> Iterator[ServiceProblem]:
    if not takes(entry.function, ARGUMENT_NAMES):
        yield ServiceProblem(
            "entry",
            f"its workerEntry {job.worker_entry!r} does not take the worker's keyword arguments "
            f"({', '.join(ARGUMENT_NAMES)}); add **kwargs",
            job.name,
        )
    if iscoroutinefunction(entry.function):
        yield ServiceProblem(
            "entry",
            f"its workerEntry {job.worker_entry!r} is async def, which the worker does not await; make it with "
            "entrypoint()",
            job.name,
        )


def _read_problems(manifest: Manifest, job: ServiceJob, read: JobRead) -> Iterator[ServiceProblem]:
    """Reports a read of another job's output if that job does not run before the reader at any event."""
    others = [one for one in manifest.jobs if one.name == read.job_name and not one.disabled]
    where = f"{read.place}: reads the output of the job {read.job_name!r}"
    if read.job_name == job.name:
        return
    if not others:
        names = {one.name for one in manifest.jobs if not one.disabled} - {job.name}
        elsewhere = bool(manifest.required_services)
        hint = unknown_name_sentence("the manifest", "job", read.job_name, names)
        yield ServiceProblem("read-unknown", f"{where}; {hint}", job.name, blocking=not elsewhere)
        return
    events = {event for one in others for event in one.events}
    for event in job.events:
        lower = _LEVELS[: _LEVELS.index(event)]
        if events & set(lower) or read.job_name in ancestors(manifest, job.name, event):
            return
    if any(event in events for event in job.events):
        remedy = f"add {read.job_name!r} to its dependsOn"
        yield ServiceProblem("read-unordered", f"{where}, but no dependsOn orders the two; {remedy}", job.name)
    elif job.events:
        later = ", ".join(sorted(event.value for event in events))
        yield ServiceProblem("read-later", f"{where}, which runs later, at {later}", job.name)
