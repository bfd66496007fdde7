"""The page of a run: inputs, results, sendings, time and memory of each job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.hypertext import chip, element, facts, join, page, table
from dcm_processor_service.reporting.job_parts import (
    data_part,
    derived_part,
    error_part,
    files_part,
    inputs_part,
    log_part,
    pictures_part,
    sent_part,
    steps_part,
)
from dcm_processor_service.reporting.wording import memory_text, seconds_text, short_json, state_chip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dcm_processor_service.hypertext import Html
    from dcm_processor_service.models.images.pictures import ResultPicture
    from dcm_processor_service.models.run_report import JobReport, RunReport

__all__ = ["run_page"]

_LOCAL, _NO_VERSION = "local", "0"
_LEFT_OUT = (
    "The pictures of {} of the jobs are left out, so that a browser can open the page: they lie beside the jobs' files."
)
_TIMES = "%Y-%m-%d %H:%M UTC"


def run_page(
    report: RunReport, pictures: Mapping[str, Sequence[ResultPicture]] | None = None, *, show_patient: bool = False
) -> str:
    """Returns the page of a run, which loads nothing from elsewhere.

    Args:
        report: What the jobs did.
        pictures: Contact sheets by the id of their job.
        show_patient: Whether name, id, birth date and sex of the patient are shown.

    Example:
        >>> from dcm_processor_service.reporting.versions import versions
        >>> from dcm_processor_service.models.run_report import RunReport
        >>> run_page(RunReport(versions=versions(), jobs=()))[:15]
        '<!doctype html>'
    """
    names = list(dict.fromkeys(job.job_name for job in report.jobs))
    title = f"Run of {', '.join(names)}" if names else "A run without jobs"
    drawn = pictures or {}
    several = len(report.jobs) > 1
    bare = sum(job.job_id not in drawn for job in report.jobs) if drawn else 0
    labels = _labels(report.jobs)
    articles = [
        _article(job, label, drawn.get(job.job_id, ()), f"job-{number}", show_patient=show_patient)
        for number, (job, label) in enumerate(zip(report.jobs, labels, strict=True), 1)
    ]
    overview = [element("article", element("h2", "Overview"), _overview(report.jobs, labels))] if several else []
    note = [element("p", _LEFT_OUT.format(bare), class_="soft")] if bare else []
    return page(title, _header(title, report), *note, *overview, *articles, _footer(report, show_patient=show_patient))


def _header(title: str, report: RunReport) -> Html:
    failed = sum(not job.ok for job in report.jobs)
    total_s = sum(job.duration_s for job in report.jobs)
    count = f"{len(report.jobs)} job{'' if len(report.jobs) == 1 else 's'}"
    services = dict.fromkeys(_service(job) for job in report.jobs)
    stated = chip(f"{failed} of {count} failed", "bad") if failed else chip(f"{count} done", "ok")
    patients = len({job.session_id for job in report.jobs})  # a session is one patient's
    parts = [
        f"service {', '.join(filter(None, services))}" if any(services) else "",
        f"{patients} patients" if patients > 1 else "",
        f"{seconds_text(total_s)} in jobs",
    ]
    said = " · ".join(filter(None, parts))
    return join([element("div", element("h1", title), stated, class_="head"), element("p", said, class_="soft")])


def _service(job: JobReport) -> str:
    """Returns name and version of the service; empty for a local run of a callback, which has no service."""
    version = "" if job.service_version == _NO_VERSION else job.service_version
    return "" if job.service_name == _LOCAL else f"{job.service_name} {version}".strip()


def _labels(jobs: Sequence[JobReport]) -> list[str]:
    """Returns the jobs' labels; if those of several subjects are equal, with the id that the subject's folder has."""
    subjects: dict[str, set[str]] = {}
    for job in jobs:
        subjects.setdefault(job.label, set()).add(job.subject_id)
    return [f"{job.label} ({job.subject_id[:8]})" if len(subjects[job.label]) > 1 else job.label for job in jobs]


def _overview(jobs: Sequence[JobReport], labels: Sequence[str]) -> Html:
    rows = [
        [
            state_chip(job),
            element("a", label, href=f"#job-{number}"),
            job.job_name,
            str(len(job.files)),
            _sent_count(job),
            seconds_text(job.duration_s),
        ]
        for number, (job, label) in enumerate(zip(jobs, labels, strict=True), 1)
    ]
    return table(["", "subject", "job", "files", "sent", "time"], rows, right=[3, 4, 5])


def _sent_count(job: JobReport) -> str:
    total = sum(len(one.records) for one in job.sent)
    return f"{sum(one.stored for one in job.sent)} of {total}" if total else "–"


def _article(job: JobReport, label: str, pictures: Sequence[ResultPicture], anchor: str, *, show_patient: bool) -> Html:
    took = [seconds_text(job.duration_s)]
    if job.peak_memory_bytes:
        took.append(f"{memory_text(job.peak_memory_bytes)} at most")
    said = facts(
        [
            *(sorted(job.patient.items()) if show_patient else ()),
            ("job", f"{job.job_name} ({job.event.value})" if job.event else job.job_name),
            ("started", job.started_at.strftime(_TIMES) if job.started_at else ""),
            ("took", ", ".join(took)),
            ("params", element("code", short_json(job.params)) if job.params else ""),
            ("returned", element("code", short_json(job.result)) if job.result is not None else ""),
        ]
    )
    parts = [
        error_part(job),
        pictures_part(pictures),
        inputs_part(job.inputs),
        data_part(job.data),
        files_part(job.files),
        derived_part(job.derived),
        sent_part(job.sent),
        steps_part(job.steps),
        log_part(job.log),
    ]
    head = element("div", element("h2", label), state_chip(job), class_="head")
    return element("article", head, said, *(part for part in parts if part), id=anchor)


def _footer(report: RunReport, *, show_patient: bool) -> Html:
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    patient = (
        "This page shows values of the patient: treat it as part of the record."
        if show_patient
        else "Name, id and birth date of the patient are left out of all text. What is burned into pixels is not."
    )
    return element(
        "footer", element("p", patient), element("p", "Not for diagnosis: slices are reduced."), element("p", versions)
    )
