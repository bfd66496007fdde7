"""Contours become masks on the images that they were drawn on, or are refused with the reason."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service import Code, Volume
from dcm_processor_service.derived.reading.polygons import filled
from dcm_processor_service.derived.reading.segments import images_needed, read_segments
from dcm_processor_service.errors import InvalidSeriesError, SeriesNotFoundError
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.testing import fake_context
from tests.desk import examples
from tests.unit.derived.sources import PLAIN, make_headers
from tests.unit.derived.structure_sets import contour, rectangle, structure_set, written_set
from tests.unit.derived.test_reading_seg import GRIDS, files

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (12, 10, 6)
REAL = [(1, "patient"), (2, "Isocenter 1"), (3, "Isocenter 2")]
"""The regions of pydicom's structure set."""


def images(folder: Path, affine: NDArray[np.float64] = PLAIN, **more: Any) -> list[Path]:
    return files(make_headers(affine, SHAPE, **more), folder)


def volume(affine: NDArray[np.float64] = PLAIN, shape: tuple[int, ...] = SHAPE, space: str = "1.2.3.9") -> Volume:
    return Volume(np.zeros(shape, np.int16), affine, frame_of_reference_uid=space)


def voxel(mask: Volume, place: Any) -> bool:
    """What a mask holds at a place, LPS mm."""
    i, j, k = np.rint(np.linalg.inv(mask.affine_lps) @ (*place, 1.0))[:3].astype(int)
    return bool(mask.array[i, j, k])


def ring() -> NDArray[np.bool_]:
    """Pixels 2 to 9 by 2 to 7, without 4 to 6 by 4 to 5, in slices 1 to 3, and an island in slice 2."""
    mask = np.zeros(SHAPE, bool)
    mask[2:10, 2:8, 1:4] = True
    mask[4:7, 4:6, 1:4] = False
    mask[5, 4, 2] = True
    return mask


def ring_contours(affine: NDArray[np.float64], *, keyhole: bool) -> list[Any]:
    outer, hole = rectangle(2, 2, 9, 7), rectangle(4, 4, 6, 5)
    found = []
    for k in (3, 1, 2):  # in no order
        if keyhole:  # to the hole and back on one line
            found.append(contour(affine, k, [*outer, outer[0], *hole[::-1], hole[-1], outer[0]]))
        else:
            found += [contour(affine, k, hole[::-1]), contour(affine, k, outer)]
    return [*found, contour(affine, 2, rectangle(5, 4, 5, 4))]


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("keyhole", [False, True], ids=["contours", "keyhole"])
def test_every_voxel_is_filled_at_its_place_and_holes_stay_open(name: str, tmp_path: Path, *, keyhole: bool) -> None:
    affine = GRIDS[name]
    paths = written_set({"ring": ring_contours(affine, keyhole=keyhole)}, tmp_path)
    (found,) = read_segments(paths, images=images(tmp_path, affine))
    mask = found.mask()
    assert int(mask.array.sum()) == int(ring().sum())
    for index in np.argwhere(ring()):
        assert voxel(mask, (affine @ (*index, 1))[:3])
    assert mask.source(0).sop_instance_uid
    assert (mask.frame_of_reference_uid, mask.series_instance_uid) == ("1.2.3.9", "1.2.3.0")


def test_holes_may_be_marked_as_such(tmp_path: Path) -> None:
    contours = [contour(PLAIN, 1, rectangle(*box), "CLOSEDPLANAR_XOR") for box in ((2, 2, 9, 7), (4, 4, 6, 5))]
    (found,) = read_segments(written_set({"ring": contours}, tmp_path), images=images(tmp_path))
    assert np.array_equal(found.mask().array[:, :, 1], ring()[:, :, 1])


