"""The marks of a frame are the same, whether the fast scan or pydicom has read its header."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.frames.frame import frames_of, mark, marks
from dcm_processor_service.imaging.headers.fast_scan import SCANNED_KEYWORDS, scan_instance
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.headers.series_labels import LABELS, SETTINGS
from dcm_processor_service.imaging.headers.values import ScannedHeader
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

OUTER = (
    "AcquisitionNumber",
    "AcquisitionTime",
    "ContentTime",
    "ConvolutionKernel",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "EchoNumbers",
    "EchoTime",
    "FlipAngle",
    "FrameOfReferenceUID",
    "FrameReferenceTime",
    "ImageType",
    "InstanceNumber",
    "InversionTime",
    "KVP",
    "RectilinearPhaseEncodeReordering",
    "RepetitionTime",
    "RescaleType",
    "StackID",
    "TemporalPositionIdentifier",
    "TemporalPositionTimeOffset",
    "TriggerTime",
    "Units",
)
MARKS = sorted({*LABELS, *SETTINGS, *OUTER})
VALUES: dict[str, list[Any]] = {
    "AS": ["045Y"],
    "CS": ["NONE", "A B"],
    "DA": ["20240301"],
    "DS": ["0.80", " 1e1", "0", "-0.5"],
    "DT": ["20240301120000.5"],
    "FD": [0.8, 0.0, -1.5, 1e300, float("nan"), struct.unpack("<d", b"12.5\\0 1")[0]],
    "FL": [0.5, 0.0, 32.0, float("inf")],
    "IS": ["7", "007", "0"],
    "LO": ["head", " a b "],
    "SH": ["head", "x"],
    "SL": [-3, 0],
    "ST": ["two\\\\parts", "one"],
    "LT": ["two\\\\parts", "one"],
    "TM": ["120000", "120000.250000"],
    "UI": ["1.2.3"],
    "UL": [70000, 0],
    "US": [12336, 0, 5],
}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("name", MARKS)
def test_a_mark_is_what_pydicom_reads(tmp_path: Path, name: str, syntax: str) -> None:
    path = single_frame(Recipe(slices=1, syntax=syntax, modality="MR"), tmp_path)[0]
    for value in VALUES[dictionary_VR(name)]:
        count = int(dictionary_VM(name)[0])
        ds = dcmread(path)
        setattr(ds, name, [value] * count if count > 1 else value)
        ds.save_as(path)
        scanned, whole = scan_instance(path), read_instance(path)
        assert isinstance(scanned.header, ScannedHeader)
        (quick,), (slow,) = frames_of(scanned), frames_of(whole)
        assert mark(quick, name) == mark(slow, name) == marks([slow, slow], name)[1]


def test_every_attribute_of_a_mark_is_scanned() -> None:
    assert {*MARKS} <= {*SCANNED_KEYWORDS}


@pytest.mark.parametrize("quick", [True, False])
def test_marks_that_stand_in_several_elements_differ_where_one_of_them_does(tmp_path: Path, *, quick: bool) -> None:
    paths = single_frame(Recipe(slices=4), tmp_path)
    values = {"date": ("20240301", "20240301", "20240302", "20240302"), "zone": ("", "+0100", "+0100", "+0200")}
    for number, path in enumerate(paths):
        ds = dcmread(path)
        ds.AcquisitionTime, ds.AcquisitionDate, ds.InstanceNumber = "120000", values["date"][number], 1
        ds.TimezoneOffsetFromUTC = values["zone"][number]
        ds.TemporalPositionIdentifier, ds.TemporalPositionIndex = None, number
        ds.save_as(path)
    frames = [frame for path in paths for frame in frames_of(scan_instance(path) if quick else read_instance(path))]
    times = [date + "120000" + zone for date, zone in zip(values["date"], values["zone"], strict=True)]
    assert marks(frames, "AcquisitionTime") == [mark(frame, "AcquisitionTime") for frame in frames] == times
    assert marks(frames, "TemporalPositionIdentifier") == [
        mark(frame, "TemporalPositionIdentifier") for frame in frames
    ]
    # frames of one file differ only in their number
    other = replace(frames[0], number=2)
    assert marks([frames[0], other], "InstanceNumber") == [(1, 1), (1, 2)]
