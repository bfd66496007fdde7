"""Two files of one SOPInstanceUID: copies count once, and different instances are refused."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from dcm_processor_service.imaging.headers.repeats import is_same_instance
from dcm_processor_service.imaging.series.inspection import inspect_series
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def copied(path: Path, edit: Any) -> Path:
    ds = dcmread(path)
    edit(ds)
    target = path.with_name("copy.dcm")
    ds.save_as(target, enforce_file_format=True)
    return target


def test_a_copy_that_another_archive_has_written_is_the_same(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    copy = copied(paths[0], lambda ds: setattr(ds.file_meta, "ImplementationVersionName", "ANOTHER"))
    assert copy.read_bytes() != paths[0].read_bytes()
    assert is_same_instance(paths[0], copy)
    assert inspect_series([*paths, copy]).codes == {"DUPLICATE_INSTANCES"}


def _in_implicit_types(ds: FileDataset) -> None:
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def _with_scale(value: float) -> Callable[[FileDataset], None]:
    def edit(ds: FileDataset) -> None:
        block = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", value)

    return edit


def _with_mapping(slope: float) -> Callable[[FileDataset], None]:
    def edit(ds: FileDataset) -> None:
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, 0.0
        ds.RealWorldValueMappingSequence = [mapping]

    return edit


def _with_settings(ds: FileDataset) -> None:
    ds.AcquisitionTime, ds.AcquisitionDate, ds.TemporalResolution = "120000", "20240301", float("nan")
    _with_scale(0.5)(ds)
    _with_mapping(2.0)(ds)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda ds: setattr(ds, "PatientName", "Corrected"), id="patient"),
        pytest.param(lambda ds: setattr(ds, "StudyID", "77"), id="study ID"),
        pytest.param(lambda ds: setattr(ds, "SeriesNumber", 77), id="series number"),
        pytest.param(lambda ds: setattr(ds, "SeriesDescription", "corrected"), id="description"),
        pytest.param(lambda ds: setattr(ds, "ImageComments", "seen"), id="comments"),
        pytest.param(lambda ds: ds.update({"WindowCenter": "40", "WindowWidth": "80"}), id="window"),
        pytest.param(lambda ds: setattr(ds, "NumberOfSeriesRelatedInstances", 6), id="counts"),
        pytest.param(lambda ds: setattr(ds, "PixelSpacing", ["0.80", "6e-1"]), id="spelling"),
        pytest.param(lambda ds: setattr(ds, "TriggerTime", None), id="nothing in an element"),
        pytest.param(_in_implicit_types, id="types that are not written"),
    ],
)
def test_a_copy_with_what_archives_change_is_the_same(tmp_path: Path, edit: Any) -> None:
    paths = single_frame(Recipe(slices=2), tmp_path)
    for path in paths:
        ds = dcmread(path)
        _with_settings(ds)
        ds.save_as(path)
    copy = copied(paths[0], edit)
    assert copy.read_bytes() != paths[0].read_bytes()
    assert is_same_instance(paths[0], copy)
    assert is_same_instance(copy, paths[0])


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda ds: setattr(ds, "AcquisitionTime", "120001"), id="time"),
        pytest.param(lambda ds: setattr(ds, "AcquisitionDate", "20240302"), id="date"),
        pytest.param(lambda ds: setattr(ds, "ContentTime", "120001"), id="time of content"),
        pytest.param(lambda ds: setattr(ds, "ImageType", ["DERIVED", "SECONDARY"]), id="type"),
        pytest.param(lambda ds: setattr(ds, "Modality", "PT"), id="modality"),
        pytest.param(lambda ds: setattr(ds, "Manufacturer", "Philips"), id="manufacturer"),
        pytest.param(lambda ds: setattr(ds, "TemporalResolution", 1.0), id="number"),
        pytest.param(lambda ds: delattr(ds, "TemporalResolution"), id="lost"),
        pytest.param(lambda ds: ds.remove_private_tags(), id="private elements lost"),
        pytest.param(_with_scale(0.25), id="private scale"),
        pytest.param(_with_mapping(4.0), id="mapping"),
        pytest.param(lambda ds: delattr(ds, "RealWorldValueMappingSequence"), id="mapping lost"),
        pytest.param(lambda ds: ds.RealWorldValueMappingSequence.append(Dataset()), id="two mappings"),
    ],
)
@pytest.mark.parametrize("implicit", [False, True])
def test_a_copy_with_a_changed_meaning_is_not_the_same(tmp_path: Path, edit: Any, *, implicit: bool) -> None:
    path = single_frame(Recipe(slices=1), tmp_path)[0]
    ds = dcmread(path)
    _with_settings(ds)
    ds.save_as(path)

    def edit_all(ds: FileDataset) -> None:
        edit(ds)
        if implicit:
            _in_implicit_types(ds)

    assert not is_same_instance(path, copied(path, edit_all))


def test_a_copy_with_lengths_of_groups_is_the_same(tmp_path: Path) -> None:
    path = single_frame(Recipe(slices=1), tmp_path)[0]
    content, first = path.read_bytes(), b"\x28\0\x02\0US"
    assert content.count(first) == 1
    (copy := tmp_path / "copy.dcm").write_bytes(content.replace(first, b"\x28\0\0\0UL\4\0\x64\0\0\0" + first))
    assert "00280000" in dcmread(copy)
    assert is_same_instance(path, copy)


def test_the_byte_that_evens_pixels_out_is_none_of_them(tmp_path: Path) -> None:
    path = single_frame(Recipe(slices=1, rows=3, columns=3, bits_allocated=8, bits_stored=8, signed=False), tmp_path)[0]
    content = path.read_bytes()
    (odd := tmp_path / "odd.dcm").write_bytes(_without_last_byte(content))
    assert is_same_instance(path, odd)
    assert is_same_instance(odd, path)
    (other := tmp_path / "other.dcm").write_bytes(content[:-1] + b"\1")
    assert not is_same_instance(other, odd)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (bytes(range(9)), bytes(range(9)) + b"\0", True),
        (bytes(range(9)), bytes(range(9)) + b"\1", False),
        (bytes(range(9)), b"\7" + bytes(range(1, 9)) + b"\0", False),
        (bytes(range(8)), bytes(range(8)) + b"\0", False),  # the length was even, so there is no padding
        (bytes(range(9)), bytes(range(9)) + bytes(3), False),
        (bytes(9), bytes(8), False),
    ],
    ids=["padding", "another value", "another first value", "even", "three bytes more", "a byte less"],
)
def test_only_one_zero_after_odd_pixels_is_padding(tmp_path: Path, one: bytes, other: bytes, *, is_same: bool) -> None:
    path = single_frame(Recipe(slices=1, rows=3, columns=3, bits_allocated=8, bits_stored=8, signed=False), tmp_path)[0]
    content = path.read_bytes()
    begin = content.rindex(b"\xe0\x7f\x10\x00") + 8
    first, second = tmp_path / "first", tmp_path / "second"
    for target, pixels in ((first, one), (second, other)):
        target.write_bytes(content[:begin] + len(pixels).to_bytes(4, "little") + pixels)
    assert is_same_instance(first, second) is is_same
    assert is_same_instance(second, first) is is_same


def _without_last_byte(content: bytes) -> bytes:
    head = content.rindex(b"\xe0\x7f\x10\x00") + 8
    length = int.from_bytes(content[head : head + 4], "little") - 1
    return content[:head] + length.to_bytes(4, "little") + content[head + 4 : -1]


def test_pixels_are_compared_without_further_copies(tmp_path: Path) -> None:
    path = single_frame(Recipe(slices=1, rows=1000, columns=2000), tmp_path)[0]
    copy = copied(path, lambda ds: setattr(ds, "PatientName", "Corrected"))
    size = path.stat().st_size
    assert is_same_instance(path, copy)
    tracemalloc.start()
    try:
        assert is_same_instance(path, copy)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * size


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda ds: setattr(ds, "PixelData", ds.PixelData[::-1]), id="pixels"),
        pytest.param(lambda ds: setattr(ds, "ImagePositionPatient", [0, 0, 99]), id="place"),
        pytest.param(lambda ds: setattr(ds, "RescaleSlope", 2), id="scale"),
        pytest.param(lambda ds: ds.compress(RLELossless, generate_instance_uid=False), id="encoding"),
    ],
)
def test_files_with_different_content_are_not_the_same(tmp_path: Path, edit: Any) -> None:
    paths = single_frame(Recipe(bits_allocated=16), tmp_path)
    copy = copied(paths[0], edit)
    assert not is_same_instance(paths[0], copy)
    refused([*paths, copy], "CONFLICTING_INSTANCES", "largest")


def test_a_damaged_copy_is_not_the_same(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    (tmp_path / "copy.dcm").write_bytes(paths[0].read_bytes()[:300])
    assert not is_same_instance(paths[0], tmp_path / "copy.dcm")


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda ds: setattr(ds.ContentSequence[0], "TextValue", "no finding"), id="text of a report"),
        pytest.param(lambda ds: setattr(ds.SegmentSequence[0], "SegmentLabel", "other"), id="segment"),
        pytest.param(lambda ds: setattr(ds.ROIContourSequence[0], "ReferencedROINumber", 2), id="structure"),
        pytest.param(lambda ds: setattr(ds, "EncapsulatedDocument", b"%PDF-2"), id="document"),
    ],
)
def test_files_that_say_something_else_are_not_the_same(tmp_path: Path, edit: Any) -> None:
    path = single_frame(Recipe(slices=1), tmp_path)[0]
    dataset = dcmread(path)
    del dataset.PixelData, dataset.Rows, dataset.Columns, dataset.BitsAllocated
    for keyword, inner, value in (
        ("ContentSequence", "TextValue", "a finding"),
        ("SegmentSequence", "SegmentLabel", "liver"),
        ("ROIContourSequence", "ReferencedROINumber", 1),
    ):
        item = Dataset()
        setattr(item, inner, value)
        setattr(dataset, keyword, [item])
    dataset.EncapsulatedDocument = b"%PDF-1"
    dataset.save_as(path, enforce_file_format=True)
    assert is_same_instance(path, copied(path, lambda ds: setattr(ds, "PatientName", "Corrected^Name")))
    assert not is_same_instance(path, copied(path, edit))


def test_an_empty_name_is_no_difference_between_files_with_and_without_types(tmp_path: Path) -> None:
    path = single_frame(Recipe(), tmp_path)[0]

    def named(ds: FileDataset) -> None:
        ds.PerformingPhysicianName = ""
        ds.add_new(0x00181411, "PN", "")  # belongs to the content, even if the standard allows it to be empty
        ds.ContentCreatorName = None

    first = copied(path, named).rename(tmp_path / "explicit.dcm")
    second = copied(first, _in_implicit_types)
    assert is_same_instance(first, second)


def test_copies_of_one_instance_for_two_patients_are_no_copies(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    copy = copied(paths[0], lambda ds: setattr(ds, "PatientID", "OTHER"))
    assert is_same_instance(paths[0], copy)
    assert "CONFLICTING_INSTANCES" in inspect_series([*paths, copy]).codes


def test_several_images_under_one_uid_are_one_finding_that_counts_them(tmp_path: Path) -> None:
    first, *others = single_frame(Recipe(slices=3), tmp_path)
    first = first.rename(tmp_path / "0.dcm")  # the first by its name is the one that the others are compared with
    uid = dcmread(first).SOPInstanceUID
    for path in others:
        ds = dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
        ds.save_as(path)
    report = refused([first, *others], "CONFLICTING_INSTANCES")
    [finding] = [one for one in report.findings if one.code == "CONFLICTING_INSTANCES"]
    assert finding.message.startswith(f"instance {uid} is there 3 times with different content: keep one of the files")
    copies = [  # copies of each, because any of them may be the first, which counts
        copied(path, lambda ds: setattr(ds.file_meta, "ImplementationVersionName", "ANOTHER")).rename(
            path.with_suffix(".copy")
        )
        for path in (first, *others)
    ]
    codes = [one.code for one in inspect_series([first, *others, *copies]).findings]
    assert [codes.count(code) for code in ("CONFLICTING_INSTANCES", "DUPLICATE_INSTANCES")] == [1, 1]


def test_a_copy_of_the_second_image_under_one_uid_is_a_copy(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=3), tmp_path)
    other = copied(paths[0], lambda ds: setattr(ds, "PixelData", bytes(len(ds.PixelData))))
    again = copied(other, lambda ds: setattr(ds.file_meta, "ImplementationVersionName", "ANOTHER"))
    findings = {one.code: one.message for one in inspect_series([*paths, other, again]).findings}
    assert "is there twice with different content" in findings["CONFLICTING_INSTANCES"]
    assert "is there more than once" in findings["DUPLICATE_INSTANCES"]


def test_many_files_of_one_uid_are_compared_with_a_few_contents_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = single_frame(Recipe(slices=12), tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.SOPInstanceUID = "1.2.3"
        ds.save_as(path)
    compared: list[Path] = []

    def counted(first: Path, second: Path) -> bool:
        compared.append(second)
        return is_same_instance(first, second)

    monkeypatch.setattr("dcm_processor_service.imaging.series.inspection.is_same_instance", counted)
    report = inspect_series(paths)
    [finding] = [one for one in report.findings if one.code == "CONFLICTING_INSTANCES"]
    assert "is there more than 3 times with different content" in finding.message
    assert len(compared) <= 3 * len(paths)