def test_what_a_region_is_comes_back(tmp_path: Path) -> None:
    dataset = structure_set({"Leber": [contour(PLAIN, 1, rectangle(1, 1, 2, 2))], "empty": []})
    code, side = dataset.StructureSetROISequence[0].__class__(), dataset.StructureSetROISequence[0].__class__()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "64033007", "SCT", "Kidney"
    side.CodeValue, side.CodingSchemeDesignator, side.CodeMeaning = "7771000", "SCT", "Left"
    code.SegmentedPropertyTypeModifierCodeSequence = [side]
    dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence = [code]
    path = tmp_path / "set.dcm"
    dataset.save_as(path, enforce_file_format=True)
    kidney, empty = read_segments([path], images=images(tmp_path))
    assert (kidney.number, kidney.name, kidney.code) == (11, "Leber", Code("64033007", "SCT", "Kidney"))
    assert (kidney.laterality, kidney.color_rgb) == (Code("7771000", "SCT", "Left"), (255, 0, 11))
    assert (kidney.algorithm_type, kidney.referenced_series_uids) == ("MANUAL", ("1.2.3.0",))
    assert (kidney.sop_instance_uid, kidney.series_instance_uid) == ("1.2.3.55.1", "1.2.3.55")
    assert (empty.number, empty.color_rgb, empty.code) == (12, None, None)
    assert not empty.mask().array.any()


def test_a_contour_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    contours = [contour(PLAIN, 1, rectangle(1, 1, 4, 4))] * 2
    (found,) = read_segments(written_set({"twice": contours}, tmp_path), images=images(tmp_path))
    assert found.mask().array.sum() == 16


def test_contours_that_share_an_edge_share_no_voxel_and_leave_none_out(tmp_path: Path) -> None:
    contours = [
        contour(PLAIN, 1, [(1, 1), (4, 1), (4, 4), (1, 4)]),
        contour(PLAIN, 1, [(4, 1), (8, 1), (8, 4), (4, 4)]),
    ]
    (found,) = read_segments(written_set({"two": contours}, tmp_path), images=images(tmp_path))
    assert found.mask().array.sum() == 3 * 7


