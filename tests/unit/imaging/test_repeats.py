"""Two files of one SOPInstanceUID: copies count once, and what shares a UID by mistake is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless

from dcm_processor_service.imaging.headers.repeats import is_same_instance
from dcm_processor_service.imaging.series.inspection import inspect_series
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
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


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda ds: setattr(ds, "PixelData", ds.PixelData[::-1]), id="pixels"),
        pytest.param(lambda ds: setattr(ds, "ImagePositionPatient", [0, 0, 99]), id="place"),
        pytest.param(lambda ds: setattr(ds, "RescaleSlope", 2), id="scale"),
        pytest.param(lambda ds: ds.compress(RLELossless, generate_instance_uid=False), id="encoding"),
    ],
)
def test_what_differs_is_not_the_same(tmp_path: Path, edit: Any) -> None:
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
def test_what_says_something_else_is_not_the_same(tmp_path: Path, edit: Any) -> None:
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
