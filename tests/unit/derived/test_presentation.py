"""Presentation states: lines at the edge of masks, markers at their place, on the images that they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dcm_processor_service.derived import (
    Marker,
    PresentationOptions,
    Segment,
    SourceSeries,
    StudyIdentity,
    presentation,
    validate,
)
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.pictures.colours import rgb_of_lab
from dcm_processor_service.imaging.volumes.volume import Volume
from tests.desk import examples
from tests.unit.derived.drawn import filled
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored
from tests.unit.derived.volumes import affines

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

SHAPE = (9, 8, 4)
MASK = np.zeros(SHAPE, np.bool_)
MASK[1:6, 1:6, 1:3] = True
MASK[3, 3, 1] = False


def made_of(structures: Any, markers: Any = (), like: Any = None, **options: Any) -> Dataset:
    labels = options.pop("labels", None)
    source = make_source(PLAIN, SHAPE) if like is None else like
    (made,) = presentation(structures, markers, source, make_recipe(), labels, PresentationOptions(**options))
    assert validate(made) == ()
    return stored(made)


def painted(made: Dataset, headers: list[Dataset], layer: str) -> NDArray[np.bool_]:
    """What lies within the lines of a layer, even-odd, image by image."""
    mask = np.zeros((headers[0].Columns, headers[0].Rows, len(headers)), np.bool_)
    at = {header.SOPInstanceUID: index for index, header in enumerate(headers)}
    for annotation in made.GraphicAnnotationSequence:
        if annotation.GraphicLayer != layer:
            continue
        lines = []
        for each in annotation.GraphicObjectSequence:
            assert (each.GraphicType, each.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
            points = np.array(each.GraphicData).reshape(-1, 2)
            assert len(points) == each.NumberOfGraphicPoints
            assert (points[0] == points[-1]).all()
            lines.append(points[:-1] - 0.5)  # the centre of the first pixel lies at 0.5
        for image in annotation.ReferencedImageSequence:
            mask[:, :, at[image.ReferencedSOPInstanceUID]] = filled(lines, mask.shape[:2])
    return mask


@settings(max_examples=examples(20), deadline=None)
@given(affine=affines(), mask=hnp.arrays(np.bool_, SHAPE, elements=st.integers(0, 3).map(bool)))
def test_masks_come_back_from_the_lines_of_their_layers(affine: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    if not mask.any():
        mask[0, 0, 0] = True
    headers = make_headers(affine, SHAPE)
    made = made_of({"liver": mask}, like=SourceSeries.from_headers(headers))
    found = painted(made, headers, "LAYER1")
    touched = [bool(mask[:, :, index].any()) for index in range(SHAPE[2])]
    if np.linalg.det(affine[:3, :3]) > 0:
        assert np.array_equal(found, mask)
    else:
        assert np.array_equal(found[:, :, ::-1], mask)
        touched.reverse()
    referenced = {each.ReferencedSOPInstanceUID for each in made.ReferencedSeriesSequence[0].ReferencedImageSequence}
    assert referenced == {header.SOPInstanceUID for header, own in zip(headers, touched, strict=True) if own}


def test_each_structure_is_a_layer_with_its_name_and_colour() -> None:
    made = made_of({"liver": Segment(MASK, color_rgb=(12, 200, 34)), "no code": MASK})
    first, second = made.GraphicLayerSequence
    assert [first.GraphicLayerDescription, second.GraphicLayerDescription] == ["liver", "no code"]
    lightness, a, b = first.GraphicLayerRecommendedDisplayCIELabValue
    shown = rgb_of_lab((lightness / 655.35, a / 257 - 128, b / 257 - 128))
    assert np.abs(np.array(shown) - (12, 200, 34)).max() <= 1


def test_a_part_of_the_image_is_outlined_at_its_place() -> None:
    headers = make_headers(PLAIN, SHAPE)
    part = PLAIN.copy()
    part[:3, 3] = PLAIN[:3, :3] @ (2, 1, 1)
    made = made_of({"liver": Volume(np.ones((3, 4, 1), bool), part)}, like=SourceSeries.from_headers(headers))
    expected = np.zeros(SHAPE, np.bool_)
    expected[2:5, 1:5, 1] = True
    assert np.array_equal(painted(made, headers, "LAYER1"), expected)


@pytest.mark.parametrize("place", [(3, 2, 1), (0, 0, 0), (8, 7, 3), (4, 4, 2.4)], ids=str)
def test_a_marker_stands_on_the_nearest_slice_with_its_text_beside_it(place: tuple[float, ...]) -> None:
    headers = make_headers(PLAIN, SHAPE)
    x, y, z, _one = PLAIN @ np.array([*place, 1.0])
    markers = [Marker((x, y, z), "nodule"), Marker((x, y, z))]
    made = made_of(None, markers, SourceSeries.from_headers(headers))
    named, plain = made.GraphicAnnotationSequence
    for annotation in (named, plain):
        (image,) = annotation.ReferencedImageSequence
        assert image.ReferencedSOPInstanceUID == headers[round(place[2])].SOPInstanceUID
    (words,) = named.TextObjectSequence
    assert words.UnformattedTextValue == "nodule"
    assert words.AnchorPointVisibility == "Y"
    assert np.allclose(words.AnchorPoint, [place[0] + 0.5, place[1] + 0.5])
    box = np.array([words.BoundingBoxTopLeftHandCorner, words.BoundingBoxBottomRightHandCorner])
    assert (box >= 0).all()
    assert (box <= SHAPE[:2]).all()
    (point,) = plain.GraphicObjectSequence
    assert point.GraphicType == "POINT"
    assert np.allclose(point.GraphicData, words.AnchorPoint)


def test_the_text_stands_on_the_screen_over_all_images() -> None:
    made = made_of({"liver": MASK}, text="Research only")
    last = made.GraphicAnnotationSequence[-1]
    assert "ReferencedImageSequence" not in last
    assert last.TextObjectSequence[0].BoundingBoxAnnotationUnits == "DISPLAY"


def test_values_are_shown_as_those_of_the_source_are() -> None:
    source = make_source(PLAIN, SHAPE, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    made = made_of({"liver": MASK}, like=source)
    assert (made.RescaleSlope, made.RescaleIntercept, made.RescaleType) == (2, -1024, "HU")
    (window,) = made.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (40, 400)
    assert made.PresentationLUTShape == "IDENTITY"
    (area,) = made.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaBottomRightHandCorner) == [9, 8]
    assert list(area.PresentationPixelSpacing) == [0.75, 0.5]
    own = made_of({"liver": MASK}, like=source, window=(100, 50)).SoftcopyVOILUTSequence[0]
    assert (own.WindowCenter, own.WindowWidth) == (100, 50)
    assert "SoftcopyVOILUTSequence" not in made_of({"liver": MASK})
    negative = make_source(PLAIN, SHAPE, PhotometricInterpretation="MONOCHROME1")
    assert made_of({"liver": MASK}, like=negative).PresentationLUTShape == "INVERSE"


def test_images_with_windows_of_their_own_keep_them() -> None:
    headers = make_headers(PLAIN, SHAPE)
    for number, header in enumerate(headers):
        header.WindowCenter, header.WindowWidth = 40 + number, 400
    windows = made_of({"liver": MASK}, like=SourceSeries.from_headers(headers)).SoftcopyVOILUTSequence
    assert [float(each.WindowCenter) for each in windows] == [41, 42]
    named = [each.ReferencedImageSequence[0].ReferencedSOPInstanceUID for each in windows]
    assert named == [headers[1].SOPInstanceUID, headers[2].SOPInstanceUID]


def test_images_that_are_rescaled_differently_have_states_of_their_own() -> None:
    headers = make_headers(PLAIN, SHAPE)
    for number, header in enumerate(headers):
        header.RescaleSlope, header.RescaleIntercept = 1 + number, 0
    made = presentation({"liver": MASK}, (), SourceSeries.from_headers(headers), make_recipe())
    assert [float(each.RescaleSlope) for each in made] == [2, 3]
    assert len({each.SOPInstanceUID for each in made}) == 2
    assert len({each.SeriesInstanceUID for each in made}) == 1
    assert [int(each.InstanceNumber) for each in made] == [1, 2]


def test_a_radiograph_is_annotated_by_its_pixels() -> None:
    headers = make_headers(PLAIN, (*SHAPE[:2], 1), Modality="DX")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "PixelSpacing"):
        del headers[0][keyword]
    made = made_of({"lung": MASK[..., 1]}, like=SourceSeries.from_headers(headers))
    assert np.array_equal(painted(made, headers, "LAYER1"), MASK[..., 1:2])
    assert list(made.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio) == [1, 1]


def test_all_volumes_of_a_4d_series_are_annotated() -> None:
    made = made_of({"liver": MASK}, [Marker((1.0, 1.0, 2.5))], make_source(PLAIN, SHAPE, volumes=3))
    assert {len(each.ReferencedImageSequence) for each in made.GraphicAnnotationSequence} == {3}


def test_a_label_map_is_outlined_as_its_masks_are() -> None:
    of_labels = made_of(np.where(MASK, 5, 0).astype(np.uint8), labels={5: "liver"})
    assert of_labels == made_of({"liver": MASK})


def test_what_makes_no_presentation_state_is_refused_with_its_remedy() -> None:
    source = make_source(PLAIN, SHAPE)

    def refused(match: str, structures: Any = None, markers: Any = (), like: Any = source, **more: Any) -> None:
        with pytest.raises(DerivedObjectError, match=match):
            made_of(structures, markers, like, **more)

    refused("nothing to show")
    refused("nothing to show", {"liver": MASK & False})
    refused("there is none", labels={1: "liver"})
    refused("give their series", {"liver": MASK}, like=StudyIdentity(patient_id="P", study_instance_uid="1.2"))
    refused("outside of all slices", markers=[Marker((1.0, 1.0, 400.0))])
    refused("outside of all slices", markers=[Marker((-3.0, 1.0, 2.5))])
    refused("outside of all slices", markers=[Marker((np.nan, 1.0, 2.5))])
    refused("series.to_source", {"liver": Volume(MASK, PLAIN @ np.diag([0.5, 0.5, 1, 1]))})
    refused("make fused pictures", {"liver": MASK}, like=make_source(PLAIN, SHAPE, PhotometricInterpretation="RGB"))
    refused("at most 1024", {"liver": MASK}, text="x" * 1025)


def test_noise_is_refused() -> None:
    shape = (320, 320, 2)
    source = SourceSeries.from_headers(make_headers(np.eye(4), shape))
    noise = np.random.default_rng(7).random(shape) < 0.5
    with pytest.raises(DerivedObjectError, match=r"'liver' has \d+ outlines on slice 1, and at most 5000"):
        presentation({"liver": noise}, (), source, make_recipe(), None, PresentationOptions())
