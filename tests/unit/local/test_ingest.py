"""Filing a folder: every file is filed or named with a reason, whatever is in it."""

from __future__ import annotations

import gzip
import warnings
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import Container
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import ConfigurationError, UnreadableFileError
from dcm_processor_service.imaging.headers.folder import files_below, text_attributes
from dcm_processor_service.models.platform_ids import platform_id
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.images.catalogue import ATTRIBUTES, Catalogue, Filed, catalogue_files
from dcm_processor_service.testing import synthetic_series

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.models import Glance
    from dcm_processor_service.session.functions import ImagingFunctions

IMAGING: ImagingFunctions = Container().imaging()
NO_UID = "without a readable StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID"


def make_series(number: int = 1, *, slices: int = 2, **attributes: Any) -> list[Dataset]:
    """A series with a UID of its own; a study of its own too, when one is given."""
    made = synthetic_series(slices=slices)
    for position, dataset in enumerate(made):
        dataset.SeriesInstanceUID = f"1.2.3.{number}"
        dataset.SOPInstanceUID = f"1.2.3.{number}.{position}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
    return made


def save(datasets: Iterable[Dataset], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for dataset in datasets:
        path = folder / f"{dataset.get('SOPInstanceUID') or 'none'}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def ingest(folder: Path) -> Catalogue:
    return catalogue_files(files_below(folder), IMAGING)


def add(catalogue: Catalogue, dataset: Dataset) -> None:
    catalogue.add(text_attributes(dataset, ATTRIBUTES), b"", 0)


def filed(catalogue: Catalogue, store: MemoryStore | None = None) -> Filed:
    return run_inline(catalogue.file_into((store or MemoryStore()).backend()))


def test_files_are_filed_under_patient_study_and_series(tmp_path: Path) -> None:
    save(make_series(1, slices=3, SeriesDescription="thin", StudyDate="20240102"), tmp_path / "a" / "deep" / "er")
    save(make_series(2, Modality="MR"), tmp_path / "b")
    save(make_series(3, StudyInstanceUID="1.9"), tmp_path)
    result = filed(ingest(tmp_path))
    assert result.instance_count == 7
    (patient,) = result.patients
    by_uid = {study.study_instance_uid: study for study in result.studies}
    assert set(patient.study_ids) == {study.id for study in result.studies}
    assert len(by_uid["1.2.826.0.1.3680043.8.498.1"].series_ids) == 2
    series = {one.series_instance_uid: one for one in result.series}
    assert len(series["1.2.3.1"].instance_ids) == 3
    assert series["1.2.3.2"].modality == "MR"
    assert series["1.2.3.1"].metadata["SeriesDescription"] == "thin"
    assert series["1.2.3.1"].metadata["StudyDate"] == "20240102"
    assert by_uid["1.9"].metadata.keys() & {"SeriesDescription", "Modality"} == set()
    assert patient.metadata == {"PatientName": "Synthetic^Series", "PatientID": "SYNTHETIC"}


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    good = save(make_series(1), tmp_path / "good")
    duplicate = tmp_path / "zz" / "copy.dcm"
    duplicate.parent.mkdir()
    duplicate.write_bytes(good[0].read_bytes())
    save(make_series(2, slices=1, StudyInstanceUID=""), tmp_path / "bad")
    (tmp_path / "notes.txt").write_text("no scan", encoding="utf-8")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "cut.dcm").write_bytes(good[0].read_bytes()[:400])
    (tmp_path / "preamble.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere")
    (tmp_path / "packed.dcm.gz").write_bytes(gzip.compress(good[0].read_bytes()))
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.write(good[0])
    catalogue = ingest(tmp_path)
    assert {file.path.rpartition("/")[2]: file.reason for file in catalogue.left_out} == {
        "copy.dcm": "the same instance as another file",
        "1.2.3.2.0.dcm": NO_UID,
        "notes.txt": "not readable as DICOM",
        "empty.dcm": "empty",
        "cut.dcm": "cut off inside its header: get it again",
        "preamble.dcm": "cut off inside its header: get it again",
        "gone.dcm": "a link that leads nowhere",
        "packed.dcm.gz": "packed with gzip: unpack it first",
        "packed.zip": "packed as ZIP: unpack it first",
    }
    result = filed(catalogue)
    assert result.instance_count == 2
    assert result.instance_count + len(catalogue.left_out) == len(list(files_below(tmp_path)))


def whole_header(path: Path) -> Glance:
    """Looks like no other glance, so that the attributes of each file are read."""
    return IMAGING.glance(path)._replace(belongs_to=path)


def test_a_glance_files_as_whole_headers_do(tmp_path: Path) -> None:
    save(make_series(1, slices=3, PatientName="Müller^Änne", SpecificCharacterSet="ISO_IR 192"), tmp_path / "a")
    save(make_series(2, slices=3, PatientName="Müller^Änne", SpecificCharacterSet="ISO_IR 100"), tmp_path / "b")
    save(make_series(3, slices=2, PatientID=""), tmp_path / "c")
    for number, dataset in enumerate(make_series(4, slices=4)):  # one series UID, two patients
        dataset.PatientID = f"P{number % 2}"
        save([dataset], tmp_path / "d" / str(number))
    paths = list(files_below(tmp_path))
    quick = catalogue_files(paths, IMAGING)
    slow = catalogue_files(paths, replace(IMAGING, glance=whole_header))
    assert quick.series_files() == slow.series_files()
    result = filed(quick)
    assert result == filed(slow)
    assert len(result.patients) == 4
    assert result.instance_count == 12


