"""The page of a run: every part of it, escaped, and the patient only on demand."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from dcm_processor_service.models import (
    DerivedObject,
    InputSeries,
    InstanceRecord,
    JobReport,
    LabelEntry,
    LogLine,
    Outcome,
    OutputFile,
    OutputValue,
    ResultPicture,
    RunReport,
    SendReport,
    StepRecord,
)
from dcm_processor_service.models.jobs import JobEvent
from dcm_processor_service.reporting.run_page import run_page
from tests.unit.test_hypertext import Seen

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def job(mark: str = "", **fields: Any) -> JobReport:
    """A job with something in every part, each marked."""
    values: dict[str, Any] = {
        "job_id": "1" * 24,
        "job_name": f"segment{mark}",
        "session_id": "5" * 24,
        "event": JobEvent.STABLE_SERIES,
        "service_name": f"liver{mark}",
        "subject_level": "series",
        "inputs": (
            InputSeries(
                series_instance_uid=f"1.2.3{mark}", modality="CT", description=f"Abdomen{mark}", date="2026-01-02"
            ),
        ),
        "params": {"threshold": f"0.5{mark}"},
        "result": {"ok": f"yes{mark}"},
        "data": (OutputValue(name=f"volume{mark}", value=f"12.5{mark}", sha256="a" * 64),),
        "files": (OutputFile(name=f"mask.nii.gz{mark}", size_bytes=2048, content_type=f"x/gz{mark}"),),
        "derived": (
            DerivedObject(
                sop_class_uid="1.2",
                sop_instance_uid="1.2.9",
                kind=f"Segmentation{mark}",
                description=f"derived{mark}",
                segments=(f"liver{mark}",),
            ),
        ),
        "sent": (
            SendReport(
                peer=f"PACS@h:104{mark}",
                records=(
                    InstanceRecord(sop_instance_uid=f"1.2.9{mark}", outcome=Outcome.STORED, status=0),
                    InstanceRecord(
                        sop_instance_uid="1.2.10", outcome=Outcome.REFUSED, status=0x122, meaning=f"no{mark}"
                    ),
                ),
            ),
        ),
        "steps": (
            StepRecord(
                name=f"infer{mark}", state="done", attempt="x", started_at=NOW, duration_s=75, peak_memory_bytes=2**30
            ),
        ),
        "log": (LogLine(time=NOW, level="warning", message=f"odd{mark}", fields={f"field{mark}": f"value{mark}"}),),
        "patient": {"patient": f"Doe^Jane{mark}"},
    }
    return JobReport(**{**values, **fields})


def page(*jobs: JobReport, **options: Any) -> str:
    return run_page(RunReport(versions={"numpy": "2.0"}, jobs=jobs), **options)


def test_the_page_tells_of_every_part() -> None:
    text = page(job())
    words = Seen(text).words
    for part in (
        *("Run of segment", "1 job done", "CT, Abdomen, 2026-01-02, 0 instances", "12.5", "mask.nii.gz", "2.0 KiB"),
        *(
            "Segmentation",
            "liver",
            "1 of 2 instances stored at PACS@h:104",
            "0122 no",
            "infer",
            "1 min 15 s",
            "1.0 GiB",
        ),
        *("odd", "field", "warning", "numpy 2.0", "stable-series"),
    ):
        assert part in words


def test_nothing_on_the_page_is_taken_for_html() -> None:
    text = page(job("<script>&\"'"), show_patient=True)
    plain = page(job(), show_patient=True)
    assert Seen(text).tags == Seen(plain).tags
    assert Seen(text).words.count("<script>&\"'") >= 18


def test_the_patient_is_there_on_demand_alone() -> None:
    assert "Doe^Jane" not in page(job())
    assert "Doe^Jane" in page(job(), show_patient=True)
    assert "treat it as part of the record" in page(job(), show_patient=True)


def test_a_failed_job_shows_its_error_and_traceback() -> None:
    words = Seen(page(job(exit_code=1, error="ValueError: no liver", traceback="in run"), job())).words
    for part in ("1 of 2 jobs failed", "failed", "ValueError: no liver", "in run"):
        assert part in words


def test_parts_without_content_have_no_heading() -> None:
    bare = JobReport(job_id="1" * 24, job_name="x", session_id="5" * 24)
    words = Seen(page(bare)).words
    for heading in ("Pictures", "Data", "Files", "Derived objects", "Sent", "Steps", "Log", "Error", "Overview"):
        assert f">{heading}<" not in page(bare)
    assert "no subject, 0 series" in words


def test_a_legend_names_each_label_with_its_colour_and_volume() -> None:
    entry = LabelEntry(number=1, name="liver <left>", colour="#e69f00", volume_ml=1512.26)
    shown = ResultPicture(name="mask.nii.gz", png=b"\x89PNG", caption="8 of 60 slices", legend=(entry,))
    text = page(job(), pictures={"1" * 24: [shown]})
    assert "liver &lt;left&gt; 1,512.3 ml" in text
    assert "background:#e69f00" in text
    assert "data:image/png;base64,iVBORw==" in text
    assert "mask.nii.gz · 8 of 60 slices" in text


def test_jobs_whose_pictures_do_not_fit_are_counted() -> None:
    shown = ResultPicture(name="mask.nii.gz", png=b"\x89PNG")
    other = job(job_id="2" * 24)
    assert "The pictures of 1 of the jobs are left out" in page(job(), other, pictures={"1" * 24: [shown]})
    assert "are left out, so that" not in page(job(), other, pictures={"1" * 24: [shown], "2" * 24: []})
    assert "are left out, so that" not in page(job(), other)


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": [1]}])
def test_a_value_is_shown_as_json(value: object) -> None:
    import json

    stored = OutputValue(name="x", value=value, size_characters=len(json.dumps(value)), sha256="")
    assert json.dumps(value) in Seen(page(job(data=(stored,)))).words


def test_run_json_has_no_field_of_the_patient_and_no_free_text_of_the_header() -> None:
    text = RunReport(versions={}, jobs=(job(),)).model_dump_json()
    assert "Jane" not in text
    assert "Abdomen" not in text
    assert "2026-01-02" not in text.replace(NOW.isoformat()[:10] + "T", "")


def test_subjects_that_look_alike_are_told_apart_by_the_ids_that_their_folders_have() -> None:
    jobs = tuple(
        job(session_id=f"{number}" * 24, subject_id=f"{number}" * 24, job_name=name)
        for number in (1, 2)
        for name in ("mask", "measure")
    )
    page = run_page(RunReport(versions={}, jobs=jobs))
    assert "2 patients" in page
    for number in (1, 2):
        assert page.count(f"<h2>CT, Abdomen, 2026-01-02, 0 instances ({f'{number}' * 8})</h2>") == 2
    alone = run_page(RunReport(versions={}, jobs=jobs[:2]))
    assert alone.count("<h2>CT, Abdomen, 2026-01-02, 0 instances</h2>") == 2
    assert "patients" not in alone.partition("<footer>")[0]


def test_a_study_is_not_taken_for_its_only_series() -> None:
    assert job(subject_level="study").label == "study of CT, Abdomen, 2026-01-02, 0 instances"
    assert JobReport.model_validate(job().as_portable()) == job(patient={})
