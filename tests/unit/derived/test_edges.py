"""What lies just within a limit is made as it was meant, and what lies just beyond it is not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset

from dcm_processor_service.derived import (
    Marker,
    PresentationOptions,
    Segment,
    SegmentationOptions,
    SourceSeries,
    derive_image,
    presentation,
    segmentation,
)
from dcm_processor_service.derived.attributes.identity import flaws_of_source, shortened, time_zone
from dcm_processor_service.derived.attributes.pixels import store_values
from dcm_processor_service.derived.objects.image import direction_letters
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.derived.terminology.ucum import nearest_unit
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.volumes.volume import Volume
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (7, 7, 7)


def scaled(axis: int, factor: float) -> NDArray[np.float64]:
    """The affine of a grid whose voxels are larger or smaller along one axis, from the same first voxel."""
    change = np.eye(4)
    change[axis, axis] = factor
    return PLAIN @ change


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("factor", "size"), [(1.2, 6), (0.75, 5), (4 / 3, 4), (0.6, 6)], ids=str)
def test_voxels_of_another_size_are_never_taken_for_those_of_the_source(axis: int, factor: float, size: int) -> None:
    # such as a result on slices of 3 mm of a source of 2.5 mm: the first and the last lie on slices of the source
    shape = [7, 7, 7]
    shape[axis] = size
    affine = scaled(axis, factor)
    made = derive_image(np.zeros(shape, np.int16), make_source(shape=SHAPE), make_recipe(), affine)
    assert not made.on_source_grid
    between_rows, between_columns = (float(part) for part in made.datasets[0].PixelSpacing)
    heights = [float(each.ImagePositionPatient[2]) for each in made.datasets]
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    assert np.allclose([between_columns, between_rows, heights[1] - heights[0]], lengths)
    assert np.allclose(heights, np.arange(shape[2]) * lengths[2])


def test_a_mask_on_slices_of_another_thickness_stays_where_it_was(tmp_path: Path) -> None:
    mask = np.zeros((7, 7, 6), bool)
    mask[2:4, 3, 1:5] = True
    made = segmentation({"liver": mask}, make_source(shape=SHAPE), make_recipe(), scaled(2, 1.2))
    path = tmp_path / "seg.dcm"
    made.save_as(path, enforce_file_format=True)
    found = read_segments([path])[0].mask()
    heights = {
        float(place[2]) for place in np.argwhere(found.array) @ found.affine_lps[:3, :3].T + found.affine_lps[:3, 3]
    }
    assert np.allclose(sorted(heights), [3, 6, 9, 12])


def shown_on(place: tuple[float, float, float], source: SourceSeries) -> str:
    """The image that a marker is shown on; empty if it is refused."""
    try:
        (made,) = presentation(None, [Marker(place)], source, make_recipe(), None, PresentationOptions())
    except DerivedObjectError:
        return ""
    (image,) = made.GraphicAnnotationSequence[0].ReferencedImageSequence
    return str(image.ReferencedSOPInstanceUID)


@pytest.mark.parametrize(
    ("place", "slice_number"),
    [
        ((1.0, 1.0, -1.2), 1), ((1.0, 1.0, -1.3), 0), ((1.0, 1.0, 6.2), 3), ((1.0, 1.0, 6.3), 0),
        ((1.0, 1.0, 1.2), 1), ((1.0, 1.0, 1.3), 2),
        ((-0.24, 1.0, 0.0), 1), ((-0.26, 1.0, 0.0), 0), ((2.24, 1.0, 0.0), 1), ((2.26, 1.0, 0.0), 0),
        ((1.0, -0.37, 0.0), 1), ((1.0, -0.38, 0.0), 0), ((1.0, 2.62, 0.0), 1), ((1.0, 2.63, 0.0), 0),
    ],
    ids=str,
)  # fmt: skip
def test_a_slice_reaches_to_its_outer_edges(place: tuple[float, float, float], slice_number: int) -> None:
    # 5 columns of 0.5 mm, 4 rows of 0.75 mm, 3 slices of 2.5 mm, the centre of the first pixel at the origin
    assert shown_on(place, make_source()) == (f"1.2.3.1.{slice_number}" if slice_number else "")


@pytest.mark.parametrize(("height", "slice_number"), [(-1.2, 1), (-1.3, 0), (4.9, 2), (5.1, 4), (6.2, 4), (6.3, 4)])
def test_a_slice_beside_a_gap_reaches_halfway_into_it(height: float, slice_number: int) -> None:
    headers = [each for each in make_headers(shape=(5, 4, 5)) if each.InstanceNumber != 3]  # 0, 2.5, 7.5 and 10 mm
    found = shown_on((1.0, 1.0, height), SourceSeries.from_headers(headers))
    assert found == (f"1.2.3.1.{slice_number}" if slice_number else "")


CORONAL = np.array([[0.5, 0, 0, 0], [0, 0, 2.0, -0.7], [0, 0.75, 0, 0], [0, 0, 0, 1]])  # at y = -0.7, 1.3 and 3.3


@pytest.mark.parametrize("coronal_first", [False, True])
@pytest.mark.parametrize(
    ("y", "z", "shown"), [(1.2, 2.2, "cor 2"), (1.2, 2.45, "ax 2"), (1.7, 1.3, "cor 2"), (1.7, 2.0, "cor 2"),
                          (2.2, 2.0, "ax 2"), (2.3, 0.3, "ax 1"), (2.5, 2.0, "ax 2"), (-0.6, 1.0, "cor 1"),
                          (-1.8, 1.0, "")],
)  # fmt: skip
def test_of_slices_that_cross_the_nearest_shows_a_place(y: float, z: float, shown: str, *, coronal_first: bool) -> None:
    coronal = make_headers(CORONAL, shape=(5, 4, 3))
    for k, header in enumerate(coronal, start=1):
        header.SOPInstanceUID = f"1.2.3.7.{k}"
    axial = make_headers()
    source = SourceSeries.from_headers([*coronal, *axial] if coronal_first else [*axial, *coronal])
    found = shown_on((1.0, y, z), source).replace("1.2.3.1.", "ax ").replace("1.2.3.7.", "cor ")
    assert found == shown


@pytest.mark.parametrize(("height", "is_on"), [(1.2, True), (1.3, False), (-1.2, True), (-1.3, False)])
def test_a_single_slice_is_as_thick_as_it_says(height: float, *, is_on: bool) -> None:
    assert bool(shown_on((1.0, 1.0, height), make_source(shape=(5, 4, 1)))) == is_on


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kg²", "kg2"), ("kg³", "kg3"), ("µg/ml", "ug/ml"), ("mm**2/s", "mm2/s"), ("kg**2", "kg2"), ("kg^2", "kg2"),
        ("Bq/m^3", "Bq/m3"),
        ("kg / m2", "kg/m2"), (" mGy ", "mGy"), ("SUV", "g/ml{SUVbw}"), ("HZ", "Hz"), ("mgy", "mGy"), ("qqqqqq", ""),
    ],
)  # fmt: skip
def test_a_unit_as_it_is_written_every_day_leads_to_that_of_ucum(written: str, meant: str) -> None:
    assert nearest_unit(written) == meant


@pytest.mark.parametrize(
    ("offset", "minutes"),
    [("+0530", 330), ("-0330", -210), ("+0000", 0), ("-0000", 0), ("+1400", 840), ("-1159", -719), ("+0959", 599)],
)
def test_a_time_zone_is_ahead_of_utc_or_behind_it(offset: str, minutes: int) -> None:
    header = Dataset()
    header.TimezoneOffsetFromUTC = offset
    found = time_zone(header)
    assert found is not None
    assert found.utcoffset(None) == timedelta(minutes=minutes)


@pytest.mark.parametrize("offset", ["+1500", "0530", "+530", "+0560", "x", ""])
def test_an_offset_that_is_none_is_no_time_zone(offset: str) -> None:
    header = Dataset()
    header.TimezoneOffsetFromUTC = offset
    assert time_zone(header) is None


def test_an_attribute_that_the_source_leaves_empty_is_no_flaw() -> None:
    empty: dict[str, Any] = {
        "PatientSex": "",
        "PatientBirthDate": None,
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
    }
    assert flaws_of_source(make_source(**empty, PatientSize=None, StudyDescription="")) == []


@pytest.mark.parametrize(("span", "is_exact"), [(65535, True), (65536, False)])
@pytest.mark.parametrize("low", [100_000, -70_000])
def test_whole_numbers_are_shifted_into_16_bits_up_to_the_last_one(low: int, span: int, *, is_exact: bool) -> None:
    array = np.array([[low, low + 1], [low + 2, low + span]])
    pixels = store_values(array, allow_8_bit=True, may_round=True)
    assert pixels.mapping.is_exact == is_exact
    if is_exact:
        assert np.array_equal(pixels.array.astype(int) + int(pixels.mapping.intercept), array)


def flipped(mask: NDArray[np.bool_]) -> Volume:
    """The same mask with its columns counted from the other side."""
    affine = PLAIN @ np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = PLAIN[:3, 0] * (mask.shape[0] - 1)
    return Volume(mask[::-1], affine)


def test_masks_counted_from_two_sides_are_one_label_map_unless_they_overlap() -> None:
    liver, spleen = np.zeros((5, 4, 3), bool), np.zeros((5, 4, 3), bool)
    liver[0, 1:3], spleen[3, 2, 1] = True, True
    how = SegmentationOptions(kind="labelmap")
    made = stored(segmentation({"liver": liver, "spleen": flipped(spleen)}, make_source(), make_recipe(), options=how))
    places = {float(g.PlanePositionSequence[0].ImagePositionPatient[2]): f for f, g in zip(
        made.pixel_array, made.PerFrameFunctionalGroupsSequence, strict=True)}  # fmt: skip
    for k in range(3):
        assert np.array_equal(places[2.5 * k].T, liver[:, :, k] + 2 * spleen[:, :, k])
    spleen[0, 1, 2] = True
    with pytest.raises(DerivedObjectError, match="overlap"):
        segmentation({"liver": liver, "spleen": flipped(spleen)}, make_source(), make_recipe(), options=how)


@pytest.mark.parametrize(
    "sop_class", ["1.2.840.10008.5.1.4.1.1.999", "1.3.12.2.1107.5.9.1", "1.2.840.10008.5.1.4.1.1.6"]
)
def test_a_source_of_a_class_that_highdicom_does_not_know_is_referred_to(sop_class: str) -> None:
    mask = np.ones((5, 4, 3), bool)
    made = stored(segmentation({"liver": mask}, make_source(SOPClassUID=sop_class), make_recipe()))
    (series,) = made.ReferencedSeriesSequence
    found = {each.ReferencedSOPClassUID for each in series.ReferencedInstanceSequence}
    assert found == {sop_class}


def test_a_mask_that_was_read_says_what_it_is_of(tmp_path: Path) -> None:
    mask: Any = np.ones((5, 4, 3), bool)
    made = segmentation({"left kidney": Segment(mask)}, make_source(), make_recipe())
    path = tmp_path / "seg.dcm"
    made.save_as(path, enforce_file_format=True)
    for like in (None, Volume(mask, PLAIN, frame_of_reference_uid="1.2.3.9", name="ct", modality="CT")):
        found = read_segments([path], like)[0].mask()
        assert (found.name, found.modality) == ("left kidney", "SEG")


@pytest.mark.parametrize("number", ["1.23456789012345678", "-1.23456789012345678", "-0.00000000001234567"])
def test_a_long_decimal_string_is_shortened_to_the_same_number(number: str) -> None:
    short = str(shortened(number))
    assert len(short) <= 16
    assert float(short) == pytest.approx(float(number), rel=1e-9)


@pytest.mark.parametrize("number", ["1.5", "-1.5", "123456789.123456", "-12345678.123456"])
def test_a_decimal_string_of_16_characters_stays_as_it_is(number: str) -> None:
    assert shortened(number) == number


@pytest.mark.parametrize("number", ["0.00000000000000012345678901234", "-12345678901234567890.5"])
def test_an_extreme_decimal_string_keeps_its_value(number: str) -> None:
    assert float(shortened(number)) == pytest.approx(float(number), rel=1e-9, abs=0)


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((1, 0, 0), "L"), ((-1, 0, 0), "R"), ((0, 1, 0), "P"), ((0, -1, 0), "A"), ((0, 0, 1), "H"), ((0, 0, -1), "F"),
        ((0.99, 0.12, 0.0), "LP"), ((0.99, -0.09, 0.0), "L"), ((-0.3, 0.6, -0.7), "FPR"), ((1, 0.1, 0), "LP"),
    ],
    ids=str,
)  # fmt: skip
def test_letters_name_the_main_direction_first(direction: tuple[float, float, float], letters: str) -> None:
    # L, P and H are where the coordinates of the patient grow (PS3.3, section C.7.6.2.1.1)
    assert direction_letters(np.array(direction, float)) == letters


@pytest.mark.parametrize(("gap_mm", "is_taken"), [(-1.0, True), (0.0, True), (0.1, False), (40.0, False)])
@pytest.mark.parametrize("side", [1, -1])
def test_voxels_that_touch_the_source_are_taken_and_those_beside_it_refused(
    side: int, gap_mm: float, *, is_taken: bool
) -> None:
    # the source reaches from -1.25 to 6.25 mm, and three voxels of 1 mm end there or gap_mm away from it
    affine = PLAIN.copy()
    affine[2, 2] = 1.0
    affine[2, 3] = 6.25 + 0.5 + gap_mm if side > 0 else -1.25 - 2.5 - gap_mm
    mask = {"liver": Volume(np.ones((5, 4, 3), bool), affine)}
    if is_taken:
        made = segmentation(mask, make_source(), make_recipe())
        assert made.NumberOfFrames == 3
    else:
        with pytest.raises(DerivedObjectError, match="mm away from all that the source shows"):
            segmentation(mask, make_source(), make_recipe())
