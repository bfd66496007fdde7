"""Attributes of files whose values take turns along a stack show several volumes, whatever the attribute is."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.headers.all_elements import short_elements
from dcm_processor_service.imaging.headers.fast_scan import scan_instance
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.refusals import change, in_slice_order, put, refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.models.images.nifti import Policy

POLICIES = ("strict", "split", "largest", "resample")


def stack(
    folder: Path, keyword: str, values: Sequence[Any], modality: str = "MR", syntax: str = ExplicitVRLittleEndian
) -> list[Path]:
    """Evenly spaced slices, numbered along the stack, with values of their own; None leaves an attribute out."""
    recipe = Recipe(columns=3, rows=2, slices=len(values), modality=modality, syntax=syntax)
    paths = in_slice_order(single_frame(recipe, folder))
    for path, value in zip(paths, values, strict=True):
        ds = dcmread(path)
        ds.ImageIndex = int(ds.InstanceNumber)
        if value is not None:
            put(ds, {keyword: value})
        ds.save_as(path)
    return paths


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("ReceiveCoilName", ["HEAD", "NECK"]),
        ("InstitutionName", ["A", None]),
        ("PatientWeight", ["70", "80", "75"]),
        ("ImagedNucleus", ["1H", "13C", "31P", "23Na"]),
        ("MRAcquisitionType", ["2D", "3D"]),
        ("TimezoneOffsetFromUTC", ["+0100", "+0200"]),
    ],
    ids=["coil", "absent", "three", "four", "type", "zone"],
)
def test_any_attribute_that_takes_turns_is_of_several_volumes(
    tmp_path: Path, keyword: str, values: list[Any], policy: Policy
) -> None:
    report = refused(stack(tmp_path, keyword, values * 3), "INTERLEAVED_VOLUMES", policy)
    [finding] = [one for one in report.findings if one.code == "INTERLEAVED_VOLUMES"]
    assert f"their values of {keyword} take turns along the stack" in finding.message


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, "1.2.840.10008.1.2.2"], ids=["implicit", "big endian"])
def test_files_of_other_syntaxes_are_compared_too(tmp_path: Path, syntax: str) -> None:
    refused(stack(tmp_path, "ReceiveCoilName", ["HEAD", "NECK"] * 3, syntax=syntax), "INTERLEAVED_VOLUMES")


@pytest.mark.parametrize(
    ("keyword", "values", "modality"),
    [
        ("ReceiveCoilName", ["A", "B"] * 2, "MR"),  # too few turns
        ("ReceiveCoilName", ["A"] * 4 + ["B"] * 4, "MR"),
        ("ReceiveCoilName", ["A", "B", "B", "A", "B", "A"], "MR"),
        ("ReceiveCoilName", list("ABCDEFGH"), "MR"),
        ("ReceiveCoilName", list("ABCDE") * 3, "MR"),  # as the planes of a PET detector do
        ("HeartRate", ["60", "70"] * 4, "MR"),
        ("NominalInterval", ["850", "863"] * 4, "MR"),
        ("ContentDate", ["20240101", "20240102"] * 4, "MR"),
        ("InStackPositionNumber", [1, 2] * 4, "CT"),
        ("TubeAngle", [0.0, 180.0] * 4, "CT"),
        ("DeadTimeFactor", ["1.01", "1.02"] * 4, "PT"),
        ("ScatterFractionFactor", ["0.31", "0.32"] * 4, "PT"),
        ("RetrieveAETitle", ["ONE", "OTHER"] * 4, "CT"),
        ("InstanceCreationTime", ["120000", "120100"] * 4, "CT"),
        ("SliceLocation", ["1", "2"] * 4, "CT"),
        ("RotationDirection", ["CW", "CC"] * 4, "CT"),
        ("LossyImageCompressionRatio", ["2", "3"] * 4, "CT"),
        ("AdditionalPatientHistory", ["A" * 65, "B" * 65] * 4, "CT"),  # values that are too long to be compared
    ],
    ids=[
        "few",
        "blocks",
        "odd",
        "all",
        "five",
        "passes",
        "intervals",
        "midnight",
        "places",
        "angles",
        "counts",
        "scatter",
        "archives",
        "times",
        "slices",
        "gantry",
        "pixels",
        "long",
    ],
)
def test_values_that_do_not_take_turns_or_may_do_so_are_of_one_volume(
    tmp_path: Path, keyword: str, values: list[Any], modality: str
) -> None:
    paths = stack(tmp_path, keyword, values, modality)
    assert read_volume(paths).shape == (3, 2, len(values))


def test_heart_rates_of_other_modalities_are_of_several_volumes(tmp_path: Path) -> None:
    refused(stack(tmp_path, "HeartRate", ["60", "70"] * 4, "CT"), "INTERLEAVED_VOLUMES")


def _with_group_length(path: Path, order: str) -> int:
    """Puts the length of group 0020 (PS3.5, section 7.2) before its first element, and returns it."""
    content = path.read_bytes()
    begin = content.index(struct.pack(f"{order}HH", 0x0020, 0x000D) + b"UI")
    end = content.index(struct.pack(f"{order}HH", 0x0028, 0x0002) + b"US")
    length = struct.pack(f"{order}HH2sHI", 0x0020, 0, b"UL", 4, end - begin)
    path.write_bytes(content[:begin] + length + content[begin:])
    return end - begin


@pytest.mark.parametrize(
    ("syntax", "order"), [(ExplicitVRLittleEndian, "<"), (ExplicitVRBigEndian, ">")], ids=["little", "big"]
)
def test_lengths_of_groups_may_take_turns(tmp_path: Path, syntax: str, order: str) -> None:
    paths = in_slice_order(single_frame(Recipe(columns=3, rows=2, slices=8, step=2.5, syntax=syntax), tmp_path))
    change(paths, lambda ds, index: setattr(ds, "ImagePositionPatient", ["0", "0", f"{2.5 * index - 95:g}"]))
    sizes = [_with_group_length(path, order) for path in paths]
    assert sizes == sizes[:2] * 4
    assert sizes[0] != sizes[1]
    assert read_volume(paths).shape == (3, 2, 8)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def test_a_scanned_header_has_the_elements_that_pydicom_reads(tmp_path: Path, syntax: str) -> None:
    [path] = stack(tmp_path, "InstitutionName", ["A"], syntax=syntax)
    scanned, whole = scan_instance(path), read_instance(path)
    assert isinstance(scanned.header, ScannedHeader)
    found = short_elements(scanned)
    assert found[0x00080080] == b"A"
    expected = short_elements(whole)
    assert found.items() >= expected.items()
    path.unlink()
    assert short_elements(scanned) == {}
