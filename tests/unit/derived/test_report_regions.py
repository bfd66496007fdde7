"""Points, lines, outlines and boxes of findings: written where they are, refused elsewhere, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset

from dcm_processor_service import Finding, Region
from dcm_processor_service.derived import measurement_report
from dcm_processor_service.derived.reading.measurements import read_measurements
from dcm_processor_service.derived.reading.regions import _solid
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError, InvalidSeriesError
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored
from tests.unit.derived.test_reports import items_of, name_of

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (16, 12, 6)
IMAGE = "1.2.3.1.2"
OTHER = "1.2.3.1.3"


def at(i: float, j: float, k: float) -> tuple[float, ...]:
    """A voxel in LPS mm."""
    return tuple(float(np.float32(part)) for part in (PLAIN @ [i, j, k, 1])[:3])


BOX = Region("box", (at(2, 3, 0.5), at(6, 8, 3.5)))
REGIONS: dict[str, Any] = {
    "point": Region("point", [at(3, 4, 2)]),
    "box": BOX,
    "flat box": Region("box", (at(2, 3, 1), at(6, 8, 1))),
    "outline": Region("outline", [at(2, 3, 1), at(6, 3, 1), at(4, 8, 1)]),
    "outlines": tuple(Region("outline", [at(2, 3, k), at(6, 3, k), at(4, 8, k)]) for k in (1, 2, 3)),
    "ellipse": Region("ellipse", [at(2, 5, 1), at(8, 5, 1), at(5, 4, 1), at(5, 6, 1)]),
    "ellipsoid": Region("ellipsoid", [at(2, 5, 2), at(8, 5, 2), at(5, 4, 2), at(5, 6, 2), at(5, 5, 1), at(5, 5, 3)]),
    "line": Region("line", [at(2, 3, 1), at(6, 8, 1)]),
    "points": Region("points", [at(2, 3, 1), at(6, 8, 1)]),
    "pixel": Region("point", [(3, 4)], image=IMAGE),
    "box of pixels": Region("box", [(3, 4), (9.5, 8)], image=IMAGE),
    "outline of pixels": Region("outline", [(3, 4), (9, 8), (5, 10)], image=IMAGE),
    "outlines of pixels": tuple(Region("outline", [(3, 4), (9, 8), (5, 10)], image=uid) for uid in (IMAGE, OTHER)),
    "circle": Region("circle", [(5, 5), (5, 8)], image=IMAGE),
    "ellipse of pixels": Region("ellipse", [(2, 5), (8, 5), (5, 4), (5, 6)], image=IMAGE),
    "line of pixels": Region("line", [(3, 4), (9, 8)], image=IMAGE),
    "two axes": (Region("line", [(3, 4), (9, 8)], image=IMAGE), Region("line", [(3, 8), (9, 4)], image=IMAGE)),
}


def report(region: Any, source: SourceSeries | None = None, **more: Any) -> Dataset:
    finding = Finding({"Diameter": (12.5, "mm")}, finding="Mass", region=region, **more)
    return measurement_report({"lesion": finding}, source or make_source(shape=SHAPE), make_recipe())


def read(dataset: Dataset, folder: Path) -> Finding:
    path = folder / "report.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return read_measurements([path])["lesion"]


def coordinates(dataset: Dataset) -> list[Dataset]:
    return items_of(stored(dataset), "SCOORD") + items_of(stored(dataset), "SCOORD3D")


@pytest.mark.parametrize("kind", REGIONS)
def test_a_region_comes_back_as_it_was_given(kind: str, tmp_path: Path) -> None:
    found = read(report(REGIONS[kind]), tmp_path)
    assert found.region == REGIONS[kind]
    assert found.measurements == {"Diameter": (12.5, "mm")}


@pytest.mark.parametrize("kind", REGIONS)
def test_what_is_read_is_written_again_the_same(kind: str, tmp_path: Path) -> None:
    first = report(REGIONS[kind])
    again = measurement_report({"lesion": read(first, tmp_path)}, make_source(shape=SHAPE), make_recipe())
    assert coordinates(again) == coordinates(first)


@pytest.mark.parametrize(
    ("kind", "template", "concept"),
    [
        ("point", "1410", "Image Region"), ("pixel", "1410", "Image Region"), ("box of pixels", "1410", "Image Region"),
        ("outlines of pixels", "1411", "Image Region"), ("box", "1411", "Volume Surface"),
        ("outlines", "1411", "Volume Surface"), ("line", "1501", "Source"), ("line of pixels", "1501", "Source"),
    ],
)  # fmt: skip
def test_a_region_stands_in_the_template_of_its_dimensions(kind: str, template: str, concept: str) -> None:
    made = stored(report(REGIONS[kind]))
    found = coordinates(made)
    (group,) = [item for item in items_of(made, "CONTAINER") if name_of(item) == "Measurement Group"]
    assert group.ContentTemplateSequence[0].TemplateIdentifier == template
    assert {name_of(item) for item in found} == {concept}
    assert {item.RelationshipType for item in found} == {"INFERRED FROM" if template == "1501" else "CONTAINS"}


def test_pixels_are_counted_from_the_corner_of_the_first_one() -> None:
    (point,) = coordinates(report(REGIONS["pixel"]))
    assert list(point.GraphicData) == [3.5, 4.5]
    reference = point.ContentSequence[0].ReferencedSOPSequence[0]
    assert (reference.ReferencedSOPInstanceUID, "ReferencedFrameNumber" in reference) == (IMAGE, False)


def test_a_solid_box_has_a_contour_at_both_ends_and_on_each_slice_between() -> None:
    contours = coordinates(report(BOX))
    heights = [float(item.GraphicData[2]) for item in contours]
    assert len(heights) == len({*heights}) == 5  # half, 1, 2, 3 and three and a half
    assert {item.ReferencedFrameOfReferenceUID for item in contours} == {"1.2.3.9"}
    assert all(list(item.GraphicData[:3]) == list(item.GraphicData[-3:]) for item in contours)


def test_a_box_in_oblique_slices_keeps_the_axes_of_the_patient(tmp_path: Path) -> None:
    angle = np.radians(25)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn
    box = Region("box", ((3, 3, 3), (6, 5, 6)))
    made = report(box, make_source(affine, SHAPE))
    assert len(coordinates(made)) == 2
    assert read(made, tmp_path).region == box


def test_a_frame_of_a_multi_frame_image_is_named() -> None:
    header = make_headers(shape=(*SHAPE[:2], 1), NumberOfFrames=4)[0]
    region = Region("point", [(3, 4)], image="1.2.3.1.1", frame=3)
    (point,) = coordinates(report(region, SourceSeries.from_headers([header])))
    assert point.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 3


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (Region("point", [at(300, 4, 2)]), "outside of all slices"),
        (Region("point", [at(3, 4, 20)]), "outside of all slices"),
        (Region("box", (at(20, 3, 1), at(40, 9, 3))), "outside of all slices"),
        (Region("point", [(3, 4)], image="9.9"), "does not have"),
        (Region("point", [(16, 4)], image=IMAGE), "leave the image"),
        (Region("point", [(3, -1)], image=IMAGE), "leave the image"),
        (Region("point", [(3, 4)], image=IMAGE, frame=2), "frame 2, and the image has 1"),
        (Region("outline", [at(2, 3, 1), at(6, 3, 1), at(4, 8, 1), at(4, 5, 3)]), "share no plane"),
        ((BOX, BOX), "not one region"),
        ((REGIONS["outline"], REGIONS["ellipse"]), "not one region"),
        ((REGIONS["point"], REGIONS["pixel"]), "several sorts"),
        ((REGIONS["outline"], REGIONS["line"]), "several sorts"),
        ((), "are not regions"),
        (Region("point", [at(3, 4, 2)], frame_of_reference_uid="7.7"), "another frame of reference"),
    ],
)  # fmt: skip
def test_a_region_that_is_not_in_the_images_is_refused(region: Any, reason: str) -> None:
    with pytest.raises(DerivedObjectError, match=reason):
        report(region)


def test_mm_of_images_without_a_frame_of_reference_are_refused() -> None:
    headers = make_headers(shape=SHAPE)
    for header in headers:
        del header.FrameOfReferenceUID
    with pytest.raises(DerivedObjectError, match=r"no frame of reference: give pixels"):
        report(REGIONS["point"], SourceSeries.from_headers(headers))


def test_a_line_without_a_measurement_is_refused() -> None:
    with pytest.raises(DerivedObjectError, match="no measurement along it"):
        measurement_report(
            {"liver": Finding(region=REGIONS["line"])}, make_source(shape=SHAPE), make_recipe()
        )  # fmt: skip


def test_a_finding_in_a_region_and_a_segment_is_refused() -> None:
    seg: Any = object()
    with pytest.raises(DerivedObjectError, match="a region and a segment"):
        report(BOX, segment=(seg, 1))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("star", [(1, 2, 3)]), "no kind of region"),
        (("point", [(1, 2)]), "name the image"),
        (("point", [(1, 2, 3)], "1.2"), "column and row"),
        (("point", [(1, 2, float("nan"))]), "finite"),
        (("point", []), "has 1 points, not 0"),
        (("line", [(1, 2, 3)]), "has 2 to"),
        (("outline", [(1, 2, 3), (4, 5, 6), (1, 2, 3)]), "has 3 to"),
        (("line", [(1, 2, 3)] * 6000), "not 6000"),
        (("box", [(1, 2, 3), (1, 2, 9)]), "no size"),
        (("box", [(1, 2), (5, 2)], "1.2"), "no size"),
        (("circle", [(1, 2, 3), (2, 2, 3)]), "in an image"),
        (("ellipsoid", [(1, 2)] * 6, "1.2"), "in the patient"),
        (("point", [(1, 2)], "1.2", 0), "counted from 1"),
    ],
)  # fmt: skip
def test_a_region_that_is_none_is_refused(arguments: Any, reason: str) -> None:
    with pytest.raises(DerivedObjectError, match=reason):
        Region(*arguments)


def test_an_image_is_found_by_its_place_in_the_tree(tmp_path: Path) -> None:
    made = stored(report(REGIONS["pixel"]))
    group = items_of(made, "CONTAINER")[-1]
    (point,) = items_of(made, "SCOORD")
    image = point.ContentSequence[0]
    group.ContentSequence.append(image)
    image.RelationshipType = "CONTAINS"
    by_place = Dataset()
    by_place.RelationshipType = "SELECTED FROM"
    top = next(n for n, item in enumerate(made.ContentSequence, 1) if name_of(item) == "Imaging Measurements")
    by_place.ReferencedContentItemIdentifier = [1, top, 1, len(group.ContentSequence)]
    point.ContentSequence = [by_place]
    assert read(made, tmp_path).region == REGIONS["pixel"]


@pytest.mark.parametrize("damage", ["no image", "odd numbers", "unknown type"])
def test_damaged_coordinates_are_refused(damage: str, tmp_path: Path) -> None:
    made = stored(report(REGIONS["outline of pixels"]))
    (found,) = items_of(made, "SCOORD")
    if damage == "no image":
        del found.ContentSequence
    elif damage == "odd numbers":
        found.GraphicData = list(found.GraphicData)[:-1]
    else:
        found.GraphicType = "SPLINE"
    with pytest.raises(InvalidSeriesError, match="region of the report"):
        read(made, tmp_path)


def rectangle(low: tuple[float, float, float], high: tuple[float, float, float]) -> Region:
    return Region("box", (low, high))


@pytest.mark.parametrize(
    ("surface", "is_one"),
    [
        ([rectangle((1, 2, k), (5, 6, k)) for k in (0.0, 2.5, 5.0)], True),
        ([rectangle((k, 2, 3), (k, 6, 9)) for k in (4.0, 1.0)], True),
        ([rectangle((1, 2, 0), (5, 6, 0))], False),
        ([rectangle((1, 2, 0), (5, 6, 0)), rectangle((1, 2, 3), (7, 6, 3))], False),
        ([rectangle((1, 2, 0), (5, 6, 0)), rectangle((2, 2, 3), (5, 6, 3))], False),
        ([rectangle((1, 2, 0), (5, 6, 1)), rectangle((1, 2, 2), (5, 6, 4))], False),
        ([rectangle((1, 2, 0), (5, 6, 0)), Region("outline", [(1, 2, 3), (5, 2, 3), (3, 6, 3)])], False),
    ],
)
def test_contours_are_a_box_where_all_of_them_are_rectangles_of_it(surface: list[Region], *, is_one: bool) -> None:
    found = _solid(surface)
    if not is_one:
        assert found == surface
        return
    [box] = found
    corners = np.array([each.points for each in surface])
    assert np.array_equal(box.points, [corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)])


def test_rectangles_that_are_no_surface_stay_as_many_as_they_are(tmp_path: Path) -> None:
    made = report(BOX)
    changed = 0
    for container in items_of(made, "CONTAINER"):
        for each in container.get("ContentSequence", ()):
            if each.ValueType == "SCOORD3D":
                each.ConceptNameCodeSequence[0].CodeValue = "111030"
                each.ConceptNameCodeSequence[0].CodeMeaning = "Image Region"
                changed += 1
    assert changed > 1
    found = read(made, tmp_path).region
    assert isinstance(found, tuple)
    assert len(found) == changed
    assert {region.points[0][2] == region.points[1][2] for region in found} == {True}
