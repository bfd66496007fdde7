"""Which objects have frames, where headers state the place of a frame, and what stored values mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless

from dcm_processor_service.imaging.frames.frame import FrameInfo, frames_of, mark
from dcm_processor_service.imaging.frames.pixel_format import PixelFormat, narrowest, pixel_format
from dcm_processor_service.imaging.frames.vendor import with_vendor_rescale
from dcm_processor_service.imaging.headers.fast_scan import scan_instance
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile

RECIPE = Recipe(slices=2)


def dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def frame(*places: Dataset, slope: float = 1.0, intercept: float = 0.0) -> FrameInfo:
    instance = cast("InstanceFile", SimpleNamespace(header=places[-1]))
    return FrameInfo(instance, 1, places, PixelFormat(4, 5, 16, 16, 15, False, 1), None, None, None, slope, intercept)


# ---- which objects have frames ----


@pytest.mark.parametrize(
    ("absent", "frames"), [((), 1), (("Rows",), 0), (("PixelData",), 0), (("Rows", "PixelData"), 0)]
)
def test_an_image_has_rows_and_pixels(tmp_path: Path, absent: tuple[str, ...], frames: int) -> None:
    [path] = single_frame(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    for keyword in absent:
        delattr(ds, keyword)
    ds.save_as(path)
    assert len(frames_of(read_instance(path))) == frames


@pytest.mark.parametrize("compressed", [False, True])
def test_a_film_has_no_more_frames_than_its_file_can_hold(tmp_path: Path, *, compressed: bool) -> None:
    [path] = single_frame(Recipe(slices=1, rows=64, columns=64), tmp_path)
    ds = dcmread(path)
    if compressed:
        ds.compress(RLELossless, generate_instance_uid=False)
    ds.NumberOfFrames = 2_000_000
    ds.save_as(path)
    size = path.stat().st_size
    # an uncompressed frame has 8192 bytes, and an encoded frame at least 16
    assert len(frames_of(read_instance(path))) == size // (16 if compressed else 8192)


# ---- where a frame lies ----


def test_a_place_may_stand_at_the_top_level_of_an_enhanced_object(tmp_path: Path) -> None:
    [path] = multi_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    ds.SharedFunctionalGroupsSequence = [Dataset()]
    for group in ds.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    ds.ImageOrientationPatient, ds.ImagePositionPatient, ds.PixelSpacing = [0, 1, 0, 0, 0, -1], [1, 2, 3], [0.5, 0.7]
    ds.save_as(path)
    for one in frames_of(read_instance(path)):
        assert (one.orientation, one.position, one.pixel_spacing) == ((0, 1, 0, 0, 0, -1), (1, 2, 3), (0.5, 0.7))


def test_a_shared_place_counts_for_each_frame_that_has_none(tmp_path: Path) -> None:
    [path] = multi_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    ds.PixelSpacing, ds.ImageOrientationPatient = [9, 9], [0, 0, 1, 0, 1, 0]
    own = ds.PerFrameFunctionalGroupsSequence[1]
    own.PixelMeasuresSequence = [dataset(PixelSpacing=[0.25, 0.125])]
    own.PlaneOrientationSequence = [dataset(ImageOrientationPatient=[0, 1, 0, 1, 0, 0])]
    ds.save_as(path)
    first, second = frames_of(read_instance(path))
    assert (first.orientation, first.pixel_spacing) == ((1, 0, 0, 0, 1, 0), (0.8, 0.6))
    assert (second.orientation, second.pixel_spacing) == ((0, 1, 0, 1, 0, 0), (0.25, 0.125))
    assert [one.number for one in (first, second)] == [1, 2]


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        ({"PixelSpacing": [0.5, 0]}, "pixel_spacing"),
        ({"PixelSpacing": [-0.5, 0.5]}, "pixel_spacing"),
        ({"PixelSpacing": [0.5]}, "pixel_spacing"),
        ({"ImagePositionPatient": [1, 2]}, "position"),
        ({"ImagePositionPatient": [1, 2, 3, 4]}, "position"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1]}, "orientation"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.02, 1, 0]}, "orientation"),  # not at a right angle
        ({"ImageOrientationPatient": [1.02, 0, 0, 0, 1, 0]}, "orientation"),  # too long
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.98, 0]}, "orientation"),  # too short
    ],
    ids=repr,
)
@pytest.mark.parametrize("enhanced", [False, True])
def test_a_malformed_place_counts_as_absent(
    tmp_path: Path, values: dict[str, list[float]], absent: str, *, enhanced: bool
) -> None:
    [path] = (multi_frame if enhanced else single_frame)(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    [(keyword, value)] = values.items()
    if not enhanced:
        setattr(ds, keyword, value)
    elif keyword == "PixelSpacing":
        ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = value
    elif keyword == "ImageOrientationPatient":
        ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = value
    else:
        ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = value
    ds.save_as(path)
    [found] = frames_of(read_instance(path))
    known = {name: getattr(found, name) is not None for name in ("orientation", "position", "pixel_spacing")}
    assert known == {name: name != absent for name in known}
    assert not found.has_geometry


def test_directions_that_a_header_rounds_have_length_one_again(tmp_path: Path) -> None:
    [path] = single_frame(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    ds.ImageOrientationPatient = [0.604, 0.802, 0, 0.795, -0.599, 0.001]
    ds.save_as(path)
    [found] = frames_of(read_instance(path))
    assert found.orientation is not None
    row, column = np.array(found.orientation[:3]), np.array(found.orientation[3:])
    np.testing.assert_allclose(row, np.array([0.604, 0.802, 0]) / np.hypot(0.604, 0.802), rtol=1e-9)
    assert (np.linalg.norm(row), np.linalg.norm(column)) == pytest.approx((1, 1), abs=1e-12)


# ---- what stored values and times mean ----


@pytest.mark.parametrize("zone", ["0100", "+01", "+01000", "UTC", "+1:00", ""])
def test_a_malformed_zone_is_not_appended_to_a_time(zone: str) -> None:
    top = dataset(AcquisitionDate="20240301", AcquisitionTime="120000")
    top.add_new(0x00080201, "SH", zone)
    assert mark(frame(top), "AcquisitionTime") == "20240301120000"


def philips(scale: float | None) -> Dataset:
    top = dataset(Manufacturer="Philips")
    if scale is not None:
        top.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        top.add_new(0x2005100E, "FL", scale)
    return top


@pytest.mark.parametrize("scales", [(0.5, 0.25), (0.5, None), (None, 0.25), (None, None), (0.0, None)])
def test_frames_have_the_scaling_of_their_vendor_where_he_states_it(scales: tuple[float | None, float | None]) -> None:
    frames = [frame(philips(scale), slope=2, intercept=-6) for scale in scales]
    found, any_precise = with_vendor_rescale(frames)
    expected = [(1 / scale, -3 / scale) if scale else (2, -6) for scale in scales]
    assert [(one.slope, one.intercept) for one in found] == expected
    assert any_precise == any(scales)


@pytest.mark.parametrize(
    ("low", "high", "stored", "expected"),
    [
        (-128, 127, "i1", "i1"),
        (-129, 127, "i1", "i2"),
        (-128, 128, "i1", "i2"),
        (0, 200, "i1", "i2"),
        (-1, 0, "u2", "i2"),
        (0, 40000, "i2", "u2"),
        (-40000, 0, "i2", "i4"),
        (-(2**31) - 1, 0, "i4", "f4"),
    ],
)
def test_a_type_holds_the_least_and_the_greatest_value(low: int, high: int, stored: str, expected: str) -> None:
    assert narrowest(low, high, np.dtype(stored)) == np.dtype(expected)


@pytest.mark.parametrize("quick", [False, True])
def test_a_header_tells_how_its_pixels_are_stored(tmp_path: Path, *, quick: bool) -> None:
    [path] = single_frame(Recipe(slices=1, rows=3, columns=7, bits_stored=12), tmp_path)
    header = scan_instance(path).header if quick else dcmread(path)
    assert isinstance(header, ScannedHeader) == quick
    found = pixel_format(header)
    assert found == PixelFormat(3, 7, 16, 12, 11, is_signed=True, samples=1)
    assert (found.frame_bytes, found.stored_type, found.is_supported) == (42, np.dtype("i2"), True)
    assert pixel_format(header, float_bits=32) == PixelFormat(
        3, 7, 16, 16, 15, is_signed=True, samples=1, float_bits=32
    )
