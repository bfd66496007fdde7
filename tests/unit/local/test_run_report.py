"""``report.html`` and ``run.json`` of a workspace: complete, repeatable, private, without the patient."""

from __future__ import annotations

import hashlib
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import RuntimeContext  # noqa: TC001 annotations of callbacks are read when they run
from dcm_processor_service.local.run_report import write_run_report
from dcm_processor_service.local.workspace import Workspace, describe
from dcm_processor_service.models import RunReport
from dcm_processor_service.testing import synthetic_series
from tests.unit.test_hypertext import Seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.local.workspace import LocalRun

PATIENT = ("Doe", "Jane", "PAT-7788", "1979")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace beside two series of one patient."""
    for number in (1, 2):
        folder = tmp_path / "scans" / str(number)
        folder.mkdir(parents=True)
        for dataset in synthetic_series(slices=3):
            dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "PAT-7788", "19790131"
            dataset.SeriesDescription, dataset.SeriesDate = f"Thorax {number} Jane", "20260102"
            dataset.SeriesInstanceUID += f".{number}"
            dataset.SOPInstanceUID += f".{number}"
            dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    return Workspace(tmp_path / "work")


def run_all(place: Workspace, function: Callable[[RuntimeContext], Any]) -> list[LocalRun]:
    filed, _catalogue = place.ingest([place.folder.parent / "scans"])
    params = {"threshold": 0.5}
    return [place.run(function, one, filed=filed, job_name="measure", params=params) for one in filed.series]


def measure(ctx: RuntimeContext) -> dict[str, object]:
    ctx.session.data["who"] = "Doe^Jane"
    ctx.session.data["big"] = "x" * 5000
    ctx.session.files.put("note.txt", b"nothing found")
    ctx.log.warning("seen Doe^Jane", volume_ml=1.5)
    return {"volume_ml": 1.5, "Jane Doe": "PAT-7788"}


def test_the_record_tells_inputs_outputs_and_versions_by_checksum(place: Workspace) -> None:
    runs = run_all(place, measure)
    write_run_report(place.folder, runs)
    record = RunReport.model_validate_json((place.folder / "run.json").read_text())
    assert {"python", "numpy", "pydicom", "dcm-processor-service"} <= {*record.versions}
    first, second = record.jobs
    series = first.inputs[0]
    assert (series.modality, series.instance_count, len(series.sha256)) == ("CT", 3, 64)
    assert series.series_instance_uid != second.inputs[0].series_instance_uid
    assert series.sha256 != second.inputs[0].sha256
    assert first.params == {"threshold": 0.5}
    assert first.result == {"volume_ml": 1.5, "[removed]": "[removed]"}
    assert [(one.name, one.value is None) for one in first.data] == [("big", True), ("who", False)]
    assert first.data[0].sha256 == hashlib.sha256(json.dumps("x" * 5000).encode()).hexdigest()
    assert [(one.name, one.sha256) for one in first.files] == [
        ("note.txt", hashlib.sha256(b"nothing found").hexdigest())
    ]
    assert [(line.level, line.fields) for line in first.log] == [("warning", {"volume_ml": 1.5})]
    assert (first.peak_memory_bytes or 0) > 1_000_000
    assert first.duration_s > 0


def test_the_record_of_a_second_run_differs_in_times_and_memory_alone(place: Workspace) -> None:
    records = []
    for _ in range(2):
        write_run_report(place.folder, run_all(place, measure))
        record = json.loads((place.folder / "run.json").read_text())
        for job in record["jobs"]:
            for measured in ("started_at", "duration_s", "peak_memory_bytes"):
                del job[measured]
            for line in job["log"]:
                del line["time"]
        records.append(json.dumps(record))
    assert records[0] == records[1]


def test_neither_file_has_a_value_of_the_patient(place: Workspace) -> None:
    write_run_report(place.folder, run_all(place, measure))
    for text in ((place.folder / "run.json").read_text(), Seen((place.folder / "report.html").read_text()).words):
        assert not [value for value in PATIENT if value in text]


def test_the_patient_is_shown_on_demand_on_the_page_and_never_in_the_record(place: Workspace) -> None:
    write_run_report(place.folder, run_all(place, measure), show_patient=True)
    assert "Doe^Jane" in (place.folder / "report.html").read_text()
    assert not [value for value in PATIENT if value in (place.folder / "run.json").read_text()]


def test_a_page_holds_as_many_pictures_as_a_browser_bears(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = run_all(place, measure)
    size_bytes = sum(len(picture.png) for picture in runs[0].pictures)
    monkeypatch.setattr("dcm_processor_service.local.run_report._MOST_PICTURE_BYTES", size_bytes)
    text = write_run_report(place.folder, runs).read_text()
    assert text.count("data:image/png;base64,") == 1
    assert "The pictures of 1 of the jobs are left out" in text


def test_both_files_are_this_users_alone(place: Workspace) -> None:
    page = write_run_report(place.folder, run_all(place, measure))
    assert page == place.folder / "report.html"
    for name in ("report.html", "run.json"):
        assert stat.S_IMODE((place.folder / name).stat().st_mode) == 0o600


def test_a_failed_job_is_reported_with_its_error(place: Workspace) -> None:
    def fail(_ctx: RuntimeContext) -> None:
        raise ValueError("no liver in the scan of Doe^Jane")

    write_run_report(place.folder, run_all(place, fail))
    [first, _second] = RunReport.model_validate_json((place.folder / "run.json").read_text()).jobs
    assert not first.ok
    assert first.exit_code == 1
    assert first.error.startswith("ValueError: ")
    assert "in fail" in first.traceback
    assert "Jane" not in first.error + first.traceback


def test_series_are_distinguished_by_modality_description_and_date(place: Workspace) -> None:
    filed, _catalogue = place.ingest([place.folder.parent / "scans"])
    labels = sorted(describe(one) for one in filed.series)
    assert labels == [f"series CT, Thorax {number} [removed], 2026-01-02, 3 instances" for number in (1, 2)]
