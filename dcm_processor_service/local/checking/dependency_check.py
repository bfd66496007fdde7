"""Checks that the scheduler creates every job of a manifest: names, events, fields, ``dependsOn``."""

from __future__ import annotations

import keyword
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.keywords import unknown_name_sentence
from dcm_processor_service.local.checking.problem import ServiceProblem
from dcm_processor_service.local.service.manifest import JOB_FIELDS
from dcm_processor_service.models.durations import duration_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.local.service.manifest import Manifest, ServiceJob
    from dcm_processor_service.models import JobEvent

__all__ = ["ancestors", "dependency_problems"]


def dependency_problems(manifest: Manifest) -> Iterator[ServiceProblem]:
    """Finds the jobs that the scheduler would drop without a message, and fields of jobs that have no effect."""
    if not any(not job.disabled for job in manifest.jobs):
        yield ServiceProblem("no-jobs", "the manifest has no job that is not disabled, so nothing ever runs")
    for job in manifest.jobs:
        if not job.disabled:
            yield from _name_problems(job)
            yield from _field_problems(job)
            yield from _depends_on_problems(job, manifest)
    counted = Counter((job.name, event) for job in manifest.jobs for event in job.events if not job.disabled)
    for (name, event), count in counted.items():
        if count > 1:
            yield ServiceProblem(
                "duplicate-job",
                f"{count} jobs of {event.value} are named {name!r}, of which the scheduler creates only the first; "
                "give each a name of its own",
                name,
            )
    yield from _circles(manifest)


def _name_problems(job: ServiceJob) -> Iterator[ServiceProblem]:
    if not job.events:
        yield ServiceProblem(
            "no-event",
            "it has no event, so it never runs; give stable-series, stable-study or stable-patient",
            job.name,
        )
    if "." in job.name:
        yield ServiceProblem(
            "job-name",
            "its name has a dot, so the scheduler cannot import its registry and takes that for a refusal; rename it",
            job.name,
        )
    for field, entry in (("workerEntry", job.worker_entry), ("registryEntry", job.registry_entry)):
        if not entry.isidentifier() or keyword.iskeyword(entry):
            yield ServiceProblem("entry-name", f"its {field} {entry!r} is not a name of a Python function", job.name)


def _field_problems(job: ServiceJob) -> Iterator[ServiceProblem]:
    for name in job.unknown:
        meant = get_close_matches(_plain(name), [_plain(field) for field in JOB_FIELDS], 1, 0.8)
        for field in JOB_FIELDS:
            if _plain(field) in meant:
                yield ServiceProblem(
                    "job-field", f"the platform knows no field {name!r} of a job; did you mean {field!r}?", job.name
                )
    try:
        duration_s(job.timeout if isinstance(job.timeout, (str, int, float)) else None)
    except UnsupportedValueError as error:
        yield ServiceProblem("timeout", f"its timeout has no effect: {error}", job.name)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _depends_on_problems(job: ServiceJob, manifest: Manifest) -> Iterator[ServiceProblem]:
    names = {one.name for one in manifest.jobs}
    for name in job.depends_on:
        others = [one for one in manifest.jobs if one.name == name]
        if not others and not manifest.required_services:
            sentence = unknown_name_sentence("the manifest", "job", name, names - {job.name})
            yield ServiceProblem("unknown-job", f"dependsOn: {sentence}; the job would never be created", job.name)
        elif not others:
            services = ", ".join(manifest.required_services)
            yield ServiceProblem(
                "job-elsewhere",
                f"dependsOn: {name!r} is not a job of this manifest; it has to be one of a required service "
                f"({services})",
                job.name,
                blocking=False,
            )
        elif all(one.disabled for one in others):
            yield ServiceProblem(
                "disabled-job", f"dependsOn: {name!r} is disabled, so the job would never be created", job.name
            )
        else:
            apart = [event.value for event in job.events if not any(event in one.events for one in others)]
            if apart:
                yield ServiceProblem(
                    "other-event",
                    f"dependsOn: {name!r} is not a job of {', '.join(apart)}, so the job would never be created there; "
                    "a job waits for all jobs of lower levels anyway: remove the name",
                    job.name,
                )


def _circles(manifest: Manifest) -> Iterator[ServiceProblem]:
    reported: set[frozenset[str]] = set()
    for job in manifest.jobs:
        for event in job.events:
            circle = frozenset(
                name for name in ancestors(manifest, job.name, event) if job.name in ancestors(manifest, name, event)
            )
            if job.name in circle and circle not in reported:
                reported.add(circle)
                names = " and ".join(map(repr, sorted(circle)))
                yield ServiceProblem(
                    "circle", f"dependsOn leads in a circle through {names}, so none of them is ever created", job.name
                )


def ancestors(manifest: Manifest, name: str, event: JobEvent) -> set[str]:
    """Returns the jobs of an event that a job waits for, directly or through others."""
    waits = {job.name: job.depends_on for job in manifest.jobs if event in job.events}
    found: set[str] = set()
    pending = [*waits.get(name, ())]
    while pending:
        other = pending.pop()
        if other not in found:
            found.add(other)
            pending += waits.get(other, ())
    return found