SQUARE = rectangle(2, 2, 5, 5)
BAD = {
    "between slices": ([contour(PLAIN, 1.5, SQUARE)], "lies between slices, 0.50 of a step"),
    "a little off": ([contour(PLAIN, 1.2, SQUARE)], "lies between slices, 0.20 of a step"),
    "across slices": ([contour(PLAIN, 1, SQUARE, rise=0.4)], "not parallel to the slices"),
    "outside": ([contour(PLAIN, 1, SQUARE), contour(PLAIN, 9, SQUARE)], "1 of the 2 contours .* lie outside"),
    "points": ([contour(PLAIN, 1, [(1, 1)], "POINT")], "of the type POINT"),
    "a line": ([contour(PLAIN, 1, SQUARE, "OPEN_PLANAR")], "of the type OPEN_PLANAR"),
    "no type": ([contour(PLAIN, 1, SQUARE, "")], "of the type unknown"),
    "two points": ([contour(PLAIN, 1, SQUARE[:2])], "a contour of 6 coordinates"),
    "crossing": ([contour(PLAIN, 1, SQUARE), contour(PLAIN, 1, rectangle(4, 4, 8, 8))], "cross in slice 2"),
    "every second": ([contour(PLAIN, k, SQUARE) for k in (0, 2, 4)], "only one of every 2 slices"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_contours_that_cannot_be_placed_without_guessing_are_refused(name: str, tmp_path: Path) -> None:
    contours, message = BAD[name]
    good = [contour(PLAIN, 1, SQUARE)]
    bad, fine = read_segments(written_set({"bad": contours, "fine": good}, tmp_path), images=images(tmp_path))
    with pytest.raises(InvalidSeriesError, match=message):
        bad.mask()
    assert fine.mask().array.sum() == 16


def test_coordinates_that_are_rounded_lie_on_their_slice(tmp_path: Path) -> None:
    rounded = contour(PLAIN, 1, SQUARE)
    rounded.ContourData = [f"{float(value):.1f}" for value in rounded.ContourData]
    (found,) = read_segments(written_set({"rounded": [rounded]}, tmp_path), images=images(tmp_path))
    assert found.mask().array[:, :, 1].any()


def test_a_contour_of_more_than_64_kilobytes_is_read_as_the_numbers_that_it_is(tmp_path: Path) -> None:
    corners = [*SQUARE, SQUARE[0]]
    dense = [
        (a[0] + (b[0] - a[0]) * part / 1500, a[1] + (b[1] - a[1]) * part / 1500)
        for a, b in itertools.pairwise(corners)
        for part in range(1500)
    ]
    affine = GRIDS["oblique"]  # coordinates of all 16 digits
    with pytest.warns(UserWarning, match="changed from 'DS' to 'UN'"):
        paths = written_set({"dense": [contour(affine, 1, dense)]}, tmp_path)
    assert dcmread(paths[0]).ROIContourSequence[0].ContourSequence[0]["ContourData"].VR == "UN"
    (found,) = read_segments(paths, images=images(tmp_path, affine))
    assert found.mask().array.sum() == 16


@pytest.mark.parametrize("value", [b"1\\2\\nan\\4\\5\\6\\7\\8\\9 ", b"1\\2\\x\\4\\5\\6\\7\\8\\9 "])
def test_coordinates_that_are_no_numbers_are_refused(value: bytes, tmp_path: Path) -> None:
    paths = written_set({"one": [contour(PLAIN, 1, [(1, 1), (2, 1), (1, 2)])]}, tmp_path)
    content = paths[0].read_bytes()
    at = content.index(b"\x06\x30\x50\x00DS") + 8
    length = int.from_bytes(content[at - 2 : at], "little")
    paths[0].write_bytes(content[:at] + value.ljust(length)[:length] + content[at + length :])
    (found,) = read_segments(paths, volume())
    with pytest.raises(InvalidSeriesError):
        found.mask()


def test_regions_of_another_frame_of_reference_are_refused(tmp_path: Path) -> None:
    paths = written_set({"one": [contour(PLAIN, 1, SQUARE)]}, tmp_path, space="1.2.3.10")
    (found,) = read_segments(paths, images=images(tmp_path))
    with pytest.raises(InvalidSeriesError, match="another frame of reference"):
        found.mask()


@pytest.mark.parametrize("series", [(), ("1.2.3.0", "1.2.3.1")])
def test_a_set_that_names_no_images_or_several_needs_like(series: tuple[str, ...], tmp_path: Path) -> None:
    paths = written_set({"one": [contour(PLAIN, 1, SQUARE)]}, tmp_path, series=series)
    with pytest.raises(InvalidSeriesError, match=f"refers to {len(series)} series of images"):
        images_needed(paths)
    (found,) = read_segments(paths, volume())
    assert found.mask().array.sum() == 16


@pytest.mark.parametrize("axes", ["RAS", "SRA", "PIL"])
def test_a_volume_that_was_turned_takes_contours_along_its_axes(axes: str, tmp_path: Path) -> None:
    paths = written_set({"ring": ring_contours(PLAIN, keyhole=False)}, tmp_path)
    like = volume().reorient(axes)
    (found,) = read_segments(paths, like)
    assert np.array_equal(found.mask().array, like.like(volume().like(ring()).reorient(axes).array).array)


def test_a_volume_that_shows_a_part_gets_that_part(tmp_path: Path) -> None:
    crop = PLAIN.copy()
    crop[:3, 3] = PLAIN[:3, :3] @ (3, 0, 2)
    paths = written_set({"ring": ring_contours(PLAIN, keyhole=False)}, tmp_path)
    (found,) = read_segments(paths, volume(crop, (9, 10, 4)))
    assert np.array_equal(found.mask().array, ring()[3:, :, 2:])


def test_a_volume_with_slices_between_the_contours_is_refused(tmp_path: Path) -> None:
    fine = PLAIN @ np.diag([1, 1, 0.5, 1])
    paths = written_set({"ring": ring_contours(PLAIN, keyhole=False)}, tmp_path)
    (found,) = read_segments(paths, volume(fine, (12, 10, 12)))
    with pytest.raises(InvalidSeriesError, match="only one of every 2 slices of the images"):
        found.mask()


def test_a_volume_with_slices_between_those_of_other_regions_is_refused_too(tmp_path: Path) -> None:
    fine = PLAIN @ np.diag([1, 1, 0.5, 1])
    two = [contour(PLAIN, k, SQUARE) for k in (1, 2)]
    paths = written_set({"ring": ring_contours(PLAIN, keyhole=False), "two": two}, tmp_path)
    _, found = read_segments(paths, volume(fine, (12, 10, 12)))
    with pytest.raises(InvalidSeriesError, match="only one of every 2 slices of the images"):
        found.mask()


def test_contours_across_the_slices_of_the_images_are_refused_though_they_lie_on_voxels(tmp_path: Path) -> None:
    sagittal = contour(
        PLAIN @ np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), 3, [(1, 1), (4, 1), (4, 4)]
    )
    (found,) = read_segments(written_set({"one": [sagittal]}, tmp_path), images=images(tmp_path))
    with pytest.raises(InvalidSeriesError, match="not parallel to the slices"):
        found.mask()


def test_contours_of_one_region_in_two_places_are_refused_rather_than_lost(tmp_path: Path) -> None:
    dataset = structure_set({"one": [contour(PLAIN, 1, SQUARE)], "two": [contour(PLAIN, 2, SQUARE)]})
    dataset.ROIContourSequence[1].ReferencedROINumber = 11
    dataset.save_as(tmp_path / "set.dcm", enforce_file_format=True)
    with pytest.raises(InvalidSeriesError, match="two of one number"):
        read_segments([tmp_path / "set.dcm"], volume())


def test_images_on_no_regular_grid_are_refused(tmp_path: Path) -> None:
    headers = make_headers(PLAIN, SHAPE)
    for header in headers[3:]:
        header.ImagePositionPatient = [0, 0, header.ImagePositionPatient[2] + 1.1]
    paths = written_set({"one": [contour(PLAIN, 1, SQUARE)]}, tmp_path)
    with pytest.raises(InvalidSeriesError, match="have 2 grids"):
        read_segments(paths, images=files(headers, tmp_path))


def test_contours_of_a_region_that_is_not_described_are_refused(tmp_path: Path) -> None:
    dataset = structure_set({"one": [contour(PLAIN, 1, SQUARE)]})
    dataset.StructureSetROISequence[0].ROINumber = 4
    dataset.save_as(tmp_path / "set.dcm", enforce_file_format=True)
    with pytest.raises(InvalidSeriesError, match="does not describe"):
        read_segments([tmp_path / "set.dcm"], volume())


def test_a_mask_beyond_the_limits_is_refused_before_it_is_made(tmp_path: Path) -> None:
    paths = written_set({"one": [contour(PLAIN, 1, SQUARE)]}, tmp_path)
    (found,) = read_segments(paths, volume(), limits=Limits(volume_bytes=100))
    with pytest.raises(InvalidSeriesError, match="declares a mask"):
        found.mask()


def test_a_real_structure_set_is_read_onto_a_volume_of_its_slices() -> None:
    path = Path(str(get_testdata_file("rtstruct.dcm")))
    assert images_needed([path]) == "1.2.826.0.1.3680043.8.498.2010020400001.2.1.1"
    contours = dcmread(path, force=True).ROIContourSequence[0].ContourSequence
    points = [np.array(each.ContourData, float).reshape(-1, 3) for each in contours]
    corner, size = np.min([each.min(axis=0) for each in points], axis=0), np.ptp(np.concatenate(points), axis=0)
    affine = np.diag([1.0, 1.0, 10.0, 1.0])
    affine[:3, 3] = corner - np.array([5.3, 5.3, 0.0])
    shape = (int(size[0]) + 12, int(size[1]) + 12, len(points))
    patient, *others = read_segments([path], volume(affine, shape, "1.2.826.0.1.3680043.8.498.2010020400001.2"))
    assert [(each.number, each.name) for each in (patient, *others)] == REAL
    areas = [0.5 * abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) for x, y, _ in (each.T for each in points)]
    assert patient.mask().array.sum() == pytest.approx(sum(areas), rel=0.02)