def test_only_the_first_file_of_a_series_is_read_as_a_whole(tmp_path: Path) -> None:
    read: list[Path] = []

    def noted(path: Path, keywords: Iterable[str]) -> dict[str, str]:
        read.append(path)
        return IMAGING.attributes(path, keywords)

    save(make_series(1, slices=5), tmp_path / "a")
    save(make_series(2, slices=5), tmp_path / "b")
    assert len(catalogue_files(files_below(tmp_path), replace(IMAGING, attributes=noted)).series_files()) == 2
    assert len(read) == 2


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_file_without_its_identity_is_not_filed(keyword: str) -> None:
    (dataset,) = make_series(slices=1)
    catalogue = Catalogue()
    for value in ("", None):
        setattr(dataset, keyword, value)
        with pytest.raises(UnreadableFileError, match=NO_UID):
            add(catalogue, dataset)
    delattr(dataset, keyword)
    with pytest.raises(UnreadableFileError, match=NO_UID):
        add(catalogue, dataset)
    assert filed(catalogue) == Filed((), (), (), 0)


def test_nothing_at_all_is_no_error(tmp_path: Path) -> None:
    assert list(files_below(tmp_path)) == []
    assert filed(ingest(tmp_path)) == Filed((), (), (), 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"PatientID": "1"}, {"PatientID": "1", "PatientName": "Other"}, True),
        ({"PatientID": "1"}, {"PatientID": "2"}, False),
        ({"PatientID": "1", "IssuerOfPatientID": "A"}, {"PatientID": "1", "IssuerOfPatientID": "B"}, False),
        (
            {"PatientID": "", "PatientName": "A^B"},
            {"PatientID": "", "PatientName": "A^B", "StudyInstanceUID": "1.5"},
            True,
        ),
        (
            {"PatientID": "", "PatientName": "A^B", "PatientBirthDate": "19700101"},
            {"PatientID": "", "PatientName": "A^B", "PatientBirthDate": "19710101"},
            False,
        ),
        ({"PatientID": "", "PatientName": ""}, {"PatientID": "", "PatientName": ""}, True),
        ({"PatientID": "", "PatientName": ""}, {"PatientID": "", "PatientName": "", "StudyInstanceUID": "1.5"}, False),
    ],
)
def test_patients_are_distinguished_as_the_platform_does(
    one: dict[str, str], other: dict[str, str], *, same: bool
) -> None:
    catalogue = Catalogue()
    for number, attributes in enumerate((one, other)):
        (dataset,) = make_series(number, slices=1, **attributes)
        add(catalogue, dataset)
    result = filed(catalogue)
    assert len(result.patients) == (1 if same else 2)
    assert len(result.series) == 2


def test_one_study_uid_of_two_patients_is_two_studies() -> None:
    catalogue = Catalogue()
    for number, patient in enumerate("AB"):
        for dataset in make_series(1, PatientID=patient):
            dataset.SOPInstanceUID += f".{number}"
            add(catalogue, dataset)
    result = filed(catalogue)
    assert [len(items) for items in (result.patients, result.studies, result.series)] == [2, 2, 2]
    assert result.instance_count == 4


def test_filing_again_adds_and_loses_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    save(make_series(1), tmp_path)
    first = filed(ingest(tmp_path), store)
    assert filed(ingest(tmp_path), store) == first
    other = tmp_path / "other"
    save(make_series(2), other)
    only_new = filed(ingest(other), store)
    assert only_new.instance_count == 2
    assert only_new.patients[0].id == first.patients[0].id
    assert len(only_new.studies[0].series_ids) == 2  # those that the store knows, too
    assert len(store.instances) == 4


def test_values_that_are_malformed_are_filed_quietly(tmp_path: Path) -> None:
    (path,) = save(make_series(1, slices=1, PatientWeight="70.5", SeriesNumber="7"), tmp_path)
    content = path.read_bytes()
    assert b"70.5" in content
    path.write_bytes(content.replace(b"70.5", b"70kg").replace(b"IS\x02\x007 ", b"IS\x02\x00x "))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom's would quote the value
        result = filed(ingest(tmp_path))
    assert result.instance_count == 1


def test_zero_is_a_value() -> None:
    catalogue = Catalogue()
    add(catalogue, make_series(1, slices=1, SeriesNumber=0)[0])
    assert filed(catalogue).series[0].metadata["SeriesNumber"] == "0"


def test_no_patient_attribute_is_in_a_repr() -> None:
    catalogue = Catalogue()
    add(catalogue, make_series(1, slices=1, PatientName="SECRET^NAME", PatientID="SECRET-ID")[0])
    assert "SECRET" not in repr(filed(catalogue))


