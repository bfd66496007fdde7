"""Fused pictures: colours at the place of the structures, on the planes of the source, with a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dcm_processor_service.derived import (
    OverlayOptions,
    Segment,
    SourceSeries,
    StudyIdentity,
    overlay,
    validate,
)
from dcm_processor_service.derived.drawings.named_masks import NamedMasks
from dcm_processor_service.derived.terminology.structures import find_structure
from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.imaging.volumes.volume import DisplayWindow, Volume
from dcm_processor_service.models.derived import Code
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

SHAPE = (60, 50, 4)
TILTED = np.array([[0.5, 0, 0, -30], [0, 0.7, 0.4, 12], [0, 0, 2.5, 3], [0, 0, 0, 1]])
SCALE = 7
MASK = np.zeros(SHAPE, np.bool_)
MASK[30:40, 5:12, 1:3] = True
RED = Segment(MASK, color_rgb=(250, 0, 0))


def volume_of(affine: NDArray[np.float64] = PLAIN, **more: Any) -> Volume:
    array = np.full(SHAPE, 40, np.int16)
    array[..., 3] = 2000
    return Volume(array, affine, **more)


def made_of(
    structures: Any, affine: NDArray[np.float64] = PLAIN, volume: Any = None, labels: Any = None, **options: Any
) -> list[Dataset]:
    shown = volume_of(affine) if volume is None else volume
    made = overlay(shown, structures, make_source(affine, SHAPE), make_recipe(), labels, OverlayOptions(**options))
    assert [problem for dataset in made for problem in validate(dataset)] == []
    return [stored(dataset) for dataset in made]


def is_red(dataset: Dataset) -> NDArray[np.bool_]:
    """Shape (columns, rows) of the source: pixels of which all parts have the full colour."""
    full = (dataset.pixel_array == (250, 0, 0)).all(axis=2).T
    found: NDArray[np.bool_] = full.reshape(SHAPE[0], SCALE, SHAPE[1], SCALE).any(axis=3).any(axis=1)
    return found


def world(dataset: Dataset, column: float, row: float) -> NDArray[np.float64]:
    orientation = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = (float(part) for part in dataset.PixelSpacing)
    in_plane: NDArray[np.float64] = orientation[0] * between_columns * column + orientation[1] * between_rows * row
    place: NDArray[np.float64] = in_plane + np.array(dataset.ImagePositionPatient, float)
    return place


@pytest.mark.parametrize("affine", [PLAIN, TILTED], ids=["upright", "tilted"])
def test_pictures_lie_on_the_planes_and_in_the_frame_of_reference_of_the_source(affine: NDArray[np.float64]) -> None:
    headers = make_headers(affine, SHAPE)
    for dataset, header in zip(made_of({"liver": RED}, affine), headers, strict=True):
        assert (dataset.Rows, dataset.Columns) == (SHAPE[1] * SCALE, SHAPE[0] * SCALE)
        assert dataset.FrameOfReferenceUID == header.FrameOfReferenceUID
        centre = (SCALE - 1) / 2  # of the pixels that one pixel of the source became
        for column, row in ((0, 0), (17, 3), (SHAPE[0] - 1, SHAPE[1] - 1)):
            place = world(dataset, SCALE * column + centre, SCALE * row + centre)
            assert np.allclose(place, world(header, column, row), atol=1e-4)
        assert [each.ReferencedSOPInstanceUID for each in dataset.SourceImageSequence] == [header.SOPInstanceUID]


@pytest.mark.parametrize("style", ["outline", "fill"])
def test_the_edge_of_a_mask_has_its_colour_and_nothing_outside_has(style: str) -> None:
    made = made_of({"liver": RED}, style=style)
    inner = MASK.copy()
    inner[31:39, 6:11] = False
    for index, dataset in enumerate(made):
        painted = is_red(dataset)
        painted[:5] = False  # the colour in the legend
        assert np.array_equal(painted, inner[:, :, index])


def test_filled_areas_are_transparent_and_outlined_ones_as_they_were() -> None:
    place = (slice(8 * SCALE, 9 * SCALE), slice(34 * SCALE, 35 * SCALE))
    (plain,) = np.unique(made_of({"liver": RED}, slices=[0])[0].pixel_array[place])
    outlined = made_of({"liver": RED}, slices=[1])[0].pixel_array[place]
    filled = made_of({"liver": RED}, slices=[1], style="fill")[0].pixel_array[place]
    assert (outlined == plain).all()
    assert (filled[..., 0] > plain).all()
    assert (filled[..., 1] < plain).all()


def legend_colours(dataset: Dataset) -> set[tuple[int, ...]]:
    left_edge = dataset.pixel_array[:, 8:12].reshape(-1, 3)
    return {(int(red), int(green), int(blue)) for red, green, blue in left_edge}


def test_the_legend_shows_the_recommended_colour_or_another_one_each_once() -> None:
    structures = {
        "liver": MASK,
        "kidney_left": MASK,
        "kidney_right": MASK,
        "of my own": Segment(MASK, color_rgb=(1, 200, 3)),
        "white": Segment(MASK, code=Code("7", "99LAB", "White"), color_lab=(100.0, 0.0, 0.0)),
        "no code at all": MASK,
    }
    found = legend_colours(made_of(structures, slices=[0])[0])
    liver = find_structure("liver")
    assert liver is not None
    assert {liver.rgb, (1, 200, 3), (255, 255, 255)} <= found
    assert len(found - {(0, 0, 0)}) >= len(structures)


def test_the_legend_differs_with_the_volume_of_a_structure() -> None:
    larger = MASK.copy()
    larger[30:40, 5:12, 3] = True
    pictures = [made_of({"liver": Segment(mask, color_rgb=(9, 9, 9))}, slices=[0])[0] for mask in (MASK, larger)]
    assert pictures[0].PixelData != pictures[1].PixelData
    again = made_of({"liver": Segment(MASK, color_rgb=(9, 9, 9))}, slices=[0])[0]
    assert again.PixelData == pictures[0].PixelData


def test_the_volume_of_a_structure_is_that_of_all_its_slices_in_ml() -> None:
    masks = NamedMasks.of({"liver": RED, "spleen": MASK & False}, None, make_source(PLAIN, SHAPE))
    assert masks.volumes_ml() == pytest.approx([MASK.sum() * 0.5 * 0.75 * 2.5 / 1000, 0])


def test_key_slices_are_made_alone_in_the_order_of_the_planes() -> None:
    made = made_of({"liver": RED}, slices=[3, 1, 1])
    heights = [float(dataset.ImagePositionPatient[2]) for dataset in made]
    assert heights == [2.5, 7.5]
    assert [int(dataset.InstanceNumber) for dataset in made] == [1, 2]
    assert "SpacingBetweenSlices" not in made[0]
    assert "SpacingBetweenSlices" in made_of({"liver": RED}, slices=[1, 2])[0]


def test_key_slices_are_those_of_the_array_also_where_it_was_turned_round() -> None:
    turned = volume_of().reorient("RPI")
    (made,) = made_of({"liver": Segment(MASK[::-1, :, ::-1], color_rgb=(250, 0, 0))}, volume=turned, slices=[0])
    assert float(made.ImagePositionPatient[2]) == 7.5
    with pytest.raises(DerivedObjectError, match="third axis of the volume is not that of its slices"):
        made_of(MASK.transpose(2, 1, 0), volume=volume_of().reorient("SPL"), labels={1: "liver"}, slices=[0])


def test_a_label_map_is_painted_as_its_masks_are() -> None:
    label_map = np.where(MASK, 5, 0).astype(np.uint8)
    of_labels = made_of(label_map, labels={5: "liver"})
    assert [each.PixelData for each in of_labels] == [each.PixelData for each in made_of({"liver": MASK})]


def grey_of(volume: Volume, **options: Any) -> int:
    dataset = made_of({"liver": RED}, volume=volume, slices=[0], **options)[0]
    return int(dataset.pixel_array[10, 400, 0])


def test_the_window_is_the_one_given_else_the_headers_else_that_of_soft_tissue() -> None:
    assert grey_of(volume_of(), window=(40, 2)) == 127
    assert grey_of(volume_of(), window=(140, 200)) == 0
    assert grey_of(volume_of(display_window=DisplayWindow(0, 80))) == 255
    assert grey_of(volume_of()) == 127


def test_what_is_stored_as_a_negative_is_shown_as_it_is_meant() -> None:
    assert grey_of(volume_of(is_monochrome1=True), window=(140, 200)) == 255


def test_an_array_of_a_negative_is_shown_as_the_source_is() -> None:
    volume = volume_of()
    negative = make_source(PLAIN, SHAPE, PhotometricInterpretation="MONOCHROME1")
    shown = OverlayOptions(window=(140, 200), slices=[0])
    (made,) = overlay(volume.array, {"liver": MASK}, negative, make_recipe(), options=shown)
    assert int(made.pixel_array[10, 400, 0]) == 255


def test_the_text_changes_the_bottom_of_the_picture_alone() -> None:
    plain = made_of({"liver": RED}, slices=[0])[0].pixel_array
    written = made_of({"liver": RED}, slices=[0], text="Nicht für Befund: Größe, Żółć")[0].pixel_array
    rows = np.flatnonzero((plain != written).any(axis=(1, 2)))
    assert rows.min() > plain.shape[0] * 0.9


def test_identity_in_the_picture_is_declared() -> None:
    assert made_of({"liver": RED}, slices=[0], text="Mustermann", shows_identity=True)[0].BurnedInAnnotation == "YES"
    assert "BurnedInAnnotation" not in made_of({"liver": RED}, slices=[0])[0]


def test_large_images_keep_their_pixels() -> None:
    shape = (500, 400, 1)
    volume = Volume(np.zeros(shape, np.int16), PLAIN)
    (made,) = overlay(volume, {"liver": np.ones(shape, bool)}, make_source(PLAIN, shape), make_recipe())
    assert (made.Columns, made.Rows) == (500, 400)
    assert made.ImagePositionPatient == [0, 0, 0]


def test_a_radiograph_is_shown_on_its_own_plane_without_volumes() -> None:
    headers = make_headers(PLAIN, (*SHAPE[:2], 1), Modality="DX")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        del headers[0][keyword]
    image, mask = np.zeros(SHAPE[:2], np.uint16), MASK[..., 1]
    (made,) = overlay(image, {"lung": mask}, SourceSeries.from_headers(headers), make_recipe())
    assert (made.Columns, made.Rows) == SHAPE[:2]
    assert "FrameOfReferenceUID" not in made
    assert validate(made) == ()


def test_names_that_do_not_fit_are_shortened_and_structures_beyond_the_picture_are_counted() -> None:
    structures = {f"a structure with a name that is very long indeed, number {number}": MASK for number in range(40)}
    assert made_of(structures, slices=[0])[0].pixel_array.shape == (350, 420, 3)


def test_what_makes_no_fused_picture_is_refused_with_its_remedy() -> None:
    def refused(match: str, structures: Any = None, error: type[Exception] = DerivedObjectError, **more: Any) -> None:
        with pytest.raises(error, match=match):
            made_of({"liver": RED} if structures is None else structures, **more)

    refused("no style", style="shaded")
    refused("from 0 to 3; given: \\[4\\]", slices=[4])
    refused("from 0 to 3; given: \\[-1\\]", slices=[-1])
    refused("given: none", slices=[])
    refused("no segments", {})
    refused("needs the names", MASK)
    refused("Latin letters", {"печень": MASK}, UnsupportedValueError)
    refused("wider than the picture", error=UnsupportedValueError, text="word " * 60)
    refused("different grids", {"liver": Volume(MASK, PLAIN @ np.diag([0.5, 0.5, 1, 1]))}, UnsupportedValueError)
    with pytest.raises(DerivedObjectError, match="give that series"):
        overlay(volume_of(), {"liver": MASK}, StudyIdentity(patient_id="P", study_instance_uid="1.2"), make_recipe())
