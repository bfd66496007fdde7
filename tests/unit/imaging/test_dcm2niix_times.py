"""The times of volumes in dcm2niix's files are those of the headers, and none is invented."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
import pytest
from pydicom import dcmread

from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.models import NiftiFiles
from tests.unit.imaging.refusals import put
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


ECHO_PLANAR: dict[str, Sequence[Any]] = {"ScanningSequence": ["EP"] * 3, "RepetitionTime": ["2000"] * 3}


def written(folder: Path, modality: str, marks: Mapping[str, Sequence[Any]]) -> tuple[float, tuple[str, str], Any]:
    """The step, its units and the metadata of a 4D series of three volumes that dcm2niix converts."""
    paths = single_frame(Recipe(slices=4, volumes=3, modality=modality, signed=False, bits_stored=12), folder)
    for path in paths:
        ds = dcmread(path)
        t = int(ds.TemporalPositionIdentifier) - 1
        ds.ImageType, ds.Manufacturer = ["ORIGINAL", "PRIMARY"], "SIEMENS"
        ds.AcquisitionNumber = t + 1
        put(ds, {keyword: values[t] for keyword, values in marks.items()}).save_as(path)
    files = AutoConverter().convert(paths, folder / "out.nii.gz", engine="dcm2niix")
    assert isinstance(files, NiftiFiles)
    header = nib.nifti1.Nifti1Image.from_filename(files.paths[0]).header
    return float(header.get_zooms()[3]), header.get_xyzt_units(), json.loads(files.sidecars[0].read_text())


@pytest.mark.parametrize(
    ("marks", "step_s", "starts"),
    [
        ({"AcquisitionTime": ["100000", "100010", "100020"]}, 10, [0, 10, 20]),
        ({"AcquisitionTime": ["100000", "100010", "100040"]}, 0, [0, 10, 40]),
        ({}, 0, None),
        (ECHO_PLANAR, 2, None),
        (ECHO_PLANAR | {"MRAcquisitionType": ["3D"] * 3}, 0, None),
        (ECHO_PLANAR | {"SegmentedKSpaceTraversal": ["PARTIAL"] * 3}, 0, None),
    ],
    ids=["even", "uneven", "unknown", "echo-planar", "partitions", "several shots"],
)
def test_the_time_step_is_that_of_the_volumes_or_zero(
    tmp_path: Path, marks: dict[str, Sequence[Any]], step_s: float, starts: list[float] | None
) -> None:
    marks = {"RepetitionTime": ["4.5"] * 3, "ScanningSequence": ["GR"] * 3, **marks}
    step, units, metadata = written(tmp_path, "MR", marks)
    assert (step, units) == (step_s, ("mm", "sec" if step_s else "unknown"))
    assert metadata.get("FrameTimesStart") == starts


def test_volumes_of_gradients_have_no_times_because_their_order_may_be_another(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=4, volumes=3, modality="MR", signed=False, bits_stored=12), tmp_path)
    for path in paths:
        ds = dcmread(path)
        t = int(ds.TemporalPositionIdentifier) - 1
        ds.ImageType, ds.Manufacturer, ds.AcquisitionNumber = ["ORIGINAL", "PRIMARY"], "SIEMENS", t + 1
        ds.ScanningSequence, ds.RepetitionTime, ds.AcquisitionTime = "EP", "10000", f"1000{10 * t:02d}"
        block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", str(1000 * min(t, 1)))
        if t:
            block.add_new(0x0E, "FD", [1.0, 0.0, 0.0] if t == 1 else [0.0, 1.0, 0.0])
        ds.save_as(path)
    files = AutoConverter().convert(paths, tmp_path / "out.nii.gz", engine="dcm2niix")
    assert isinstance(files, NiftiFiles)
    assert {path.suffix for path in files.sidecars} == {".json", ".bval", ".bvec"}
    header = nib.nifti1.Nifti1Image.from_filename(files.paths[0]).header
    assert header.get_zooms()[3] == 10
    assert "FrameTimesStart" not in json.loads(files.sidecars[0].read_text())


def test_frames_of_pet_have_their_durations_in_order(tmp_path: Path) -> None:
    marks: dict[str, Sequence[Any]] = {
        "AcquisitionTime": ["100000", "100010", "100040"],
        "FrameReferenceTime": ["5000", "25000", "100000"],
        "ActualFrameDuration": ["10000", "30000", "120000"],
        "Units": ["BQML"] * 3,
    }
    step, units, metadata = written(tmp_path, "PT", marks)
    assert (step, units) == (0, ("mm", "unknown"))
    assert (metadata["FrameTimesStart"], metadata["FrameDuration"]) == ([0, 10, 40], [10, 30, 120])