def test_progress_is_reported_for_every_file(tmp_path: Path) -> None:
    save(make_series(1), tmp_path)
    (tmp_path / "x").touch()
    told = []
    catalogue_files(files_below(tmp_path), IMAGING, lambda: told.append(1))
    assert len(told) == 3


def test_a_store_of_the_platform_is_not_filled() -> None:
    platform = replace(MemoryStore().backend(), workspace=None)
    with pytest.raises(ConfigurationError, match="filled by the platform"):
        run_inline(Catalogue().file_into(platform))


def test_ids_do_not_collide_where_parts_are_joined() -> None:
    assert platform_id("a", "bc") != platform_id("ab", "c")
    assert len(platform_id("x")) == 24
    assert int(platform_id("x"), 16)


def test_the_ids_of_a_workspace_stay_what_they_are_in_every_release(tmp_path: Path) -> None:
    """Other ids would file the scans of an existing workspace a second time."""
    first, second = make_series(slices=2, PatientID="4711", StudyInstanceUID="1.2.9")
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    for name, dataset in (("a.dcm", first), ("b.dcm", second)):
        dataset.save_as(tmp_path / name, enforce_file_format=True)
    found = filed(ingest(tmp_path))
    (patient,), (study,), (series,) = found.patients, found.studies, found.series
    assert (patient.id, study.id, series.id) == (
        "990e11750af09b10de7c6a53",
        "e28f6e7eef826b88b1648e5e",
        "0ee48ccb74676426044d71c7",
    )
    assert series.instance_ids == ("c94df12e4bb6022e50de8e4f", "57607641af2c8d2720170760")


def test_an_instance_is_filed_with_the_size_of_its_file(tmp_path: Path) -> None:
    paths = save(make_series(slices=2), tmp_path)
    store = MemoryStore()
    (series,) = filed(ingest(tmp_path), store).series
    instances = run_inline(store.backend().dicom.instances(series))
    assert [one.size_bytes for one in instances] == [path.stat().st_size for path in paths]
    assert all(one.size_bytes for one in instances)


UNKNOWN = [b"M\xfcller-001", b"M\xf6ller-001"]
"""Latin-1 in files that declare UTF-8: decoded, they are one text."""


def save_with(folder: Path, number: int, keyword: str, content: bytes, **attributes: str) -> None:
    """Saves a study of one instance with these bytes in an attribute."""
    placeholder = "PLACE" + "x" * (len(content) - 5)
    values = {"SpecificCharacterSet": "ISO_IR 192", "StudyInstanceUID": f"1.2.4.{number}", keyword: placeholder}
    for path in save(make_series(number, slices=1, **(attributes | values)), folder):
        written = path.read_bytes()
        assert written.count(placeholder.encode()) == 1
        path.write_bytes(written.replace(placeholder.encode(), content))


@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID", "PatientName"])
def test_what_could_not_be_decoded_makes_no_patient_of_two(tmp_path: Path, keyword: str) -> None:
    told = {"PatientID": "" if keyword == "PatientName" else "4711", "PatientName": ""}
    for number, content in enumerate(UNKNOWN, 1):
        save_with(tmp_path, number, keyword, content, **told)
    catalogue = ingest(tmp_path)
    filed = run_inline(catalogue.file_into(MemoryStore().backend()))
    assert catalogue.left_out == []
    assert len(filed.patients) == 2
    assert len({one.patient_uid for one in filed.series}) == 2


def test_a_patient_whose_id_could_not_be_decoded_is_told_by_the_name(tmp_path: Path) -> None:
    for number, (content, name) in enumerate(zip(UNKNOWN * 2, ("One", "Two") * 2, strict=True), 1):
        save_with(tmp_path, number, "PatientID", content, PatientName=name, PatientBirthDate="19790131")
    filed = run_inline(ingest(tmp_path).file_into(MemoryStore().backend()))
    assert sorted(len(one.study_ids) for one in filed.patients) == [2, 2]


@pytest.mark.parametrize("again", [True, False], ids=["again", "another folder"])
def test_a_store_in_memory_forgets_what_was_left_out_of_a_conflict(tmp_path: Path, *, again: bool) -> None:
    store = MemoryStore()
    first, second = make_series(slices=2)
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    for name, dataset in (("a.dcm", first), ("b.dcm", second)):
        (tmp_path / "scans").mkdir(exist_ok=True)
        dataset.save_as(tmp_path / "scans" / name, enforce_file_format=True)
    (series,) = run_inline(ingest(tmp_path).file_into(store.backend(), [tmp_path])).series
    assert len(series.instance_ids) == 2
    (tmp_path / "scans" / "b.dcm").unlink()
    folder = tmp_path / "scans" if again else tmp_path / "elsewhere"
    (series,) = run_inline(ingest(tmp_path).file_into(store.backend(), [folder])).series
    assert len(series.instance_ids) == (1 if again else 2)
    assert len(run_inline(store.backend().dicom.instances(series))) == len(series.instance_ids)
