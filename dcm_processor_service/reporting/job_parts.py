"""Functions that return the parts of a job's page, as HTML; a part is empty if there is nothing to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.hypertext import Html, chip, element, facts, join, picture, table
from dcm_processor_service.models.network.sending import sending_html
from dcm_processor_service.reporting.wording import memory_text, seconds_text, short_json, uid_text, volume_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.models import SendReport, StepRecord
    from dcm_processor_service.models.images.pictures import ResultPicture
    from dcm_processor_service.models.log_lines import LogLine
    from dcm_processor_service.models.run_report import (
        DerivedObject,
        InputSeries,
        JobReport,
        OutputFile,
        OutputValue,
    )

__all__ = [
    "data_part",
    "derived_part",
    "error_part",
    "files_part",
    "inputs_part",
    "log_part",
    "pictures_part",
    "sent_part",
    "steps_part",
]

_NOTHING = Html("")
_DIGEST = 12
_LEVELS = {"warning": "warn", "error": "bad", "critical": "bad"}


def error_part(job: JobReport) -> Html:
    """Returns the error of the job, with its traceback."""
    if not job.error:
        return _NOTHING
    trace = element("pre", job.traceback.rstrip()) if job.traceback else ""
    return join([element("h3", "Error"), element("p", chip("error", "bad"), " ", job.error), trace])


def pictures_part(pictures: Sequence[ResultPicture]) -> Html:
    """Returns contact sheets, each with its legend: the name, colour and volume of each label."""
    shown = []
    for one in pictures:
        entries = [
            element(
                "span",
                element("span", class_="swatch", style=f"background:{entry.colour}"),
                f"{entry.name} {volume_text(entry.volume_ml)}",
            )
            for entry in one.legend
        ]
        legend = element("div", *entries, class_="legend") if entries else ""
        title = "scan" if one.shows == "series" else one.name
        caption = element("figcaption", legend, " · ".join(part for part in (title, one.caption) if part))
        shown.append(element("figure", picture(one.png, f"contact sheet of {title}"), caption))
    return join([element("h3", "Pictures"), *shown]) if shown else _NOTHING


def inputs_part(inputs: Sequence[InputSeries]) -> Html:
    """Returns the series that the job was about."""
    if not inputs:
        return _NOTHING
    rows = [
        [
            one.label,
            element("code", uid_text(one.series_instance_uid), title=one.series_instance_uid),
            _digest(one.sha256),
        ]
        for one in inputs
    ]
    return join([element("h3", "Subject"), table(["series", "SeriesInstanceUID", "SHA-256"], rows)])


def data_part(values: Sequence[OutputValue]) -> Html:
    """Returns the values that the job left in its data."""
    rows = [(one.name, element("code", _value(one))) for one in values]
    return join([element("h3", "Data"), facts(rows)]) if rows else _NOTHING


def _value(one: OutputValue) -> str:
    if one.value is None and one.size_characters > len("null"):
        return f"{one.size_characters:,} characters"
    return short_json(one.value)


def files_part(files: Sequence[OutputFile]) -> Html:
    """Returns the files that the job left."""
    rows = [[one.name, one.content_type, _digest(one.sha256 or ""), memory_text(one.size_bytes)] for one in files]
    return (
        join([element("h3", "Files"), table(["name", "type", "SHA-256", "size"], rows, right=[3])])
        if rows
        else _NOTHING
    )


def derived_part(made: Sequence[DerivedObject]) -> Html:
    """Returns the DICOM objects that the job made: a line for each series and SOP class."""
    series: dict[tuple[str, str], list[DerivedObject]] = {}
    for one in made:
        series.setdefault((one.series_instance_uid, one.sop_class_uid), []).append(one)
    rows = []
    for (uid, _kind), objects in series.items():
        first = objects[0]
        segments = ", ".join(first.segments)
        said = " · ".join(part for part in (first.description, segments) if part)
        rows.append(
            [first.kind or first.sop_class_uid, said, element("code", uid_text(uid), title=uid), str(len(objects))]
        )
    columns = ["object", "description", "SeriesInstanceUID", "instances"]
    return join([element("h3", "Derived objects"), table(columns, rows, right=[3])]) if rows else _NOTHING


def sent_part(reports: Sequence[SendReport]) -> Html:
    """Returns a report of each sending: the peer, and the result of each instance."""
    return join([element("h3", "Sent"), *map(sending_html, reports)]) if reports else _NOTHING


def steps_part(steps: Sequence[StepRecord]) -> Html:
    """Returns the time, peak memory and number of attempts of each step."""
    rows = [
        [
            one.name,
            chip(one.state, {"done": "ok", "failed": "bad"}.get(one.state, "")),
            str(one.attempts),
            memory_text(one.peak_memory_bytes) if one.peak_memory_bytes else "–",
            seconds_text(one.duration_s),
        ]
        for one in steps
    ]
    columns = ["step", "", "attempts", "peak memory", "time"]
    return join([element("h3", "Steps"), table(columns, rows, right=[2, 3, 4])]) if rows else _NOTHING


def log_part(lines: Sequence[LogLine]) -> Html:
    """Returns the log."""
    if not lines:
        return _NOTHING
    rows = []
    for line in lines:
        fields = "  ".join(f"{name}={short_json(value)}" for name, value in line.fields.items())
        said = join([line.message, element("span", f"  {fields}", class_="soft") if fields else ""])
        trace = element("pre", line.traceback.rstrip()) if line.traceback else ""
        level = chip(line.level, _LEVELS.get(line.level, ""))
        rows.append([element("code", line.time.strftime("%H:%M:%S"), class_="time"), level, join([said, trace])])
    counted = f"{len(lines)} line{'' if len(lines) == 1 else 's'}"
    shown = element(
        "details", element("summary", counted), table(["time (UTC)", "level", "message"], rows), open="open"
    )
    return join([element("h3", "Log"), shown])


def _digest(value: str) -> Html:
    return element("code", f"{value[:_DIGEST]}…", title=value) if value else Html("–")
