"""The fast scan of headers: what it keeps, what slices share, and which files it leaves to pydicom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.headers.fast_scan import SCANNED_KEYWORDS, SeriesMemory, scan_instance
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader, number, numbers, text
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_slices_share_what_they_repeat_and_nothing_else(tmp_path: Path, syntax: str) -> None:
    memory = SeriesMemory()
    paths = single_frame(Recipe(slices=4, syntax=syntax), tmp_path)
    headers = [scan_instance(path, memory).header for path in paths]
    first, last = headers[0], headers[-1]
    assert isinstance(first, ScannedHeader)
    assert isinstance(last, ScannedHeader)
    assert first.elements["SeriesInstanceUID"] is last.elements["SeriesInstanceUID"]
    assert first.elements["Rows"] is last.elements["Rows"]
    assert len({text(header, "SOPInstanceUID") for header in headers}) == 4
    assert len({numbers(header, "ImagePositionPatient") for header in headers}) == 4


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_shared_or_not_the_values_are_pydicoms(tmp_path: Path, syntax: str) -> None:
    memory = SeriesMemory()
    extra = {"FrameIncrementPointer": [0x00540080, 0x00540010]}
    for path in single_frame(Recipe(slices=3, volumes=2, syntax=syntax, rescale=("1.5", "-7"), extra=extra), tmp_path):
        quick, alone, whole = scan_instance(path, memory), scan_instance(path), read_instance(path)
        for keyword in SCANNED_KEYWORDS:
            assert numbers(quick.header, keyword) == numbers(alone.header, keyword) == numbers(whole.header, keyword)
            if numbers(whole.header, keyword) is None:
                assert text(quick.header, keyword) == text(alone.header, keyword) == text(whole.header, keyword)
        assert quick.pixels == alone.pixels
        assert quick.pixels is not None
        assert whole.pixels is not None
        assert quick.pixels.offset_bytes == whole.pixels.offset_bytes


def test_one_value_in_two_types_is_two_values(tmp_path: Path) -> None:
    """The same bytes stand for 12336 as a number and for "00" as text."""
    memory = SeriesMemory()
    path = single_frame(Recipe(slices=1), tmp_path)[0]
    as_number = path.read_bytes()
    rows = as_number.index(b"\x28\x00\x10\x00US\x02\x00") + 4
    pairs = []
    for vr in (b"US", b"IS"):
        path.write_bytes(as_number[:rows] + vr + as_number[rows + 2 : rows + 4] + b"00" + as_number[rows + 6 :])
        pairs.append(number(scan_instance(path, memory).header, "Rows"))
    assert pairs == [12336.0, 0.0]


@pytest.mark.parametrize(
    ("modality", "is_mapped"), [("PT", True), ("NM", True), ("CT", False), ("MR", False), ("", False), (None, False)]
)
def test_a_mapping_counts_and_is_left_to_pydicom_where_it_may_be_the_only_scaling(
    tmp_path: Path, modality: str | None, *, is_mapped: bool
) -> None:
    path = single_frame(Recipe(slices=1), tmp_path)[0]
    ds, mapping = dcmread(path), Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 0.5, -3.0
    ds.RealWorldValueMappingSequence = [mapping]
    if modality is None:
        del ds.Modality
    else:
        ds.Modality = modality
    ds.save_as(path)
    found = scan_instance(path)
    assert isinstance(found.header, ScannedHeader) != is_mapped
    [frame] = frames_of(found)
    assert (frame.slope, frame.intercept) == ((0.5, -3.0) if is_mapped else (1, 0))


def test_pixels_under_the_type_of_something_else_are_left_to_pydicom(tmp_path: Path) -> None:
    path = single_frame(Recipe(slices=1), tmp_path)[0]
    whole = path.read_bytes()
    pixels = whole.index(b"\xe0\x7f\x10\x00OW\x00\x00") + 4
    path.write_bytes(whole[:pixels] + b"SH" + whole[pixels + 2 :])
    assert not isinstance(scan_instance(path).header, ScannedHeader)