def ray_cast(polygon: Any, columns: int, rows: int) -> NDArray[np.bool_]:
    """By the definition of the even-odd rule, pixel by pixel."""
    found = np.zeros((columns, rows), bool)
    pairs = list(zip(polygon, [*polygon[1:], polygon[0]], strict=True))
    for i in range(columns):
        for j in range(rows):
            for start, end in pairs:
                (x0, y0), (x1, y1) = sorted((start, end), key=lambda point: point[1])
                # a centre on an edge is decided by no noise
                if y0 <= j < y1 and i >= round((x1 - x0) * (j - y0) / (y1 - y0) + x0, 5):
                    found[i, j] ^= True
    return found


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(*(st.integers(-30, 150).map(lambda n: n / 10 + 0.013) for _ in range(2))), min_size=3, max_size=9
    )
)
def test_any_polygon_is_filled_by_the_even_odd_rule(polygon: list[tuple[float, float]]) -> None:
    assert np.array_equal(filled([np.array(polygon)], (12, 10)), ray_cast(polygon, 12, 10))


def test_in_a_session_the_images_are_found_by_what_the_set_says(tmp_path: Path) -> None:
    headers = [dcmread(path) for path in images(tmp_path)]
    dataset = structure_set({"ring": ring_contours(PLAIN, keyhole=True)})
    dicom = fake_context(series=[*headers, dataset]).session.dicom
    ct, structures = dicom.series()
    for like in (None, ct, ct.volume()):
        (found,) = structures.segments(like)
        assert np.array_equal(found.mask().array, ring())


