"""``pull``: a session of a real MongoDB in a workspace, without the patient, and what runs there."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from gridfs import GridFS
from pydicom import dcmread

from dcm_processor_service.local.workspace import sample_folder
from dcm_processor_service.runtime.execution.callbacks import find_callback
from dcm_processor_service.runtime.execution.runner import run_callback
from tests.command_line import Ran, run_here, run_process
from tests.integration.pulling.conftest import (
    LATER,
    NAME_IN_VALUES,
    PATIENT,
    PLANTED,
    SERIES_UID,
    STUDY_DATE,
    Session,
    add_second_series,
    planted,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bson import ObjectId
    from pymongo.database import Database

pytestmark = pytest.mark.mongodb

CALLBACK = '''
from dcm_processor_service import RuntimeContext

def run(ctx: RuntimeContext):
    """Reads what a job can read: images, params, and what the job before it stored."""
    series = ctx.session.dicom.get_series()
    volume = series.volume()
    job = ctx.job.read()
    return {
        "instances": len(list(series.datasets())),
        "shape": list(volume.array.shape),
        "sum": float(volume.array.sum()),
        "affine": volume.affine("LPS").round(6).tolist(),
        "threshold": job.params["threshold"],
        "volume_ml": ctx.session.data.get("volume_ml", job="segment"),
        "labels": ctx.session.data.get("labels", job="segment"),
        "known": sorted(one.name for one in ctx.session.jobs()),
        "depends_on": len(job.depends_on),
        "own": "mean" in ctx.session.data,
        "service": ctx.service_name,
    }
'''


def pulled(session: Session, folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    ran = run_here("pull", session.id, "--from", session.address, "--workspace", folder, "--json", *words)
    assert ran.code == code, ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


def dicom_files(folder: Path) -> list[Path]:
    return sorted((folder / "pulled").rglob("*.dcm"))


def left_in(folder: Path) -> list[str]:
    """The planted values that stand anywhere below a folder, in a file's content or name, in any letters."""
    content = b"\0".join(
        (path.read_bytes() if path.is_file() else b"") + b"\0" + str(path.relative_to(folder)).encode()
        for path in folder.rglob("*")
    ).lower()
    return [one for one in PLANTED if one.lower().encode() in content]


def values(folder: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(folder / "workspace.sqlite3")) as connection:
        return {name: json.loads(text) for name, text in connection.execute("SELECT name, value FROM data")}


def test_no_planted_value_of_the_patient_is_left_anywhere(session: Session, tmp_path: Path) -> None:
    assert len(set(PLANTED)) >= 40
    folder = tmp_path / "night"
    report = pulled(session, folder)
    assert report["instances"] == 5
    assert left_in(folder) == []
    assert left_in(tmp_path) == []