def test_in_a_session_without_the_images_the_set_is_refused() -> None:
    dataset = structure_set({"ring": ring_contours(PLAIN, keyhole=True)})
    series = fake_context(series=[dataset]).session.dicom.get_series()
    with pytest.raises(SeriesNotFoundError, match=r"drawn on the series 1\.2\.3\.0, which is not stored"):
        series.segments()
    assert series.segments(like=volume())[0].mask().array.any()


@pytest.mark.parametrize(("kind", "is_one"), [("CLOSEDPLANAR_XOR", True), ("CLOSED_PLANAR", False)])
def test_contours_that_cross_are_clear_where_the_header_says_what_is_common(
    tmp_path: Path, kind: str, *, is_one: bool
) -> None:
    contours = [contour(PLAIN, 1, rectangle(*box), kind) for box in ((2, 2, 7, 6), (5, 4, 9, 8))]
    paths = written_set({"two": contours}, tmp_path)
    (found,) = read_segments(paths, images=images(tmp_path))
    if not is_one:
        with pytest.raises(InvalidSeriesError, match="cross in slice 2"):
            found.mask()
        return
    expected = np.zeros(SHAPE[:2], bool)
    expected[2:8, 2:7] = True
    expected[5:10, 4:9] ^= True
    assert np.array_equal(found.mask().array[:, :, 1], expected)


def test_a_structure_set_that_cannot_be_read_is_named_as_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = written_set({"ring": ring_contours(PLAIN, keyhole=False)}, tmp_path)

    def fail(*_: object) -> None:
        raise ValueError("Test^Patient")

    monkeypatch.setattr("dcm_processor_service.derived.reading.rtstruct._by_number", fail)
    with pytest.raises(
        InvalidSeriesError, match="not a structure set that can be read, its header is damaged"
    ) as caught:
        read_segments(paths, images=images(tmp_path))
    assert "Patient" not in str(caught.value)