def test_the_search_for_planted_values_finds_them(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    pulled(session, folder, "--identified", "--with-files")
    missing = set(PLANTED) - set(left_in(folder))
    assert not missing


def test_a_run_gives_what_the_platform_gave(session: Session, tmp_path: Path) -> None:
    code, folder = tmp_path / "measure.py", tmp_path / "night"
    code.write_text(CALLBACK)
    there = run_callback(find_callback(f"{code}:run"), session.settings("measure"))
    assert there.error is None
    pulled(session, folder)
    ran = run_here("run", code, "--workspace", folder, "--json")
    assert ran.code == 0, ran.stderr
    (here,) = map(json.loads, ran.stdout.splitlines())
    assert there.result is not None
    # the pre-service's job has no subject and nothing that a run needs; the job's own values are made anew
    expected = {**there.result, "depends_on": 1, "own": False}
    expected["known"] = [name for name in expected["known"] if name]
    assert here["result"] == expected
    assert here["result"]["threshold"] == 40


SUMMARY = """
from dcm_processor_service import RuntimeContext


def run(ctx: RuntimeContext):
    found = ctx.session.data.collect("volume_ml", job="segment")
    return sorted(one.value for one in found.values())
"""
COUNT = """
from dcm_processor_service import RuntimeContext


def run(ctx: RuntimeContext):
    ctx.session.data["volume_ml"] = len(list(ctx.session.dicom.get_series().datasets()))
"""


def test_jobs_of_two_levels_read_each_other_as_in_the_platform(session: Session, tmp_path: Path) -> None:
    add_second_series(session)
    folder, summary, segment = tmp_path / "night", tmp_path / "summary.py", tmp_path / "segment.py"
    summary.write_text(SUMMARY)
    segment.write_text(COUNT)
    report = pulled(session, folder)
    assert (report["series"], report["studies"], report["instances"]) == (2, 1, 6)
    first = run_here("run", summary, "--workspace", folder, "--json")
    assert json.loads(first.stdout)["result"] == [7.5, 12.5]
    again = run_here("run", segment, "--workspace", folder, "--workers", 2, "--json")
    assert again.code == 0, again.stderr
    second = run_here("run", summary, "--workspace", folder, "--json")
    assert json.loads(second.stdout)["result"] == [1, 5]
    assert left_in(folder) == []


def test_a_pulled_workspace_can_be_moved(session: Session, tmp_path: Path) -> None:
    code, folder = tmp_path / "measure.py", tmp_path / "night"
    code.write_text(CALLBACK)
    pulled(session, folder)
    elsewhere = folder.rename(tmp_path / "laptop")
    ran = run_here("run", code, "--workspace", elsewhere, "--json")
    assert ran.code == 0, ran.stderr
    assert json.loads(ran.stdout)["result"]["instances"] == 5


def test_one_job_of_a_service_runs_with_the_platforms_params(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    pulled(session, folder)
    service = tmp_path / "lung"
    made = run_here("new", "lung", folder=tmp_path)
    assert made.code == 0, made.stderr
    manifest_path = service / "dcm-processor.json"
    manifest = json.loads(manifest_path.read_text())
    (job,) = manifest["service"]["jobs"]
    job["jobName"], job["params"] = "broken", {}
    module = service / manifest["service"]["module"]
    (module / "__init__.py").write_text(
        "from dcm_processor_service import entrypoint, RuntimeContext\n"
        "def _run(ctx: RuntimeContext):\n"
        "    return [ctx.job.read().params['threshold'], ctx.session.data.get('mean', job='measure')]\n"
        f"{job['workerEntry']} = entrypoint(_run)\n"
    )
    manifest_path.write_text(json.dumps(manifest))
    ran = run_here("run", service, "--workspace", folder, "--job-name", "broken", "--json")
    assert ran.code == 0, ran.stderr
    (one,) = map(json.loads, ran.stdout.splitlines())
    assert one["result"] == [40, 3.0]
    unknown = run_here("run", service, "--workspace", folder, "--job-name", "other")
    assert (unknown.code, "the service has no job 'other'" in unknown.stderr) == (2, True)


def test_a_callback_whose_job_the_session_had_not_is_reported_the_names(session: Session, tmp_path: Path) -> None:
    code, folder = tmp_path / "liver.py", tmp_path / "night"
    code.write_text(CALLBACK)
    pulled(session, folder)
    ran = run_here("run", code, "--workspace", folder)
    assert ran.code == 2
    assert "it has: segment, measure, broken" in ran.stderr


def test_the_database_is_not_written_to(session: Session, tmp_path: Path) -> None:
    before = session.fingerprint()
    pulled(session, tmp_path / "night", "--with-files")
    assert session.fingerprint() == before


def test_uids_are_consistent_over_headers_references_values_names_and_texts(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    pulled(session, folder)
    headers = [dcmread(path) for path in dicom_files(folder)]
    (series_uid,) = {one.SeriesInstanceUID for one in headers}
    sops = [one.SOPInstanceUID for one in headers]
    assert len(set(sops)) == 5
    assert all(one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID for one in headers)
    assert {one.ReferencedImageSequence[0].ReferencedSOPInstanceUID for one in headers} == {sops[0]}
    stored = values(folder)
    of_series = stored[f"of {series_uid}"]
    assert of_series["instances"] == sops
    with closing(sqlite3.connect(folder / "workspace.sqlite3")) as connection:
        (series_id,) = connection.execute("SELECT id FROM subjects WHERE level = 'series'").fetchone()
        contents = dict(connection.execute("SELECT name, content FROM files").fetchall())
    assert of_series["series"] == series_id
    assert sops[1] in (folder / "files" / contents["report.txt"]).read_text()
    derived = dcmread(folder / "files" / contents["slice.dcm"])
    assert derived.SeriesInstanceUID == series_uid


def test_pixels_are_untouched_and_dates_keep_their_distance(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    pulled(session, folder)
    for original, path in zip(sorted(sample_folder().iterdir()), dicom_files(folder), strict=True):
        before, after = dcmread(original), dcmread(path)
        assert after.PixelData == before.PixelData
        assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
        assert after.ImagePositionPatient == before.ImagePositionPatient
        assert (after.AcquisitionTime, after.StudyTime) == (before.AcquisitionTime, before.StudyTime)
        days = [datetime.strptime(one, "%Y%m%d") for one in (after.StudyDate, after.AcquisitionDate)]  # noqa: DTZ007
        assert (days[1] - days[0]).days == int(LATER) - int(STUDY_DATE)
        assert after.StudyDate < STUDY_DATE
        assert after.AcquisitionDateTime == f"{after.AcquisitionDate}101500"


def test_the_header_says_what_was_done(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    pulled(session, folder)
    header = dcmread(dicom_files(folder)[0], stop_before_pixels=True)
    assert header.PatientIdentityRemoved == "YES"
    assert "113100" in [one.CodeValue for one in header.DeidentificationMethodCodeSequence]
    assert header.LongitudinalTemporalInformationModified == "MODIFIED"
    assert str(header.PatientID).startswith("PULLED-")
    assert "PatientBirthDate" not in header or not header.PatientBirthDate
    assert not [element for element in header.iterall() if element.tag.is_private]


def test_values_keep_what_tells_nothing_of_the_patient(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    report = pulled(session, folder)
    stored = values(folder)
    assert (stored["volume_ml"], stored["labels"], stored["mean"]) == (12.5, ["liver", "lung"], 3.0)
    assert report["data"] == 7
    assert stored["whose"]["name"] == "[removed]"
    assert report["jobs"] == ["segment", "measure", "broken"]


def test_files_that_nobody_can_read_stay_behind_unless_they_are_asked_for(session: Session, tmp_path: Path) -> None:
    report = pulled(session, tmp_path / "without")
    assert report["files"] == 3
    (left,) = report["left_behind"]
    assert left["what"] == "file mask.bin of the job segment"
    assert "--with-files" in left["reason"]
    assert pulled(session, tmp_path / "with", "--with-files")["files"] == 4


def test_headers_alone_have_no_pixels(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    pulled(session, folder, "--only-headers")
    for path in dicom_files(folder):
        header = dcmread(path)
        assert "PixelData" not in header
        assert header.Rows


def test_characteristics_and_descriptions_are_kept_where_asked_for(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    pulled(session, folder, "--keep", "characteristics", "--keep", "descriptions")
    kept, original = dcmread(dicom_files(folder)[0]), dcmread(min(sample_folder().iterdir()))
    assert kept.PatientSex == original.PatientSex
    assert kept.SeriesDescription == "axial [removed]"
    assert left_in(folder) == []


def test_two_pulls_have_nothing_in_common_but_pixels(session: Session, tmp_path: Path) -> None:
    first, second = pulled(session, tmp_path / "a"), pulled(session, tmp_path / "b")
    assert first["session_id"] != second["session_id"]
    of = [{str(dcmread(path).SOPInstanceUID) for path in dicom_files(tmp_path / name)} for name in "ab"]
    assert not of[0] & of[1]


@pytest.mark.parametrize(("told", "warned"), [("YES", True), ("NO", False), ("", True)])
def test_pictures_that_may_show_text_are_warned_of(
    session: Session, tmp_path: Path, told: str, *, warned: bool
) -> None:
    dataset = planted(min(sample_folder().iterdir()), 1)
    dataset.Modality, dataset.BurnedInAnnotation = "US", told
    replace_instances(session, dataset)
    folder = tmp_path / "night"
    ran = run_here("pull", session.id, "--from", session.address, "--workspace", folder, "--json")
    report = json.loads(ran.stdout)
    assert bool(report["burned_in"]) == warned
    assert ("may show text of the patient" in ran.stderr) == warned
    assert SERIES_UID not in ran.stderr
    header = dcmread(dicom_files(folder)[0])
    assert header.PatientIdentityRemoved == ("NO" if warned else "YES")


@pytest.mark.parametrize("keyword", ["Modality", "SeriesInstanceUID", "BurnedInAnnotation", "ImageType"])
def test_a_header_with_two_values_for_one_costs_no_pull(session: Session, tmp_path: Path, keyword: str) -> None:
    dataset = planted(min(sample_folder().iterdir()), 1)
    setattr(dataset, keyword, ["1.2.826.5", "1.2.826.6"] if keyword == "SeriesInstanceUID" else ["CT", "US"])
    replace_instances(session, dataset)
    ran = run_here("pull", session.id, "--from", session.address, "--workspace", tmp_path / "night", "--json")
    assert json.loads(ran.stdout)["instances"] == 1


def replace_instances(session: Session, *datasets: Any) -> list[ObjectId]:
    """Puts files in the place of the series' own; returns their ids."""
    bucket = GridFS(session.database, "dicomfiles")
    made = []
    for dataset in datasets:
        buffer = BytesIO()
        dataset.save_as(buffer)
        metadata = {"SOPInstanceUID": dataset.SOPInstanceUID}
        made.append(bucket.put(buffer.getvalue(), filename="a.dcm", metadata=metadata))
    session.database.series.update_one({}, {"$set": {"Instances": [str(one) for one in made]}})
    return made


def test_headers_behind_a_lost_instance_tell_of_the_patient_too(session: Session, tmp_path: Path) -> None:
    slices = [planted(path, number) for number, path in enumerate(sorted(sample_folder().iterdir())[:3], 1)]
    slices[1].ManufacturerModelName = "of Ebereschental"
    slices[2].OtherPatientNames = "Ebereschental^Ulf"
    lost = replace_instances(session, *slices)[0]
    session.database["dicomfiles.chunks"].delete_many({"files_id": lost})
    folder = tmp_path / "night"
    assert pulled(session, folder, code=1)["instances"] == 2
    assert {str(dcmread(path).ManufacturerModelName) for path in dicom_files(folder)} & {"of [removed]"}
    assert not [path for path in dicom_files(folder) if b"Ebereschental" in path.read_bytes()]


def test_a_lost_instance_is_reported_and_the_exit_code_says_that_a_run_may_differ(
    session: Session, tmp_path: Path
) -> None:
    lost = session.database["dicomfiles.files"].find_one({})
    assert lost is not None
    session.database["dicomfiles.chunks"].delete_many({"files_id": lost["_id"]})
    report = pulled(session, tmp_path / "night", code=1)
    assert report["instances"] == 4
    assert [one["what"] for one in report["left_behind"] if one["faulty"]] == ["instance 1 of series 1"]


def test_what_is_no_dicom_file_is_left_behind_without_a_word_of_it(session: Session, tmp_path: Path) -> None:
    lost = session.database["dicomfiles.files"].find_one({})
    assert lost is not None
    garbage = f"{NAME_IN_VALUES} is not a DICOM file".encode().ljust(lost["length"], b" ")
    session.database["dicomfiles.chunks"].update_one({"files_id": lost["_id"]}, {"$set": {"data": garbage}})
    session.database["dicomfiles.chunks"].delete_many({"files_id": lost["_id"], "n": {"$gt": 0}})
    ran = run_here("pull", session.id, "--from", session.address, "--workspace", tmp_path / "night", "--json")
    assert ran.code == 1
    assert "Zwetschgenbaum" not in ran.stdout + ran.stderr
    assert left_in(tmp_path / "night") == []


def command(session: Session, *words: str | Path) -> Ran:
    return run_here("pull", *words, "--from", session.address)


def test_what_cannot_be_pulled_is_a_sentence(session: Session, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for ran, code, sentence in [
        (command(session, "5e" * 12, "--workspace", tmp_path / "a"), 2, "there is no session"),
        (command(session, "liver", "--workspace", tmp_path / "a"), 2, "'liver' is not an id of a session"),
        (command(session, session.id, "--workspace", full), 2, "is not empty"),
        (command(session, session.id, "--workspace", tmp_path / "a", "--keep", "all"), 2, "--keep 'all' is not known"),
        (run_here("pull", session.id, "--from", "http://example.invalid/x"), 2, "--from names the platform's database"),
        (run_here("pull", session.id, "--from", session.url), 2, "end with the database's name"),
        (
            run_here("pull", session.id, "--from", "mongodb://localhost:no/x"),
            2,
            "--from is not a usable MongoDB connection",
        ),
    ]:
        assert (ran.code, ran.stdout) == (code, "")
        assert sentence in ran.stderr
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_what_failed_half_way_leaves_an_empty_folder(session: Session, tmp_path: Path) -> None:
    session.database["dicomfiles.chunks"].delete_many({})
    folder = tmp_path / "night"
    ran = run_here("pull", session.id, "--from", session.address, "--workspace", folder)
    assert ran.code == 2
    assert "no image of the session" in ran.stderr
    assert list(folder.iterdir()) == []


def test_in_a_process_of_its_own_the_environment_names_the_database(session: Session, tmp_path: Path) -> None:
    variables = {
        "DCM_PROCESSOR_SERVICE_DB_PROVIDER": "mongodb",
        "DCM_PROCESSOR_SERVICE_DB_URL": session.url,
        "DCM_PROCESSOR_SERVICE_DB_NAME": session.database.name,
    }
    ran = run_process("pull", session.id, "--workspace", tmp_path / "night", variables=variables)
    assert ran.code == 0, ran.stderr
    assert re.search(r"5 instances, 1 series, 1 study, 3 jobs, 7 values, 3 files", ran.stdout)
    assert "The pixels are unchanged" in ran.stderr
    assert PATIENT["PatientID"] not in ran.stdout + ran.stderr


def test_a_session_whose_images_are_gone_is_reported(
    session: Session, database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    database.patients.delete_many({})
    ran = run_here("pull", session.id, "--from", session.address, "--workspace", tmp_path / "night")
    assert (ran.code, "its images are gone" in ran.stderr) == (2, True)
